/**
 * Has `fetch` return redirects as responses instead of following them.
 *
 * **Why**
 *
 * `fetch` follows redirects by itself, and credentials would travel with them. Other transports follow none.
 *
 * **Example** (One effect)
 *
 * ```ts import.meta.vitest
 * import { ManualRedirects } from "@effect-resilience/kernel"
 * import { Context } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * const context = ManualRedirects.inContext(Context.make(FetchHttpClient.RequestInit, { keepalive: true }))
 * Context.get(context, FetchHttpClient.RequestInit) // => { keepalive: true, redirect: "manual" }
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"

/**
 * A client that follows no redirects.
 *
 * @category middleware
 * @since 0.1.0
 */
export const manualRedirects = <E, R>(client: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  HttpClient.transformResponse(client, Effect.updateContext(inContext<R>))

/**
 * The same for one effect, of which this is the context. The same context where it says so already.
 *
 * @category contexts
 * @since 0.1.0
 */
export const inContext = <R>(context: Context.Context<R>): Context.Context<R> => {
  const init = Context.getOrUndefined(context, FetchHttpClient.RequestInit)
  return init?.redirect === "manual"
    ? context
    : Context.add(context, FetchHttpClient.RequestInit, { ...init, redirect: "manual" })
}
