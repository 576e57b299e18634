/**
 * Names the current call, in words that group well and are safe to log.
 *
 * **Why**
 *
 * Logs, spans, metrics and errors need a name for a call, and retries need to know whether it may be repeated. A URL is
 * no such name: it contains tables, customers, sometimes secrets. So the caller names the operation once, around the call,
 * and every middleware below reads it from the fiber.
 *
 * **Example** (Naming a call)
 *
 * ```ts import.meta.vitest
 * import { Operation } from "@effect-resilience/http"
 * import { Effect } from "effect"
 *
 * const appendRows = Operation.within({
 *   name: "append rows",
 *   endpoint: "/tables/{table}/append",
 *   idempotent: false
 * })
 *
 * const current = Effect.map(Operation.Current, (operation) => operation?.name)
 * await Effect.runPromise(current) // => undefined
 * await Effect.runPromise(appendRows(current)) // => "append rows"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"

/**
 * What a request is about, and whether it may be repeated.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operation {
  /** For people, for example `upload table`. */
  readonly name: string
  /** The path as a template (OpenTelemetry's `url.template`), for example `/tables/{table}`. */
  readonly endpoint: string
  /** Whether sending it twice leaves the same state as sending it once. By default the method decides. */
  readonly idempotent?: boolean | undefined
  /**
   * Whether the server applies it only once it has the last byte of its body, as with uploads. If it is not idempotent, its
   * outcome is then unknown from its last byte on, otherwise from its first. False by default.
   */
  readonly appliedWhenWhole?: boolean | undefined
}

/**
 * The operation of the current fiber, if one is named.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Operation | undefined> = /* @__PURE__ */ Context.Reference<
  Operation | undefined
>(
  "@effect-resilience/http/Operation/Current",
  { defaultValue: () => undefined }
)

/**
 * Names the operation that an effect performs.
 *
 * @category combinators
 * @since 0.1.0
 */
export const within: {
  (operation: Operation): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, operation: Operation): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, operation: Operation): Effect.Effect<A, E, R> =>
    Effect.provideService(self, Current, operation)
)

/**
 * Whether repeating a request is harmless: it carries an idempotency key, or its operation says so, or its operation says
 * nothing and its method is idempotent (RFC 9110, section 9.2.2).
 *
 * - `method`: the HTTP method, in upper case.
 * - `headers`: by lower-case name.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isIdempotent = (
  operation: Operation | undefined,
  request: { readonly method: string; readonly headers: { readonly [name: string]: string | undefined } }
): boolean =>
  request.headers["idempotency-key"] !== undefined ||
  (operation?.idempotent ?? idempotentMethods.has(request.method.toUpperCase()))

/**
 * The template that stands for the address of the call; a placeholder if no operation is named.
 *
 * @category accessors
 * @since 0.1.0
 */
export const endpointOf = (operation: Operation | undefined): string => operation?.endpoint ?? "{unnamed endpoint}"

/**
 * The methods whose requests may be repeated (RFC 9110, section 9.2.2), unless an operation says otherwise.
 *
 * @category constants
 * @since 0.1.0
 */
export const idempotentMethods: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "PUT",
  "DELETE",
  "QUERY"
])
