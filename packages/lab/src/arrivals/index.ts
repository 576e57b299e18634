export { bursts } from "./bursts.ts"
export { closed } from "./closed.ts"
export { open } from "./open.ts"
export { recorded } from "./recorded.ts"
