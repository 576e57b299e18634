export { down } from "./down.ts"
export { failing } from "./failing.ts"
export { slow } from "./slow.ts"
