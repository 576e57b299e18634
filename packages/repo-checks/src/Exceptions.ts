/** Where a rule of the architecture is broken on purpose. An entry that no longer breaks its rule fails the check. */
export interface Exception {
  /** As the violation prints it, without the line: `packages/retry/src/internal/timer.ts`. */
  readonly file: string
  readonly rule: "throw" | "clock" | "index" | "portable"
  readonly why: string
}

export const exceptions: ReadonlyArray<Exception> = [
  {
    file: "packages/node/src/internal/exchange.ts",
    rule: "throw",
    why: "what a handler of undici throws ends a request and keeps its connection"
  },
  {
    file: "packages/chaos/src/BlackHole.ts",
    rule: "index",
    why: "needs Node: an import of the package root does not load it"
  },
  {
    file: "packages/chaos/src/LocalServer.ts",
    rule: "index",
    why: "needs Node: an import of the package root does not load it"
  },
  {
    file: "packages/chaos/src/RawServer.ts",
    rule: "index",
    why: "needs Node: an import of the package root does not load it"
  },
  {
    file: "packages/chaos/src/TcpRelay.ts",
    rule: "index",
    why: "needs Node: an import of the package root does not load it"
  },
  {
    file: "packages/chaos/src/BlackHole.ts",
    rule: "portable",
    why: "sockets of Node, a path of its own"
  },
  {
    file: "packages/chaos/src/LocalServer.ts",
    rule: "portable",
    why: "sockets of Node, a path of its own"
  },
  {
    file: "packages/chaos/src/RawServer.ts",
    rule: "portable",
    why: "sockets of Node, a path of its own"
  },
  {
    file: "packages/chaos/src/TcpRelay.ts",
    rule: "portable",
    why: "sockets of Node, a path of its own"
  },
  {
    file: "packages/chaos/src/internal/link.ts",
    rule: "portable",
    why: "of TcpRelay"
  },
  {
    file: "packages/chaos/src/internal/socket.ts",
    rule: "portable",
    why: "of the modules above"
  },
  {
    file: "packages/lab/src/Verdict.ts",
    rule: "throw",
    why: "an assertion of tests, whose runners read what it throws"
  },
  {
    file: "packages/lab/src/SweepThreads.ts",
    rule: "index",
    why: "needs Node: an import of the package root does not load it"
  },
  {
    file: "packages/lab/src/SweepThreads.ts",
    rule: "portable",
    why: "threads of Node, a path of its own"
  },
  {
    file: "packages/lab/src/internal/sweepThread.ts",
    rule: "portable",
    why: "of SweepThreads"
  },
  {
    file: "packages/lab/src/Vitest.ts",
    rule: "index",
    why: "needs the types of vitest: an import of the package root does not load it"
  },
  {
    file: "packages/lab/src/internal/command/playground.ts",
    rule: "portable",
    why: "of the command, which serves the page"
  },
  {
    file: "packages/lab/src/main.ts",
    rule: "portable",
    why: "the command; the index does not load it"
  },
  {
    file: "packages/chaos/src/internal/proxy.ts",
    rule: "portable",
    why: "of the command chaos-proxy"
  },
  {
    file: "packages/deadline/src/DeadlineMiddleware.ts",
    rule: "index",
    why: "a server's module: who imports the package's root for a client loads nothing of HTTP servers"
  },
  {
    file: "packages/deadline/src/Lease.ts",
    rule: "index",
    why: "stands on effect/persistence/Redis and effect/sql: who imports a timeout loads no store"
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
    file: "packages/retry/src/SharedAttemptBudget.ts",
    rule: "index",
    why: "stands on effect/persistence/Redis: who imports the local one loads no Schema"
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
    file: "packages/pipeline/src/StatusApi.ts",
    rule: "index",
    why: "stands on effect/http-api: who imports a pipeline loads no Schema and nothing of HTTP"
  },
  {
    file: "packages/tbm-studio/src/SimulatedStudio.ts",
    rule: "index",
    why: "needs Node and the simulator, an optional peer: who imports the package's root loads neither"
  },
  {
    file: "packages/tbm-studio/src/SimulatedStudio.ts",
    rule: "portable",
    why: "needs the simulator, a path of its own"
  }
]
