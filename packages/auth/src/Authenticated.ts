/**
 * Sends requests with a token, and replays a request once with a new token when the token is rejected.
 *
 * **Details**
 *
 * A rejection is a failure whose `Recovery` is `Reauthenticate` (`ErrorMapping` makes it of a 401), a response with status 401, or
 * a response for which `rejected` returns true. The token is then invalidated, and the request is sent once more with the next
 * token and a fresh body. If that is rejected right after a new login, the call fails with `StillUnauthorized`.
 *
 * Credentials go to one origin. A request to another, also one that a redirect leads to, fails with `ForeignOrigin` before
 * anything is sent, the login included.
 *
 * A streamed body that was partly sent is sent again only where its length is declared. If the second reading is shorter or
 * longer, the source could not be read twice: the call fails with `NotReplayable` instead of storing a part.
 *
 * **When to use**
 *
 * Use it outside `ErrorMapping` and inside retries. `HttpClient.followRedirects` belongs outside.
 *
 * **Example** (A token that was revoked)
 *
 * ```ts import.meta.vitest
 * import { Authenticated, Origin, TokenCache, TokenSource } from "@effect-resilience/auth"
 * import { Effect, Redacted } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const accepted = "Bearer token-2"
 * const api = HttpClient.make((request) => {
 *   const status = request.headers["authorization"] === accepted ? 200 : 401
 *   return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status })))
 * })
 *
 * let logins = 0
 * const source = TokenSource.fromEffect(
 *   Effect.sync(() => ({ value: Redacted.make(`token-${++logins}`) })),
 *   { identity: ["example"] }
 * )
 *
 * const status = Effect.gen(function*() {
 *   const cache = yield* TokenCache.make(source)
 *   const client = Authenticated.withTokens(api, cache, {
 *     origin: Origin.make("https://api.example.com"),
 *     attach: Authenticated.bearer
 *   })
 *   const response = yield* client.get("https://api.example.com/tables")
 *   return response.status
 * }).pipe(Effect.scoped)
 *
 * await Effect.runPromise(status) // => 200
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Bytes from "@effect-resilience/kernel/Bytes"
import * as ManualRedirects from "@effect-resilience/kernel/ManualRedirects"
import * as Rejected from "@effect-resilience/kernel/Rejected"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as AuthError from "./AuthError.ts"
import { observeBody } from "./internal/body.ts"
import * as Origin from "./Origin.ts"
import type { Token } from "./Token.ts"
import type { TokenCache } from "./TokenCache.ts"

/**
 * Puts a token into a request. The headers that it adds are redacted in spans and logs.
 *
 * @category models
 * @since 0.1.0
 */
export type Attach = (
  request: HttpClientRequest.HttpClientRequest,
  token: Token
) => HttpClientRequest.HttpClientRequest

/**
 * How requests get their token, and how a rejected one is recognised.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Where the credentials may go. */
  readonly origin: Origin.Origin
  /** How the token is sent: `bearer`, `header(name)`, `cookie(name)` or your own function. */
  readonly attach: Attach
  /** Further signs of a rejected token, such as a login page with status 200. It must not read the body. */
  readonly rejected?: ((response: HttpClientResponse.HttpClientResponse) => boolean) | undefined
}

/**
 * Sends the token as the value of a header.
 *
 * @category attaching
 * @since 0.1.0
 */
export const header = (name: string): Attach => inHeader(name, (_, token) => token)

/**
 * Sends `Authorization: Bearer TOKEN` (RFC 6750).
 *
 * @category attaching
 * @since 0.1.0
 */
export const bearer: Attach = /* @__PURE__ */ inHeader("authorization", (_, token) => `Bearer ${token}`)

/**
 * Sends the token as a cookie, beside those of the request.
 *
 * @category attaching
 * @since 0.1.0
 */
export const cookie = (name: string): Attach =>
  inHeader("cookie", (present, token) => `${present === undefined ? "" : `${present}; `}${name}=${token}`)

/**
 * Sends each request with a token of the cache.
 *
 * @category middleware
 * @since 0.1.0
 */
