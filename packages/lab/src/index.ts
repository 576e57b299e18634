export * as Lab from "./Lab.ts"
export * as VirtualTime from "./VirtualTime.ts"
