export * as Answer from "./Answer.ts"
export * as ErrorMapping from "./ErrorMapping.ts"
export * as Operation from "./Operation.ts"
export * as Scrubber from "./Scrubber.ts"