export const withTokens: {
  (
    cache: TokenCache["Service"],
    options: Options
  ): <E, R>(client: HttpClient.HttpClient.With<E, R>) => HttpClient.HttpClient.With<E | AuthError.AuthError, R>
  <E, R>(
    client: HttpClient.HttpClient.With<E, R>,
    cache: TokenCache["Service"],
    options: Options
  ): HttpClient.HttpClient.With<E | AuthError.AuthError, R>
} = /* @__PURE__ */ dual(3, <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  cache: TokenCache["Service"],
  { attach, origin, rejected }: Options
): HttpClient.HttpClient.With<E | AuthError.AuthError, R> => {
  const isRejected = (exit: Exit.Exit<HttpClientResponse.HttpClientResponse, E>): boolean => {
    if (Exit.isSuccess(exit)) return exit.value.status === unauthorized || rejected?.(exit.value) === true
    return isRejection(errorOf(exit))
  }

  const send = (request: HttpClientRequest.HttpClientRequest, token: Token) => {
    const attached = attach(request, token)
    const names = Object.keys(attached.headers).filter((name) => attached.headers[name] !== request.headers[name])
    return Effect.updateContext(
      client.postprocess(Effect.succeed(attached)),
      (context: Context.Context<R>) =>
        Context.add(ManualRedirects.inContext(withRedacted(context, names)), Rejected.Current, rejected)
    )
  }

  const call = Effect.fnUntraced(function*(request: HttpClientRequest.HttpClientRequest) {
    if (!Origin.contains(origin, request.url)) return yield* Effect.fail(foreignOrigin(origin, request.url))
    const body = observeBody(request)
    let token = yield* cache.get
    let refreshed = false
    for (let replays = 0;; replays++) {
      const exit = yield* Effect.exit(send(body.request, token))
      if (body.differed()) return yield* Effect.fail(notReplayable())
      if (!isRejected(exit)) return yield* exit
      if (Exit.isSuccess(exit)) yield* Bytes.discard(exit.value.stream)
      if (refreshed || replays === maxReplays) return yield* Effect.fail(stillUnauthorized(detailOf(exit)))
      const refreshing = yield* cache.invalidate(token)
      if (!body.reopen()) return yield* Effect.fail(notReplayable())
      const next = yield* cache.get
      if (next.generation === token.generation) return yield* Effect.fail(stillUnauthorized(detailOf(exit)))
      // A replay after a new login is the last one. A next token that was there already, after a late 401 or in a shared store,
      // may be revoked too.
      refreshed = refreshing && !next.shared
      token = next
    }
  })

  return HttpClient.makeWith<E | AuthError.AuthError, R, E | AuthError.AuthError, R>(
    Effect.flatMap(call),
    client.preprocess
  )
})

function inHeader(name: string, value: (present: string | undefined, token: string) => string): Attach {
  const key = name.toLowerCase()
  return (request, token) =>
    HttpClientRequest.setHeader(request, key, value(request.headers[key], Redacted.value(token.value)))
}

const unauthorized = 401
const maxReplays = 2

const errorOf = (exit: Exit.Exit<unknown, unknown>): unknown => Option.getOrUndefined(Exit.findErrorOption(exit))

const isRejection = (error: unknown): boolean =>
  Recovery.of(error)._tag === "Reauthenticate" ||
  (HttpClientError.isHttpClientError(error) && error.response?.status === unauthorized)

/** What the server said when it rejected the token. */
const detailOf = (exit: Exit.Exit<unknown, unknown>): string | undefined => {
  const error = errorOf(exit)
  return error instanceof ApiError.ApiError && error.reason._tag === "Unauthorized" ? error.reason.detail : undefined
}

const withRedacted = <R>(context: Context.Context<R>, names: ReadonlyArray<string>): Context.Context<R> => {
  const redacted = Context.get(context, Headers.CurrentRedactedNames)
  const further = names.filter((name) => !redacted.some((rule) => covers(rule, name)))
  return further.length === 0 ? context : Context.add(context, Headers.CurrentRedactedNames, [...redacted, ...further])
}

const covers = (rule: string | RegExp, name: string): boolean =>
  typeof rule === "string" ? rule.toLowerCase() === name : name.search(rule) !== -1

const foreignOrigin = (origin: Origin.Origin, url: string): AuthError.AuthError => {
  const requested = Result.match(Origin.parse(url), {
    onFailure: () => "an address that must not get credentials",
    onSuccess: String
  })
  return new AuthError.AuthError({ reason: new AuthError.ForeignOrigin({ allowed: origin.href, requested }) })
}

const stillUnauthorized = (detail: string | undefined): AuthError.AuthError =>
  new AuthError.AuthError({ reason: new AuthError.StillUnauthorized({ detail }) })

const notReplayable = (): AuthError.AuthError => new AuthError.AuthError({ reason: new AuthError.NotReplayable() })
