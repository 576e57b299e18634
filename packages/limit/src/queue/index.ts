export { codel } from "./codel.ts"
export { fifo } from "./fifo.ts"
export { lifo } from "./lifo.ts"
