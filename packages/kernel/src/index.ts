export * as Keyed from "./Keyed.ts"
export * as Time from "./Time.ts"
export * as Timer from "./Timer.ts"
