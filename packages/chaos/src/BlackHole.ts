/**
 * A port where a connection attempt is neither accepted nor rejected, as at the address of a machine that does not exist.
 *
 * **Details**
 *
 * A thread listens and never accepts. The queue of connections that wait for it is full, so Linux drops the packets of
 * further attempts.
 *
 * **Gotchas**
 *
 * - Works on Linux. On other systems an attempt may be accepted or rejected.
 * - Needs `node:net`, so it is not in the package's index: import it from `@effect-resilience/chaos/BlackHole`.
 *
 * **Example** (An attempt to connect that nothing ends but a limit of time)
 *
 * ```ts import.meta.vitest
 * import * as BlackHole from "@effect-resilience/chaos/BlackHole"
 * import { Effect } from "effect"
 * import { connect } from "node:net"
 *
 * const program = Effect.gen(function*() {
 *   const hole = yield* BlackHole.make
 *   const connected = Effect.callback<string>((resume) => {
 *     const socket = connect(hole, () => resume(Effect.succeed("connected")))
 *     return Effect.sync(() => socket.destroy())
 *   })
 *   return yield* Effect.timeoutOrElse(connected, { duration: "50 millis", orElse: () => Effect.succeed("timed out") })
 * })
 * await Effect.runPromise(Effect.scoped(program)) // => "timed out"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { Worker } from "node:worker_threads"
import * as socket from "./internal/socket.ts"

/**
 * A port that neither accepts nor rejects a connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface BlackHole {
  /** A loopback address. */
  readonly host: string
  /** The port, which the system chose. */
  readonly port: number
}

/**
 * Opens a black hole on 127.0.0.1 that closes with its scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<BlackHole, never, Scope.Scope> = /* @__PURE__ */ Effect.gen(function*() {
  const worker = yield* Effect.acquireRelease(
    Effect.sync(() => new Worker(listener, { eval: true })),
    (worker) => Effect.promise(() => worker.terminate())
  )
  const port = yield* Effect.callback<number>((resume) => {
    worker.once("message", (port: number) => resume(Effect.succeed(port)))
    worker.once("error", (error) => resume(Effect.die(error)))
  })
  const fillers = Array.from({ length: 3 }, () => Net.connect({ host, port }).on("error", () => {}))
  yield* Effect.addFinalizer(() => Effect.sync(() => fillers.forEach(socket.reset)))
  // The first two wait in the queue; the packets of the last are dropped.
  yield* Effect.callback<void>((resume) => {
    for (const filler of fillers) {
      filler.once("connect", () => {
        if (fillers.filter((filler) => !filler.connecting).length === 1) resume(Effect.void)
      })
    }
  })
  return { host, port }
})

const host = "127.0.0.1"

const listener = `
const { parentPort } = require("node:worker_threads")
const server = require("node:net").createServer()
server.listen({ host: "${host}", port: 0, backlog: 1 }, () => {
  parentPort.postMessage(server.address().port)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})
`
