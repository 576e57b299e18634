/**
 * A TCP server on loopback that runs your handler on each connection, byte by byte.
 *
 * **When to use**
 *
 * Use for a server that does what no HTTP library allows; `Misbehavior` has common handlers. For a real server that becomes
 * unreachable, put a `TcpRelay` in front of it.
 *
 * **Gotchas**
 *
 * Needs `node:net`, so it is not in the package's index: import it from `@effect-resilience/chaos/RawServer`.
 *
 * **Example** (A response that breaks off)
 *
 * ```ts import.meta.vitest
 * import { Misbehavior, RawHttp } from "@effect-resilience/chaos"
 * import * as RawServer from "@effect-resilience/chaos/RawServer"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const response = RawHttp.response({ body: "two apples" })
 *   const server = yield* RawServer.make(Misbehavior.breakOff(response, { after: response.length - 3 }))
 *   const body = Effect.tryPromise(() => fetch(server.url).then((response) => response.text()))
 *   return (yield* Effect.result(body))._tag
 * })
 * await Effect.runPromise(Effect.scoped(program)) // => "Failure"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import type { Connection, Handler } from "./Connection.ts"
import * as socket from "./internal/socket.ts"

/**
 * A TCP server whose connections a test handles itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface RawServer {
  /** The loopback address that it listens on. */
  readonly host: string
  /** The port that it listens on. */
  readonly port: number
  /** `http://127.0.0.1:port`. */
  readonly url: string
  /** The number of connections accepted so far. */
  readonly accepted: Effect.Effect<number>
}

/**
 * Starts a server on a port of 127.0.0.1 that is free and that no server of this process had before. The end of its scope resets all
 * connections.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <R>(handler: Handler<R>): Effect.Effect<RawServer, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const run = yield* FiberSet.makeRuntime<R>()
    let accepted = 0
    const open = new Set<Net.Socket>()
    const server = Net.createServer({ allowHalfOpen: true, noDelay: true }, (peer) => {
      open.add(peer)
      peer.on("close", () => open.delete(peer))
      // `receive` ends on a broken connection.
      peer.on("error", () => {})
      const handled = Effect.onExit(handler(connectionOf(peer, accepted++)), (exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) peer.destroySoon()
          else socket.reset(peer)
        }))
      run(handled)
    })
    // Also ends connections whose fiber has not begun yet.
    yield* Effect.addFinalizer(() =>
      Effect.andThen(socket.stopListening(server), Effect.sync(() => open.forEach(socket.reset)))
    )
    const port = yield* Effect.orDie(socket.listen(server, host, 0))
    return { host, port, url: `http://${host}:${port}`, accepted: Effect.sync(() => accepted) }
  })

const connectionOf = (peer: Net.Socket, index: number): Connection => ({
  index,
  receive: socket.receive(peer),
  send: (bytes) => socket.send(peer, bytes),
  end: Effect.sync(() => {
    peer.end()
  }),
  reset: Effect.sync(() => socket.reset(peer))
})

const host = "127.0.0.1"
