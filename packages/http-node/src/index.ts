export * as Connections from "./Connections.ts"
