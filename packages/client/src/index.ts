export * as ClientDescription from "./ClientDescription.ts"
export * as ResilientClient from "./ResilientClient.ts"
export * as ResilientHttpApi from "./ResilientHttpApi.ts"
export * as ResilientRpc from "./ResilientRpc.ts"
