/**
 * Sends requests with a token, and replaces the token once when it is refused.
 *
 * **Details**
 *
 * A refusal is a failure whose `Recovery` is `Reauthenticate` (what `ErrorMapping` makes of a 401), a response with status
 * 401, or whatever `refused` says. The token that was refused is invalidated, and the request is sent once more with its
 * successor and a fresh body. Refused again right after a new login, the call fails with `StillUnauthorized`.
 *
 * Credentials go to one origin. A request to any other, also one that a redirect leads to, fails with `ForeignOrigin`
 * before anything is sent, the login included.
 *
 * A streamed body that has begun to leave is sent again only where its length is declared: if the second reading comes out
 * shorter or longer, the source could not be read twice, and the call fails with `NotReplayable` instead of storing a
 * part.
 *
 * **When to use**
 *
 * Use outside `ErrorMapping` and inside retries. Put `HttpClient.followRedirects`, if you must, outside.
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
 * @since 0.1.0
 */
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as AuthError from "./AuthError.ts"
import { observeBody, type ObservedBody } from "./internal/body.ts"
import * as Origin from "./Origin.ts"
import type { Token } from "./Token.ts"
import type { TokenCache } from "./TokenCache.ts"

/**
 * Puts a token into a request. What it adds is redacted in spans and logs, so let it add the same headers to every request.
 *
 * @category models
 * @since 0.1.0
 */
export type Attach = (
  request: HttpClientRequest.HttpClientRequest,
  token: Token
) => HttpClientRequest.HttpClientRequest

/**
 * - `origin`: where the credentials may go.
 * - `attach`: how the token travels: `bearer`, `header(name)`, `cookie(name)` or your own.
 * - `refused`: further signs of a refused token, such as a login page with status 200. It must not read the body.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly origin: Origin.Origin
  readonly attach: Attach
  readonly refused?: ((response: HttpClientResponse.HttpClientResponse) => boolean) | undefined
}

/**
 * `Authorization: Bearer TOKEN` (RFC 6750).
 *
 * @category attaching
 * @since 0.1.0
 */
export const bearer: Attach = (request, token) =>
  HttpClientRequest.setHeader(request, "authorization", `Bearer ${Redacted.value(token.value)}`)

/**
 * A header of its own.
 *
 * @category attaching
 * @since 0.1.0
 */
export const header = (name: string): Attach => (request, token) =>
  HttpClientRequest.setHeader(request, name, Redacted.value(token.value))

/**
 * A cookie, beside those that the request has already.
 *
 * @category attaching
 * @since 0.1.0
 */
export const cookie = (name: string): Attach => (request, token) => {
  const present = request.headers["cookie"]
  const pair = `${name}=${Redacted.value(token.value)}`
  return HttpClientRequest.setHeader(request, "cookie", present === undefined ? pair : `${present}; ${pair}`)
}

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
} = dual(3, <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  cache: TokenCache["Service"],
  { attach, origin, refused }: Options
): HttpClient.HttpClient.With<E | AuthError.AuthError, R> => {
  type Answer = Effect.Effect<HttpClientResponse.HttpClientResponse, E | AuthError.AuthError, R>

  const isRefused = (response: HttpClientResponse.HttpClientResponse): boolean =>
    response.status === unauthorized || refused?.(response) === true

  const protect = protecting<R>()

  // One call, which may take up to three rounds.
  class Call {
    readonly body: ObservedBody
    replays = 0
    renewed = false

    constructor(request: HttpClientRequest.HttpClientRequest) {
      this.body = observeBody(request)
    }

    round(token: Token): Answer {
      const { request } = this.body
      const attached = attach(request, token)
      return Effect.matchCauseEffect(
        Effect.updateContext(
          client.postprocess(Effect.succeed(attached)),
          protect(request.headers, attached.headers)
        ),
        {
          onSuccess: (response) => {
            if (this.body.differed()) return Effect.fail(notReplayable())
            return isRefused(response)
              ? Effect.andThen(drain(response), this.replay(token, undefined))
              : Effect.succeed(response)
          },
          onFailure: (cause) => {
            if (this.body.differed()) return Effect.fail(notReplayable())
            const error = Cause.findErrorOption(cause)
            return error._tag === "Some" && isRefusal(error.value)
              ? this.replay(token, detailOf(error.value))
              : Effect.failCause(cause)
          }
        }
      )
    }

    // A replay that follows a new login is the last one. Where the successor was there already, after a late 401 or in a
    // shared store, it may itself have been revoked since.
    replay(token: Token, detail: string | undefined): Answer {
      return Effect.gen({ self: this }, function*() {
        if (this.renewed || this.replays === maxReplays) return yield* Effect.fail(stillUnauthorized(detail))
        const renewing = yield* cache.invalidate(token)
        if (!this.body.reopen()) return yield* Effect.fail(notReplayable())
        const next = yield* cache.get
        if (next.generation === token.generation) return yield* Effect.fail(stillUnauthorized(detail))
        this.replays += 1
        this.renewed = renewing && !next.shared
        return yield* this.round(next)
      })
    }
  }

  const attempt = (request: HttpClientRequest.HttpClientRequest): Answer =>
    Effect.suspend(() => {
      if (!Origin.contains(origin, request.url)) return Effect.fail(foreignOrigin(origin, request.url))
      const call = new Call(request)
      const token = cache.getUnsafe()
      return token === undefined ? Effect.flatMap(cache.get, (token) => call.round(token)) : call.round(token)
    })

  return HttpClient.makeWith<E | AuthError.AuthError, R, E | AuthError.AuthError, R>(
    (request) => isReady(request) ? attempt(request.value) : Effect.flatMap(request, attempt),
    client.preprocess
  )
})

