export * as HashingThreads from "./HashingThreads.ts"
