/**
 * Handlers of a `Connection` that do what servers should not do.
 *
 * **Details**
 *
 * | handler | what the client sees |
 * | --- | --- |
 * | `silent` | it connects and sends; no response comes |
 * | `deaf` | it connects; the server reads nothing, so sending stalls too |
 * | `drip` | each response comes byte by byte |
 * | `breakOff` | each response ends in the middle |
 * | `hangUp` | the connection ends at the first byte that it sends: in HTTPS, during the TLS handshake |
 *
 * For a wrong `content-length`, send `RawHttp.response({ contentLength })` with `respond`. For anything else, write a handler.
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Connection, Handler } from "./Connection.ts"
import * as RawHttp from "./RawHttp.ts"

/**
 * Reads everything and sends nothing, even after the client has ended its side.
 *
 * @category misbehaviors
 * @since 0.1.0
 */
export const silent: Handler = (connection) =>
  Effect.andThen(
    Effect.repeat(connection.receive, { until: (bytes) => bytes === undefined }),
    Effect.never
  )

/**
 * Reads nothing and sends nothing.
 *
 * @category misbehaviors
 * @since 0.1.0
 */
export const deaf: Handler = () => Effect.never

/**
 * Ends the connection at the first bytes that arrive, before it has sent any.
 *
 * @category misbehaviors
 * @since 0.1.0
 */
export const hangUp = (how: "end" | "reset" = "reset"): Handler => (connection) =>
  Effect.andThen(connection.receive, connection[how])

/**
 * Sends the same bytes for each HTTP request: a server that behaves, if the bytes are a valid response.
 *
 * @category handlers
 * @since 0.1.0
 */
export const respond = (response: string | Uint8Array): Handler =>
  eachRequest((connection) => Effect.as(connection.send(response), true))

/**
 * Sends a response in pieces of `size` bytes (default 1), with `every` between them.
 *
 * @category misbehaviors
 * @since 0.1.0
 */
export const drip = (response: string, options: {
  readonly every: Duration.Input
  readonly size?: number | undefined
}): Handler => {
  const bytes = new TextEncoder().encode(response)
  const size = options.size ?? 1
  const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.slice(i * size, (i + 1) * size))
  return eachRequest((connection) =>
    Effect.as(Effect.forEach(pieces, (piece) => Effect.delay(connection.send(piece), options.every)), true)
  )
}

/**
 * Sends the first `after` bytes of a response, then ends the connection (`"end"`, the default) or resets it.
 *
 * - `how`: `"end"` closes the connection in an orderly way (FIN), `"reset"` breaks it (RST); default `"end"`.
 *
 * @category misbehaviors
 * @since 0.1.0
 */
export const breakOff = (response: string, options: {
  readonly after: number
  readonly how?: "end" | "reset" | undefined
}): Handler => {
  const bytes = new TextEncoder().encode(response).slice(0, options.after)
  return eachRequest((connection) =>
    Effect.as(Effect.andThen(connection.send(bytes), connection[options.how ?? "end"]), false)
  )
}

/**
 * Uses the first handler for the first connection, the second for the second, and so on; the last for all that follow.
 *
 * @category handlers
 * @since 0.1.0
 */
export const inTurn = <R>(handlers: readonly [Handler<R>, ...Array<Handler<R>>]): Handler<R> => (connection) =>
  (handlers[connection.index] ?? handlers[handlers.length - 1] ?? handlers[0])(connection)

/** Calls `handle` for each request until it returns `false` or the connection ends. */
const eachRequest = (handle: (connection: Connection) => Effect.Effect<boolean>): Handler => (connection) => {
  const next = RawHttp.requests(connection)
  const one = Effect.flatMap(next, (request) => request === undefined ? Effect.succeed(false) : handle(connection))
  return Effect.asVoid(Effect.repeat(one, { while: (continues) => continues }))
}
