export * as Deadline from "./Deadline.ts"
export * as DeadlineHeader from "./DeadlineHeader.ts"
export * as Timeout from "./Timeout.ts"
export * as Timer from "./Timer.ts"
