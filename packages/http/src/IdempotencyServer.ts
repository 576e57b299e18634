/**
 * The server's side of `Idempotency-Key`: runs a request once, and sends the first response to its repetitions.
 *
 * **Details**
 *
 * Follows draft-ietf-httpapi-idempotency-key-header: a `required` key that is missing gives 400, a key that was used for
 * another request 422, a key whose first request is still running 409. A repetition gets the first status, body and
 * harmless headers, and the header `idempotency-replayed: true`. Safe methods, PUT and DELETE pass through.
 *
 * A response is remembered for a day, unless it says that the request was not carried out: 408, 425, 429 and 5xx by
 * default. Then, as after a failure of the handler, the next request with the key runs again. A handler continues when its
 * client hangs up, so that the repetition finds the response.
 *
 * Effect's `Persistence` decides where responses are kept: memory, Redis, SQL. While the store fails, or does not respond
 * within `storeTimeout`, the middleware responds with 503, since nothing else is safe. A response that cannot be stored yet
 * stays in the process until it can: meanwhile repetitions get 409 here, and the claim keeps other processes from running
 * the request.
 *
 * The store remembers responses; only the process itself knows that a request is running. If several processes serve the
 * same keys, give `claims`: a `Lease` of `@effect-resilience/deadline`, in Redis or SQL.
 *
 * **Gotchas**
 *
 * A process that dies while it runs a request leaves no response: the key is free again after `claimFor`, and the next
 * request with it runs. While a process is suspended for longer than that, another may run its request: if that must not
 * happen, make the handler's own write conditional.
 *
 * A repetition gets the headers of `rememberedHeaders` only, and no cookies. The request's body is kept in memory; bound it
 * by `HttpIncomingMessage.MaxBodySize`.
 *
 * **Example** (One order for two requests)
 *
 * ```ts import.meta.vitest
 * import { IdempotencyServer } from "@effect-resilience/http"
 * import { Effect } from "effect"
 * import { HttpEffect, HttpServerRequest, HttpServerResponse } from "effect/http"
 *
 * let orders = 0
 * const placeOrder = Effect.sync(() => HttpServerResponse.text(`order ${++orders}`, { status: 201 }))
 *
 * const program = Effect.gen(function*() {
 *   const once = yield* IdempotencyServer.make({ caller: (request) => request.headers["x-customer"] })
 *   const handler = HttpEffect.toWebHandler(once(placeOrder))
 *   const post = Effect.promise(() =>
 *     handler(
 *       new Request("https://shop.example/orders", {
 *         method: "POST",
 *         headers: { "idempotency-key": "k-1", "x-customer": "acme" },
 *         body: "2 apples"
 *       })
 *     ).then((response) => response.text())
 *   )
 *   return [yield* post, yield* post]
 * })
 * await Effect.runPromise(Effect.provide(Effect.scoped(program), IdempotencyServer.layerMemory())) // => ["order 1", "order 1"]
 * ```
 *
 * @stability rests on effect/http, effect/persistence
 * @since 0.1.0
 */
import * as Lease from "@effect-resilience/deadline/Lease"
import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import { WebCrypto } from "effect/crypto/WebCrypto"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Hex from "effect/encoding/Hex"
import * as Exit from "effect/Exit"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Persistable from "effect/persistence/Persistable"
import * as Persistence from "effect/persistence/Persistence"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Idempotency from "./Idempotency.ts"
import * as BoundedMemory from "./internal/boundedMemory.ts"

/**
 * Which requests are remembered, for whom and for how long.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Who sends the request, for example the customer that its token was checked to belong to. Keys of different callers are kept
   * apart; without that, one could fetch the responses of another. A request with a key from an unknown caller (`undefined` or
   * empty) gets 401: all of them would be one caller.
   */
  readonly caller: (request: HttpServerRequest.HttpServerRequest) => string | undefined
  /**
   * Which headers of a response are remembered, by lower-case name; `rememberedHeaders` by default. Others, such as tokens,
   * sessions and cookies, go to the first request only.
   */
  readonly headers?: ReadonlyArray<string> | undefined
  /** Rejects an unsafe request without a key; by default it passes through. */
  readonly required?: boolean | undefined
  /** How long a response is remembered; a day by default. */
  readonly timeToLive?: Duration.Input | undefined
  /** The statuses whose responses are remembered; by default all but 408, 425, 429 and 5xx. */
  readonly remember?: ((status: number) => boolean) | undefined
  /** With these, processes that share a store claim a key before they run its request; none by default. */
  readonly claims?: Lease.Lease["Service"] | undefined
  /**
   * How long a key stays claimed by a process that died; 30 seconds by default. The claim is prolonged while the handler runs.
   */
  readonly claimFor?: Duration.Input | undefined
  /**
   * How long the store, or that of the claims, may take to respond; 5 seconds by default. See `StoreTimeout`: a silent store is
   * asked again now and then, and meanwhile every other request gets 503 at once.
   */
  readonly storeTimeout?: Duration.Input | undefined
}

