/**
 * One connection as a misbehaving server sees it: the bytes that arrive, the bytes that it sends, and two ways to end it.
 *
 * `RawServer` passes it to a handler. A handler is an Effect, so it waits by the test's clock and stops with its scope.
 *
 * **Example** (A server that responds to each piece in upper case)
 *
 * ```ts import.meta.vitest
 * import type { Connection } from "@effect-resilience/chaos"
 * import * as RawServer from "@effect-resilience/chaos/RawServer"
 * import { Effect } from "effect"
 *
 * const shout: Connection.Handler = ({ receive, send }) =>
 *   Effect.repeat(
 *     Effect.tap(receive, (bytes) =>
 *       bytes === undefined ? Effect.void : send(new TextDecoder().decode(bytes).toUpperCase())),
 *     { until: (bytes) => bytes === undefined }
 *   )
 *
 * const program = Effect.gen(function*() {
 *   const server = yield* RawServer.make(shout)
 *   const response = Effect.tryPromise(() => fetch(server.url))
 *   return (yield* Effect.result(response))._tag
 * })
 * // "GET / HTTP/1.1" comes back: that is no HTTP response.
 * await Effect.runPromise(Effect.scoped(program)) // => "Failure"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"

/**
 * A TCP connection as a server of a test sees it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection {
  /** 0 for the first connection that the server accepted, then 1, 2, … */
  readonly index: number
  /** The bytes that arrive next, or `undefined` after the peer has ended or broken the connection. */
  readonly receive: Effect.Effect<Uint8Array | undefined>
  /** Sends bytes; text is UTF-8. Does nothing if the peer has disconnected. */
  readonly send: (bytes: Uint8Array | string) => Effect.Effect<void>
  /** Ends the own side (FIN). */
  readonly end: Effect.Effect<void>
  /** Breaks the connection (RST). */
  readonly reset: Effect.Effect<void>
}

/**
 * What a server does with a connection. The connection ends when the handler does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Handler<R = never> {
  (connection: Connection): Effect.Effect<void, never, R>
}
