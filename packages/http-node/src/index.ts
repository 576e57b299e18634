export * as Connections from "./Connections.ts"
export * as Decompression from "./Decompression.ts"