/**
 * Makes a handler run once per key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Middleware {
  <E, R>(
    handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest>
}

/**
 * Makes the middleware. Handlers that are running when its scope closes are interrupted. Throws `RangeError` for a
 * `claimFor` that is not positive.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Middleware, never, Persistence.Persistence | Scope.Scope> => {
  const claimFor = Duration.fromInputUnsafe(options.claimFor ?? "30 seconds")
  requireArgument(Duration.toMillis(claimFor) > 0, "IdempotencyServer.claimFor", "above 0", claimFor)
  const within = StoreTimeout.make(options.storeTimeout ?? "5 seconds")
  return Effect.gen(function*() {
    const scope = yield* Effect.scope
    const store = yield* (yield* Persistence.Persistence).make({
      storeId: "effect-resilience-idempotency",
      timeToLive: () => options.timeToLive ?? Duration.days(1)
    })
    const remember = options.remember ?? carriedOut
    const shown = new Set(options.headers ?? rememberedHeaders)
    const running = new Set<string>()
    const claims = options.claims === undefined ? undefined : Lease.withTimeout(options.claims, within, "claims")
    const owner = (yield* WebCrypto).randomUUID()

    // Runs `self` with the claim to a key, if that is free.
    const claiming = <E, R>(
      claims: Lease.Lease["Service"],
      id: string,
      self: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
    ): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R> => {
      const key = `idempotency:${id}`
      const claim = claims.acquire(key, owner, claimFor)
      const release = Effect.ignore(claims.release(key, owner))
      const prolong = Effect.forever(
        Effect.delay(Effect.ignore(claim), Duration.millis(Duration.toMillis(claimFor) / 3))
      )
      return Effect.flatMap(Effect.result(claim), (claimed) => {
        if (Result.isFailure(claimed)) return Effect.succeed(unavailable)
        return claimed.success
          ? Effect.ensuring(Effect.raceFirst(self, prolong), release)
          : Effect.succeed(stillRunning)
      })
    }

    return <E, R>(handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        if (!unsafe.has(request.method)) return yield* handler
        const key = request.headers[Idempotency.header]
        if (key === undefined || key === "") {
          return options.required === true
            ? problem(400, "Idempotency-Key is missing", "This request needs an Idempotency-Key header.")
            : yield* handler
        }

        const caller = options.caller(request)
        if (caller === undefined || caller === "") return unknownCaller
        const body = yield* Effect.result(request.arrayBuffer)
        if (Result.isFailure(body)) return problem(400, "Unreadable body", "The request's body could not be read.")
        const bytes = new Uint8Array(body.success)
        const fingerprint = yield* digest(`${request.method} ${request.url}\n`, bytes)
        const id = yield* digest(JSON.stringify([caller, key]), new Uint8Array(0))
        const entry = new Remembered({ id })

        const responded = Deferred.makeUnsafe<HttpServerResponse.HttpServerResponse, E>()

        // The first response to the key, if there is one.
        const lookUp = Effect.map(Effect.result(within(store.get(entry))), (known) => {
          if (Result.isFailure(known)) return unavailable
          if (known.success === undefined || !Exit.isSuccess(known.success)) return undefined
          const stored = known.success.value
          return stored.fingerprint === fingerprint
            ? replayed(stored)
            : problem(422, "Key used before", "This Idempotency-Key was used for a different request.")
        })
        const run = Effect.gen(function*() {
          const response = yield* Effect.provideService(
            handler,
            HttpServerRequest.HttpServerRequest,
            withBytes(request, bytes)
          )
          const web = HttpServerResponse.toWeb(response, { context: yield* Effect.context<never>() })
          const content = new Uint8Array(yield* Effect.promise(() => web.arrayBuffer()))
          const stored: StoredResponse = {
            fingerprint,
            status: response.status,
            headers: [...web.headers].filter(([name]) => shown.has(name)),
            body: Base64.encode(content)
          }
          const whole = HttpServerResponse.uint8Array(content, {
            status: response.status,
            headers: Object.fromEntries([...web.headers].filter(([name]) => name !== "set-cookie")),
            cookies: response.cookies
          })
          if (remember(response.status)) {
            const keep = within(store.set(entry, Exit.succeed(stored)))
            // The key stays claimed until a repetition can find the response; the client need not wait for that.
            yield* Effect.catch(keep, () =>
              Effect.logWarning("A response could not be stored yet; a repetition of its request gets 409 until it is")
                .pipe(
                  Effect.andThen(Deferred.succeed(responded, whole)),
                  Effect.andThen(Effect.retry(keep, Schedule.spaced("1 second"))),
                  Effect.ignore
                ))
          }
          return whole
        })
        const ifNew = Effect.flatMap(lookUp, (known) =>
          known === undefined ? run : Effect.succeed(known))
        // With a claim, looked up twice: another process may have run the request in between.
        const first = claims === undefined ? ifNew : Effect.flatMap(
          lookUp,
          (known) =>
            known === undefined ? claiming(claims, id, ifNew) : Effect.succeed(known)
        )
        // All of it runs in a fiber of its own, so a client that hangs up cannot leave its key marked as running.
        const once = Effect.suspend(() => {
          if (running.has(id)) return Effect.succeed(stillRunning)
          running.add(id)
          return Effect.ensuring(Effect.scoped(first), Effect.sync(() => running.delete(id)))
        })
        const fiber = yield* Effect.forkIn(once, scope, { startImmediately: true })
        fiber.addObserver((exit) => Deferred.doneUnsafe(responded, exit))
        return yield* Deferred.await(responded)
      })
  })
}

/**
 * The headers of a response that are remembered by default: those that describe its body, the place of the result, and the
 * server's id of the request.
 *
 * @category constants
 * @since 0.1.0
 */
