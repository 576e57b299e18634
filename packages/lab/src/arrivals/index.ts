export { closed } from "./closed.ts"
export { open } from "./open.ts"