const unauthorized = 401
const maxReplays = 2

// What no preprocessing has touched needs no step of its own.
const isReady = <A, E, R>(effect: Effect.Effect<A, E, R>): effect is Exit.Success<A, E> =>
  Exit.isExit(effect) && Exit.isSuccess(effect)

const isRefusal = (error: unknown): boolean =>
  Recovery.of(error)._tag === "Reauthenticate" ||
  (HttpClientError.isHttpClientError(error) && error.response?.status === unauthorized)

/** What the server said about a refusal. */
const detailOf = (error: unknown): string | undefined =>
  error instanceof ApiError.ApiError && error.reason._tag === "Unauthorized" ? error.reason.detail : undefined

/** Reads a response that nobody else will read, so that its connection is free. */
const drain = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<void> =>
  response.stream.pipe(Stream.take(16), Stream.runDrain, Effect.timeout("1 second"), Effect.ignore)

/**
 * Adapts the context of a request that carries credentials: headers that `attach` adds are redacted in spans and logs, and
 * `fetch` does not follow redirects with them. The same contexts come again and again, so the last is kept.
 */
const protecting = <R>() => {
  const names = new Set<string>()
  let before: Context.Context<R> | undefined
  let after: Context.Context<R> | undefined

  const adapt = (context: Context.Context<R>): Context.Context<R> => {
    if (context === before && after !== undefined) return after
    before = context
    after = context.pipe(
      Context.add(Headers.CurrentRedactedNames, [...Context.get(context, Headers.CurrentRedactedNames), ...names]),
      Context.add(FetchHttpClient.RequestInit, {
        ...Context.getOrUndefined(context, FetchHttpClient.RequestInit),
        redirect: "manual"
      })
    )
    return after
  }
  return (plain: Headers.Headers, attached: Headers.Headers) => {
    for (const name of Object.keys(attached)) {
      if (attached[name] === plain[name] || names.has(name)) continue
      names.add(name)
      before = undefined
    }
    return adapt
  }
}

const foreignOrigin = (origin: Origin.Origin, url: string): AuthError.AuthError => {
  const requested = Result.match(Origin.parse(url), {
    onFailure: () => "an address that is not fit for credentials",
    onSuccess: String
  })
  return new AuthError.AuthError({ reason: new AuthError.ForeignOrigin({ allowed: origin.href, requested }) })
}

const stillUnauthorized = (detail: string | undefined): AuthError.AuthError =>
  new AuthError.AuthError({ reason: new AuthError.StillUnauthorized({ detail }) })

const notReplayable = (): AuthError.AuthError => new AuthError.AuthError({ reason: new AuthError.NotReplayable() })
