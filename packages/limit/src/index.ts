export * as Bulkhead from "./Bulkhead.ts"
export * as CircuitBreaker from "./CircuitBreaker.ts"
export * as Keyed from "./Keyed.ts"
export * as Rejection from "./Rejection.ts"
