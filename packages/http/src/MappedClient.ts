/**
 * Knows the clients whose answers `ErrorMapping` has judged: they succeed with 2xx only and follow no redirect.
 *
 * **Why**
 *
 * Middleware that guards against a 401 that comes as a success, or against `fetch` following a redirect with credentials,
 * does so for nothing around such a client. On a path of a microsecond that is seen.
 *
 * **When to use**
 *
 * Use `through` in middleware of your own that passes on what the client below says, so that the knowledge is not lost.
 * A client that nobody knows is treated with all caution.
 *
 * **Example** (Known, and not known)
 *
 * ```ts import.meta.vitest
 * import { AccessLog, ErrorMapping, MappedClient } from "@effect-resilience/http"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const plain = HttpClient.make((request) => Effect.succeed(HttpClientResponse.fromWeb(request, new Response())))
 * const client = plain.pipe(ErrorMapping.mapErrors(), AccessLog.logAttempts)
 *
 * const known = [MappedClient.is(plain), MappedClient.is(client)]
 * known // => [false, true]
 * ```
 *
 * @since 0.1.0
 */
import type * as HttpClient from "effect/http/HttpClient"

/**
 * Whether the answers of a client are known to be judged.
 *
 * @category guards
 * @since 0.1.0
 */
export const is = <E, R>(client: HttpClient.HttpClient.With<E, R>): boolean => known.has(client)

/**
 * Remembers that `outer` succeeds with what `inner` succeeds with and nothing else. Returns `outer`.
 *
 * @category marking
 * @since 0.1.0
 */
export const through = <E0, R0, E, R>(
  inner: HttpClient.HttpClient.With<E0, R0>,
  outer: HttpClient.HttpClient.With<E, R>
): HttpClient.HttpClient.With<E, R> => is(inner) ? mark(outer) : outer

/** @internal */
export const mark = <E, R>(client: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> => {
  known.add(client)
  return client
}

const known = /* @__PURE__ */ new WeakSet<object>()
