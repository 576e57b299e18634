/**
 * One connection as a misbehaving server sees it: bytes that arrive, bytes that it sends, and the ways to end it.
 *
 * `RawServer` hands it to a handler. A handler is an Effect, so that it waits by the test's clock and stops with its scope.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"

/**
 * @category models
 * @since 0.1.0
 */
export interface Connection {
  /** 0 for the first connection that the server accepted, then 1, 2, … */
  readonly index: number
  /** The bytes that arrive next, or `undefined` once the peer ended or broke the connection. */
  readonly receive: Effect.Effect<Uint8Array | undefined>
  /** Sends bytes; text is UTF-8. Nothing happens where the peer is gone. */
  readonly send: (bytes: Uint8Array | string) => Effect.Effect<void>
  /** Says that nothing more follows (FIN). */
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
