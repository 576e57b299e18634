/** Where a rule of the architecture is broken on purpose. An entry that no longer breaks its rule fails the check. */
export interface Exception {
  /** As the violation prints it, without the line: `packages/retry/src/internal/timer.ts`. */
  readonly file: string
  readonly rule: "throw" | "clock" | "index"
  readonly why: string
}

export const exceptions: ReadonlyArray<Exception> = [
  {
    file: "packages/deadline/src/DeadlineMiddleware.ts",
    rule: "index",
    why: "a server's module: who imports the package's root for a client loads nothing of HTTP servers"
  },
  {
    file: "packages/limit/src/Pacer.ts",
    rule: "index",
    why: "stands on effect/persistence/RateLimiter: who imports a circuit breaker loads no Schema"
  },
  {
    file: "packages/limit/src/SharedCircuitBreaker.ts",
    rule: "index",
    why: "stands on effect/persistence/CircuitBreaker: who imports the local one loads no Schema"
  },
  {
    file: "packages/limit/src/StaleIfError.ts",
    rule: "index",
    why: "stands on effect/persistence/Persistence: who imports a circuit breaker loads no Schema"
  },
  {
    file: "packages/limit/src/LoadShedding.ts",
    rule: "index",
    why: "a server's module: who imports a circuit breaker loads nothing of HTTP"
  },
  {
    file: "packages/limit/src/Pipeline.ts",
    rule: "index",
    why: "its description is a Schema, which who imports one policy does not load"
  },
  {
    file: "packages/limit/src/PipelineDescription.ts",
    rule: "index",
    why: "a Schema, which who imports one policy does not load"
  },
  {
    file: "packages/limit/src/PipelineRegistry.ts",
    rule: "index",
    why: "holds pipelines, whose description is a Schema"
  }
]
