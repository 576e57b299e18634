export { controlledDelay } from "./controlledDelay.ts"
export { fifo } from "./fifo.ts"
export { lifo } from "./lifo.ts"
