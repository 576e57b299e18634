export * as Deadline from "./Deadline.ts"
export * as DeadlineHeader from "./DeadlineHeader.ts"
export * as StoreTimeout from "./StoreTimeout.ts"
export * as Timeout from "./Timeout.ts"
