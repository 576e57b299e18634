export * as ClientDescription from "./ClientDescription.ts"
export * as ResilientClient from "./ResilientClient.ts"
