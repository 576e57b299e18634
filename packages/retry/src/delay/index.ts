export { custom } from "./custom.ts"
export { linear } from "./linear.ts"
export { list } from "./list.ts"