export const rememberedHeaders: ReadonlyArray<string> = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-location",
  "content-type",
  "etag",
  "last-modified",
  "link",
  "location",
  "request-id",
  "retry-after",
  "vary",
  "x-correlation-id",
  "x-request-id"
]

/**
 * Remembers responses in the memory of this process, up to `maxBytes`, 64 MiB by default. While it is full, unknown keys get
 * 503 before their request runs, and known keys get their response: forgetting one would let its request run twice. Effect's
 * `Persistence.layerMemory` has no such bound, and never drops a response that is not requested again.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (
  options: { readonly maxBytes?: number | undefined } = {}
): Layer.Layer<Persistence.Persistence> =>
  Layer.provide(Persistence.layer, BoundedMemory.layer(options.maxBytes ?? 67_108_864))

const StoredResponse = /* @__PURE__ */ Schema.Struct({
  fingerprint: Schema.String,
  status: Schema.Number,
  headers: Schema.Array(Schema.Tuple([Schema.String, Schema.String])),
  body: Schema.String
})
type StoredResponse = typeof StoredResponse.Type

class Remembered extends Persistable.Class<{ payload: { readonly id: string } }>()("Remembered", {
  primaryKey: ({ id }) => id,
  success: StoredResponse
}) {}

const unsafe: ReadonlySet<string> = /* @__PURE__ */ new Set(["POST", "PATCH"])

const carriedOut = (status: number): boolean => status < 500 && status !== 408 && status !== 425 && status !== 429

const replayed = (stored: StoredResponse): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.uint8Array(Result.getOrElse(Base64.decode(stored.body), () => new Uint8Array(0)), {
    status: stored.status,
    headers: { ...Object.fromEntries(stored.headers), "idempotency-replayed": "true" }
  })

// RFC 9457
const problem = (status: number, title: string, detail: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(JSON.stringify({ title, status, detail }), {
    status,
    contentType: "application/problem+json"
  })

const stillRunning = /* @__PURE__ */ problem(
  409,
  "Still running",
  "The first request with this Idempotency-Key has no response yet."
)

const unknownCaller = /* @__PURE__ */ problem(
  401,
  "Unknown caller",
  "An Idempotency-Key is accepted only from a caller that is known."
)

const unavailable = /* @__PURE__ */ problem(
  503,
  "Unavailable",
  "The server does not know right now whether this request was carried out before."
)

// The body has been read, so the handler gets a request that still has it.
const withBytes = (request: HttpServerRequest.HttpServerRequest, bytes: Uint8Array<ArrayBuffer>) =>
  HttpServerRequest.fromWeb(
    new Request(new URL(request.originalUrl, "http://localhost"), { method: request.method, body: bytes })
  ).modify({ url: request.url, headers: request.headers, remoteAddress: request.remoteAddress })

const digest = (text: string, bytes: Uint8Array): Effect.Effect<string> =>
  Effect.flatMap(WebCrypto, (crypto) => {
    const head = new TextEncoder().encode(text)
    const whole = new Uint8Array(head.length + bytes.length)
    whole.set(head)
    whole.set(bytes, head.length)
    return Effect.promise(() => crypto.subtle.digest("SHA-256", whole))
  }).pipe(Effect.map((hash) => Hex.encode(new Uint8Array(hash))))
