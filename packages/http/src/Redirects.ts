/**
 * Returns redirects as responses, or follows them within limits.
 *
 * **Why**
 *
 * A server that redirects a request decides where its next copy goes. `fetch` follows: on the way to another host it drops
 * `authorization`, but hands over the body and the custom header that carries the token. So a redirect of a request with
 * credentials is a response like any other, until you say where it may lead.
 *
 * **Details**
 *
 * `manual` returns redirects; `ErrorMapping` turns them into failures that name the origin. `follow` follows within the same
 * origin (scheme, host and port), and to other origins only if they are listed; those get harmless headers only
 * (`Redaction.plainHeaders`). A redirect that may not be followed is returned as it is, and so is one beyond the limit.
 *
 * 301 and 302 turn a POST into a GET without a body, and 303 every method but HEAD; 307 and 308 repeat method and body (RFC
 * 9110, section 15.4). One that repeats a body that can be read once, a `ReadableStream`, is returned; a `Stream` that yields less
 * when it is read again fails.
 *
 * **When to use**
 *
 * Use directly around the transport, below everything else. Both stop `fetch` from following by itself.
 *
 * **Example** (Within the origin, and out of it)
 *
 * ```ts import.meta.vitest
 * import { Redirects } from "@effect-resilience/http"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const moved = HttpClient.make((request, url) => {
 *   const location = url.pathname === "/old" ? "/new" : url.pathname === "/trap" ? "https://evil.example/" : undefined
 *   const response = new Response(null, location === undefined ? {} : { status: 307, headers: { location } })
 *   return Effect.succeed(HttpClientResponse.fromWeb(request, response))
 * })
 * const client = Redirects.follow(moved)
 *
 * const status = (path: string) => Effect.map(client.get(`https://api.example.com${path}`), (response) => response.status)
 * await Effect.runPromise(status("/old")) // => 200
 * await Effect.runPromise(status("/trap")) // => 307
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Bytes from "@effect-resilience/kernel/Bytes"
import { manualRedirects } from "@effect-resilience/kernel/ManualRedirects"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Option from "effect/Option"
import * as HttpRetry from "./HttpRetry.ts"
import * as Idempotency from "./Idempotency.ts"
import * as Redaction from "./Redaction.ts"
import * as SendProgress from "./SendProgress.ts"

/**
 * How many redirects are followed, and where to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How many redirects a request may follow; 5 by default. */
  readonly limit?: number | undefined
  /** Other origins that may be followed to, for example `https://files.example.com`; none by default. */
  readonly origins?: ReadonlyArray<string> | undefined
}

/**
 * Whether `follow` follows the redirects of the running call; true by default.
 *
 * @category references
 * @since 0.1.0
 */
export const Followed: Context.Reference<boolean> = /* @__PURE__ */ Context.Reference<boolean>(
  "@effect-resilience/http/Redirects/Followed",
  { defaultValue: () => true }
)

/**
 * Returns redirects as responses, also with `fetch`.
 *
 * @category middleware
 * @since 0.1.0
 */
export const manual: <E, R>(client: HttpClient.HttpClient.With<E, R>) => HttpClient.HttpClient.With<E, R> =
  manualRedirects

/**
 * Follows redirects within limits. Throws `RangeError` for an origin that is not one.
 *
 * @category middleware
 * @since 0.1.0
 */
export const follow: {
  (options?: Options): <E, R>(client: HttpClient.HttpClient.With<E, R>) => HttpClient.HttpClient.With<E, R>
  <E, R>(client: HttpClient.HttpClient.With<E, R>, options?: Options): HttpClient.HttpClient.With<E, R>
} = /* @__PURE__ */ dual(
  (args) => HttpClient.isHttpClient(args[0]),
  <E, R>(client: HttpClient.HttpClient.With<E, R>, options: Options = {}): HttpClient.HttpClient.With<E, R> => {
    const limit = options.limit ?? 5
    const origins = new Set((options.origins ?? []).map((origin) => {
      requireArgument(
        URL.canParse(origin) && new URL(origin).origin === origin,
        "Redirects.origins",
        "such as https://files.example.com",
        origin
      )
      return origin
    }))
    const transport = manual(client)

    const send = (
      request: HttpClientRequest.HttpClientRequest,
      redirects: number
    ): Effect.Effect<HttpClientResponse.HttpClientResponse, E, R> =>
      Effect.flatMap(transport.postprocess(Effect.succeed(request)), (response) => {
        const next = redirects < limit ? redirected(request, response, origins) : undefined
        if (next === undefined) return Effect.succeed(response)
        const following = Effect.andThen(Bytes.discard(response.stream), send(next, redirects + 1))
        return next.method === request.method ? following : Effect.andThen(applied, following)
      })

    const following = HttpClient.makeWith<E, R, E, R>(
      Effect.flatMap((request) =>
        Effect.withFiber((fiber) => send(HttpRetry.guardBody(request).request, fiber.getRef(Followed) ? 0 : limit))
      ),
      transport.preprocess
    )
    return SendProgress.asIn(following, client)
  }
)

// What asks for a GET in place of a POST shows what came of that.
const applied = /* @__PURE__ */ Effect.map(SendProgress.Current, (progress) => {
  if (progress !== undefined) progress.applied = true
})

const redirected = (
  request: HttpClientRequest.HttpClientRequest,
  response: HttpClientResponse.HttpClientResponse,
  origins: ReadonlySet<string>
): HttpClientRequest.HttpClientRequest | undefined => {
  const written = response.headers["location"]
  const from = HttpClientRequest.toUrl(request)
  if (!redirectStatuses.has(response.status) || written === undefined || from._tag === "None") return undefined
  const location = fromBytes(written)
  if (!URL.canParse(location, from.value.href)) return undefined
  const to = new URL(location, from.value)
  const sameOrigin = to.origin === from.value.origin
  // User info in a redirect's address is a credential that the server chose.
  if (to.username !== "" || to.password !== "" || !(sameOrigin || origins.has(to.origin))) return undefined

  const bodiless = response.status === 303
    ? request.method !== "HEAD" && request.method !== "GET"
    : request.method === "POST" && (response.status === 301 || response.status === 302)
  // Transports send the rest of a body that was read, which is nothing.
  if (!bodiless && Idempotency.repetitionOf(undefined, request) === "unlessBegun") return undefined
  const headers = Object.entries(request.headers).filter(([name]) =>
    (sameOrigin || (plain.has(name) && name !== "host")) && !(bodiless && name.startsWith("content-"))
  )
  to.hash = ""
  return HttpClientRequest.makeWith(
    bodiless ? "GET" : request.method,
    to.href,
    UrlParams.empty,
    Option.none(),
    Headers.fromRecordUnsafe(Object.fromEntries(headers)),
    bodiless ? HttpBody.empty : request.body
  )
}

// The characters of a header stand for bytes, and servers that escape nothing write UTF-8.
const fromBytes = (text: string): string => {
  try {
    return decodeURIComponent(escape(text))
  } catch {
    return text
  }
}

const redirectStatuses: ReadonlySet<number> = /* @__PURE__ */ new Set([301, 302, 303, 307, 308])
const plain: ReadonlySet<string> = /* @__PURE__ */ new Set(Redaction.plainHeaders)
