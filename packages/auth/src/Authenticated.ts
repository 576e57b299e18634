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
import * as MappedClient from "@effect-resilience/http/MappedClient"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
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

// In which header an `Attach` of this module puts the token. Any other may use another one in each request.
const headersOf = /* @__PURE__ */ new WeakMap<Attach, string>()

/**
 * A header of its own.
 *
 * @category attaching
 * @since 0.1.0
 */
export const header = (name: string): Attach => inHeader(name, (_, token) => token)

/**
 * `Authorization: Bearer TOKEN` (RFC 6750).
 *
 * @category attaching
 * @since 0.1.0
 */
export const bearer: Attach = /* @__PURE__ */ inHeader("authorization", (_, token) => `Bearer ${token}`)

/**
 * A cookie, beside those that the request has already.
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
} = dual(3, <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  cache: TokenCache["Service"],
  { attach, origin, refused }: Options
): HttpClient.HttpClient.With<E | AuthError.AuthError, R> => {
  type Answer = Effect.Effect<HttpClientResponse.HttpClientResponse, E | AuthError.AuthError, R>

  const isRefused = (response: HttpClientResponse.HttpClientResponse): boolean =>
    response.status === unauthorized || refused?.(response) === true

  const protect = protecting(headersOf.get(attach), !MappedClient.is(client))

  const send = (request: HttpClientRequest.HttpClientRequest, token: Token, fiber: AnyFiber) => {
    const attached = attach(request, token)
    const answer = client.postprocess(Effect.succeed(attached))
    const context = protect(fiber, request.headers, attached.headers)
    return context === fiber.context ? answer : within(fiber, context, answer)
  }

  // One call, which may take up to three rounds.
  const makeCall = (body: ObservedBody, fiber: AnyFiber) => {
    let replays = 0
    let renewed = false

    const round = (token: Token): Answer =>
      Effect.matchCauseEffect(send(body.request, token, fiber), {
        onSuccess: (response) => check(token, response),
        onFailure: (cause) => recover(token, cause)
      })

    const check = (token: Token, response: HttpClientResponse.HttpClientResponse): Answer => {
      if (body.differed()) return Effect.fail(notReplayable())
      return isRefused(response) ? Effect.andThen(drain(response), replay(token, undefined)) : Effect.succeed(response)
    }

    const recover = (token: Token, cause: Cause.Cause<E>): Answer => {
      if (body.differed()) return Effect.fail(notReplayable())
      const error = Cause.findErrorOption(cause)
      return error._tag === "Some" && isRefusal(error.value)
        ? replay(token, detailOf(error.value))
        : Effect.failCause(cause)
    }

    // A replay that follows a new login is the last one. Where the successor was there already, after a late 401 or in a
    // shared store, it may itself have been revoked since.
    const replay = (token: Token, detail: string | undefined): Answer =>
      Effect.gen(function*() {
        if (renewed || replays === maxReplays) return yield* Effect.fail(stillUnauthorized(detail))
        const renewing = yield* cache.invalidate(token)
        if (!body.reopen()) return yield* Effect.fail(notReplayable())
        const next = yield* cache.get
        if (next.generation === token.generation) return yield* Effect.fail(stillUnauthorized(detail))
        replays += 1
        renewed = renewing && !next.shared
        return yield* round(next)
      })

    return { round, check, recover }
  }

  const judged = MappedClient.is(client) && refused === undefined

  let lastAllowed: string | undefined
  const isAllowed = (url: string): boolean => {
    if (url === lastAllowed) return true
    if (!Origin.contains(origin, url)) return false
    lastAllowed = url
    return true
  }

  const attempt = (request: HttpClientRequest.HttpClientRequest): Answer =>
    Effect.withFiber((fiber) => {
      if (!isAllowed(request.url)) return Effect.fail(foreignOrigin(origin, request.url))
      const token = cache.getUnsafe()
      if (token === undefined || request.body._tag === "Stream") {
        const { round } = makeCall(observeBody(request), fiber)
        return token === undefined ? Effect.flatMap(cache.get, round) : round(token)
      }
      // The usual case: nothing is made for a refusal before it comes.
      const answer = send(request, token, fiber)
      const onFailure = (cause: Cause.Cause<E>) => makeCall(observeBody(request), fiber).recover(token, cause)
      return judged ? Effect.catchCause(answer, onFailure) : Effect.matchCauseEffect(answer, {
        onFailure,
        onSuccess: (response) =>
          isRefused(response)
            ? makeCall(observeBody(request), fiber).check(token, response)
            : Effect.succeed(response)
      })
    })

  return HttpClient.makeWith<E | AuthError.AuthError, R, E | AuthError.AuthError, R>(
    (request) => isReady(request) ? attempt(request.value) : Effect.flatMap(request, attempt),
    client.preprocess
  )
})

function inHeader(name: string, value: (present: string | undefined, token: string) => string): Attach {
  const key = name.toLowerCase()
  const attach: Attach = (request, token) =>
    HttpClientRequest.setHeader(request, key, value(request.headers[key], Redacted.value(token.value)))
  headersOf.set(attach, key)
  return attach
}

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

type AnyFiber = Fiber.Fiber<unknown, unknown>

/**
 * The context for a request that carries credentials: headers that `attach` adds are redacted in spans and logs, and
 * `fetch` does not follow redirects with them. The same context where both is so anyway. The last ones are kept, since they
 * come again and again.
 */
const protecting = (header: string | undefined, follows: boolean) => {
  const names = new Set(header === undefined ? [] : [header])
  let before: Context.Context<never> | undefined
  let after: Context.Context<never> | undefined
  let known: ReadonlyArray<string | RegExp> | undefined
  let covered = false

  return (fiber: AnyFiber, plain: Headers.Headers, attached: Headers.Headers): Context.Context<never> => {
    if (header === undefined) {
      for (const name in attached) {
        if (attached[name] === plain[name] || names.has(name)) continue
        names.add(name)
        before = known = undefined
      }
    }
    const { context } = fiber
    if (context === before && after !== undefined) return after
    const redacted = fiber.getRef(Headers.CurrentRedactedNames)
    if (redacted !== known) {
      known = redacted
      covered = Array.from(names).every((name) => redacted.some((rule) => covers(rule, name)))
    }
    before = after = context
    if (!covered) after = Context.add(after, Headers.CurrentRedactedNames, [...redacted, ...names])
    const init = follows ? Context.getOrUndefined(context, FetchHttpClient.RequestInit) : manual
    if (init?.redirect !== "manual") after = Context.add(after, FetchHttpClient.RequestInit, { ...init, ...manual })
    return after
  }
}

const manual = { redirect: "manual" } as const

const within = <A, E, R>(
  fiber: AnyFiber,
  context: Context.Context<never>,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const before = fiber.context
  return Effect.onExitPrimitive(
    Effect.suspend(() => {
      fiber.setContext(context)
      return self
    }),
    () => {
      fiber.setContext(before)
      return undefined
    }
  )
}

const covers = (rule: string | RegExp, name: string): boolean =>
  typeof rule === "string" ? rule.toLowerCase() === name : name.search(rule) !== -1

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
