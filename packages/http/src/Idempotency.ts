/**
 * Gives requests an `Idempotency-Key`, by which the server distinguishes a repetition from a second order.
 *
 * **When to use**
 *
 * Use for POST and PATCH towards an API that knows the header (draft-ietf-httpapi-idempotency-key-header; Stripe, Adyen
 * and many others; `IdempotencyServer` for one of your own). A request that carries a key counts as repeatable in
 * `HttpRetry` and `ErrorMapping`.
 *
 * **Details**
 *
 * `addKeys` belongs outside retries, so that all attempts of a call carry the same key. Requests that are idempotent
 * without a key, and those that already have one, stay as they are.
 *
 * **Gotchas**
 *
 * A key that the server ignores protects nothing. Add keys only if the API documents them.
 *
 * **Example** (One key for all attempts)
 *
 * ```ts import.meta.vitest
 * import { ErrorMapping, HttpRetry, Idempotency } from "@effect-resilience/http"
 * import { Backoff, RetryPolicy } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const keys = new Set<string | undefined>()
 * let requests = 0
 * const flaky = HttpClient.make((request) =>
 *   Effect.sync(() => {
 *     keys.add(request.headers["idempotency-key"])
 *     return HttpClientResponse.fromWeb(request, new Response(null, { status: ++requests < 3 ? 502 : 201 }))
 *   })
 * )
 * const client = flaky.pipe(
 *   ErrorMapping.mapErrors(),
 *   HttpRetry.retry(RetryPolicy.make({ backoff: Backoff.immediate })),
 *   Idempotency.addKeys
 * )
 *
 * const response = await Effect.runPromise(client.post("https://api.example.com/orders"))
 * response.status // => 201
 * requests // => 3
 * keys.size // => 1
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Repetition from "@effect-resilience/errors/Repetition"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Operation from "./Operation.ts"

/**
 * The name of the header, in lower case.
 *
 * @category constants
 * @since 0.1.0
 */
export const header = "idempotency-key"

/**
 * The key that `withKey` sets for the current fiber; by default each call gets a new one.
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentKey: Context.Reference<string | undefined> = /* @__PURE__ */ Context.Reference<string | undefined>(
  "@effect-resilience/http/Idempotency/CurrentKey",
  { defaultValue: () => undefined }
)

/**
 * Sets the key of the only request within an effect, for example to the id of an order, so that a program that restarts
 * after a crash repeats the request under the same key.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withKey: {
  (key: string): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, key: string): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, key: string): Effect.Effect<A, E, R> =>
    Effect.provideService(self, CurrentKey, key)
)

/**
 * Adds a key to every request that is not idempotent without one: that of `withKey`, or a random UUID.
 *
 * @category middleware
 * @since 0.1.0
 */
export const addKeys = <E, R>(client: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  HttpClient.makeWith<never, never, E, R>(
    Effect.flatMap((request) =>
      Effect.withFiber((fiber) => client.execute(withKeyUnsafe(request, fiber.getRef(Operation.Current), fiber)))
    ),
    Effect.succeed
  )

/**
 * The request with the key that `addKeys` would add, if any.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withKeyUnsafe = (
  request: HttpClientRequest.HttpClientRequest,
  operation: Operation.Operation | undefined,
  fiber: Fiber.Fiber<unknown, unknown>
): HttpClientRequest.HttpClientRequest =>
  Operation.isIdempotent(operation, request)
    ? request
    : HttpClientRequest.setHeader(request, header, fiber.getRef(CurrentKey) ?? uuid(fiber.getRef(Random.Random)))

/**
 * Says to the policies inside which requests may be sent twice: `repetitionOf` each request is its `Repetition.Current`. It belongs
 * outside a pipeline, and inside `addKeys`.
 *
 * **Example** (A pipeline that hedges reads, and no writes)
 *
 * ```ts
 * import { Idempotency } from "@effect-resilience/http"
 * import { Hedge } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 * import { HttpClient } from "effect/http"
 *
 * export const hedged = Effect.gen(function*() {
 *   const client = yield* HttpClient.HttpClient
 *   const hedge = yield* Hedge.make({ share: 0.05 })
 *   return client.pipe(HttpClient.transform((call) => hedge.execute(call)), Idempotency.declare)
 * })
 * ```
 *
 * @category middleware
 * @since 0.1.0
 */
export const declare = <E, R>(client: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  HttpClient.makeWith<never, never, E, R>(
    Effect.flatMap((request) =>
      Effect.withFiber((fiber) =>
        Effect.provideService(
          client.execute(request),
          Repetition.Current,
          repetitionOf(fiber.getRef(Operation.Current), request)
        )
      )
    ),
    Effect.succeed
  )

/**
 * Whether a request may be sent twice.
 *
 * | request | repetition |
 * | --- | --- |
 * | its body is a `ReadableStream` or another iterator, which can be read once | `unlessBegun` |
 * | not repeatable (`Operation.isIdempotent`) | `unlessApplied` |
 * | repeatable, with a `Stream` as its body, which two attempts at once may share | `inTurn` |
 * | any other | `always` |
 *
 * @category accessors
 * @since 0.1.0
 */
export const repetitionOf = (
  operation: Operation.Operation | undefined,
  request: HttpClientRequest.HttpClientRequest
): Repetition.Repetition => {
  const { body } = request
  if (body._tag === "Raw" && Predicate.hasProperty(body.body, Symbol.asyncIterator)) return "unlessBegun"
  if (!Operation.isIdempotent(operation, request)) return "unlessApplied"
  return body._tag === "Stream" ? "inTurn" : "always"
}

// RFC 9562, version 4.
const uuid = (random: { readonly nextDoubleUnsafe: () => number }): string =>
  "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx".replace(/[xy]/g, (place) => {
    const digit = Math.floor(random.nextDoubleUnsafe() * 16)
    return (place === "x" ? digit : (digit & 3) | 8).toString(16)
  })
