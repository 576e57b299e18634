export * as Connection from "./Connection.ts"
export * as Misbehavior from "./Misbehavior.ts"
export * as RawHttp from "./RawHttp.ts"
