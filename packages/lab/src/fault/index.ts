export { down } from "./down.ts"
export { failing } from "./failing.ts"
export { restart } from "./restart.ts"
export { slow } from "./slow.ts"
