/**
 * One `HttpClient` that a production backend can run, from one description.
 *
 * **Why**
 *
 * Eight policies and four middlewares around a call have one right order and many wrong ones. A client is told what it is for, and
 * takes the rest from `Pipeline.standard`: limits of time, retries that never repeat what may have been applied, a budget for them, a
 * circuit breaker, errors that say what to do, spans, metrics, log lines without secrets.
 *
 * **Details**
 *
 * - The client sends below its base URL only. An absolute URL elsewhere is rejected with `ForeignUrl`, unless `origins` names it;
 *   credentials go to the base URL in any case only.
 * - `Operation.within` names a call; `operations` says what is different for it. A part that an operation names is its own, all
 *   others are those of the client: a circuit that is open is open for all operations.
 * - Redirects are not followed, and no `Idempotency-Key` is sent, unless the description says so.
 *
 * **Example** (A client)
 *
 * ```ts import.meta.vitest
 * import { ResilientClient } from "@effect-resilience/client"
 * import { Effect, Layer } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const flaky = Layer.sync(HttpClient.HttpClient, () => {
 *   let requests = 0
 *   return HttpClient.make((request) =>
 *     Effect.sync(() =>
 *       HttpClientResponse.fromWeb(request, new Response("{}", { status: requests++ === 0 ? 503 : 200 }))
 *     )
 *   )
 * })
 *
 * const ledger = ResilientClient.layer({ name: "ledger", baseUrl: "https://ledger.example.com" })
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* ResilientClient.ResilientClient
 *   const response = yield* client.get("/accounts/17")
 *   return response.status
 * })
 *
 * await Effect.runPromise(Effect.provide(program, Layer.provide(ledger, flaky))) // => 200
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Authenticated from "@effect-resilience/auth/Authenticated"
import type * as TokenCache from "@effect-resilience/auth/TokenCache"
import type * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as engine from "./internal/engine.ts"
import { makeFetch } from "./internal/fetch.ts"
import { httpClient } from "./internal/httpClient.ts"
import type {
  Authenticate,
  ClientError,
  Description,
  Errors,
  Options,
  ResilientClient as Client,
  SomeParts,
  Supplied,
  Supplying
} from "./internal/models.ts"
import * as scripted from "./internal/scripted.ts"
import type { Script, TestServer } from "./internal/scripted.ts"
import * as values from "./internal/standard.ts"

export { ForeignUrl } from "./internal/address.ts"
export type * from "./internal/models.ts"
export { TestServer } from "./internal/scripted.ts"
export type { Script, Scripted, Sent } from "./internal/scripted.ts"

/**
 * What a client has where its description says nothing, to vary it: `{ pipeline: { ...standard.pipeline, retry: { times: 5 } } }`.
 * `timeouts` are merged, so they need no spread.
 *
 * @category constants
 * @since 0.1.0
 */
export const standard: { readonly pipeline: typeof values.pipeline; readonly timeouts: typeof values.timeouts } = values

/**
 * Sends the tokens of a cache, `Authorization: Bearer TOKEN` by default.
 *
 * @category authentication
 * @since 0.1.0
 */
export const tokens = (
  cache: TokenCache.TokenCache["Service"],
  options: Partial<Omit<Authenticated.Options, "origin">> = {}
): Authenticate =>
(client, origin) => Authenticated.withTokens(client, cache, { attach: Authenticated.bearer, ...options, origin })

/**
 * Makes a client over the surrounding `HttpClient`. Throws `RangeError` where the description makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const D extends Description, P extends SomeParts = object>(
  description: D & Pipeline.Exactly<D, Description> & Supplied<D, P>,
  options?: Supplying<P>
): Effect.Effect<Client<Errors<D>["error"]>, never, HttpClient.HttpClient> =>
  // Which errors there are is known to the types of the caller only.
  engine.make(description, options ?? {}) as unknown as Effect.Effect<
    Client<Errors<D>["error"]>,
    never,
    HttpClient.HttpClient
  >

/**
 * The client of the program.
 *
 * @category services
 * @since 0.1.0
 */
export const ResilientClient: Context.Service<Client, Client> = /* @__PURE__ */ Context.Service<Client>(
  "@effect-resilience/client/ResilientClient"
)

/**
 * A client from a description.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResilientClient<E = ClientError> extends Client<E> {}

/**
 * The client of the program. For several, give each a service of its own:
 * `Layer.effect(Ledger, ResilientClient.make<ResilientClient.Description>({ … }))`. Without the type argument a client has the errors of
 * its own description only, and does not fit the service.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <const D extends Description, P extends SomeParts = object>(
  description: D & Pipeline.Exactly<D, Description> & Supplied<D, P>,
  options?: Supplying<P>
): Layer.Layer<ResilientClient, never, HttpClient.HttpClient> =>
  Layer.effect(ResilientClient, engine.make(description, options ?? {}))

/**
 * The client without policies and limits of time: one attempt a call. Addresses, headers, redirects, authentication and errors are the
 * same. Use it where a test or a tool wants to see each failure at once.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop = <const D extends Description>(
  description: D & Pipeline.Exactly<D, Description>,
  options: Omit<Options, "policies"> = {}
): Layer.Layer<ResilientClient, never, HttpClient.HttpClient> =>
  Layer.effect(
    ResilientClient,
    Effect.map(engine.make(withoutPolicies(description), options), (client) => {
      const { reload } = client
      return Object.assign(client, { reload: (next: Description) => reload(withoutPolicies(next)) })
    })
  )

const withoutPolicies = (description: Description): Description => ({
  ...description,
  pipeline: {},
  timeouts: { total: Infinity, attempt: Infinity, connect: Infinity, firstByte: Infinity, idle: Infinity },
  operations: Object.fromEntries(
    Object.entries(description.operations ?? {}).map((
      [name, { pipeline: _, timeouts: _timeouts, without: _without, ...said }]
    ) => [name, said])
  )
})

/**
 * The client over a script in place of a transport, for tests. The policies are those of the description, in the time of the test:
 * `TestClock.adjust` moves backoff, limits of time and open circuits. `TestServer` has what was sent.
 *
 * **Example** (A backoff that takes no time)
 *
 * ```ts import.meta.vitest
 * import { ResilientClient } from "@effect-resilience/client"
 * import { Effect, Fiber } from "effect"
 * import { TestClock } from "effect/testing"
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* ResilientClient.ResilientClient
 *   const call = yield* Effect.forkChild(client.get("/accounts/17"))
 *   yield* TestClock.adjust("1 minute")
 *   const response = yield* Fiber.join(call)
 *   const server = yield* ResilientClient.TestServer
 *   const sent = yield* server.sent
 *   return `${response.status} after ${sent.map(({ method, url }) => `${method} ${url}`).join(", ")}`
 * })
 *
 * const test = ResilientClient.layerTest({ name: "ledger", baseUrl: "https://ledger.example.com" }, [
 *   new Response("busy", { status: 503 }),
 *   Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }),
 *   Response.json({ balance: "12.50" })
 * ])
 * await Effect.runPromise(Effect.provide(program, [test, TestClock.layer()]))
 * // => "200 after GET https://ledger.example.com/accounts/17, GET https://ledger.example.com/accounts/17, GET https://ledger.example.com/accounts/17"
 * ```
 *
 * @category testing
 * @since 0.1.0
 */
export const layerTest = <const D extends Description, P extends SomeParts = object>(
  description: D & Pipeline.Exactly<D, Description> & Supplied<D, P>,
  script: Script,
  options?: Supplying<P>
): Layer.Layer<ResilientClient | TestServer> =>
  Layer.provideMerge(
    Layer.effect(ResilientClient, engine.make(description, options ?? {})),
    scripted.layerScript(script)
  )

/**
 * The script alone, for layers of clients that a program has: `Layer.provide(Ledger.layer, ResilientClient.layerScript([…]))`.
 *
 * @category testing
 * @since 0.1.0
 */
export const layerScript: (script: Script) => Layer.Layer<HttpClient.HttpClient | TestServer> = scripted.layerScript

/**
 * The client as Effect's own `HttpClient`, for code that knows nothing else. Responses of any status are successes, the last one of
 * the call. Where there is none, the error is an `HttpClientError` whose cause is that of this client; `Classifier` and `NotAsked`
 * read it.
 *
 * @category converting
 * @since 0.1.0
 */
export const toHttpClient: <E>(client: Client<E>) => HttpClient.HttpClient = httpClient

/**
 * The `HttpClient` of a program, from a description: for libraries that take it from their context. Their own retries are to be
 * switched off.
 *
 * **Example** (Below a library)
 *
 * ```ts import.meta.vitest
 * import { ResilientClient } from "@effect-resilience/client"
 * import { Effect, Layer } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const transport = Layer.succeed(
 *   HttpClient.HttpClient,
 *   HttpClient.make((request) => Effect.succeed(HttpClientResponse.fromWeb(request, new Response("", { status: 404 }))))
 * )
 * const layer = ResilientClient.layerHttpClient({ name: "ledger", baseUrl: "https://ledger.example.com" })
 *
 * const library = Effect.map(HttpClient.get("/accounts/17"), (response) => response.status)
 * await Effect.runPromise(Effect.provide(library, Layer.provide(layer, transport))) // => 404
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHttpClient = <const D extends Description, P extends SomeParts = object>(
  description: D & Pipeline.Exactly<D, Description> & Supplied<D, P>,
  options?: Supplying<P>
): Layer.Layer<HttpClient.HttpClient, never, HttpClient.HttpClient> =>
  Layer.effect(HttpClient.HttpClient, Effect.map(engine.make(description, options ?? {}), httpClient))

/**
 * A `fetch` that sends through a client, and what gives its resources back.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fetch {
  (input: string | URL | Request, init?: RequestInit): Promise<Response>
  /** Ends the transport. Calls that run, and bodies that are not read to their end, are interrupted. */
  readonly dispose: () => Promise<void>
}

/**
 * How a client for a browser or a worker sends.
 *
 * @category models
 * @since 0.1.0
 */
export interface FetchOptions extends Options {
  /**
   * What sends; default `FetchHttpClient.layer`, the platform's own `fetch`. Layers beside it say where log lines and spans go:
   * `Layer.mergeAll(FetchHttpClient.layer, AccessLog.layerLogger, Logger.layer([logger]))`. Where it fails, each call does.
   */
  readonly transport?: Layer.Layer<HttpClient.HttpClient, unknown> | undefined
}

/**
 * A `fetch` for code and SDKs that take one. Throws `RangeError` where the description makes no sense.
 *
 * **Details**
 *
 * It gives back the last response, of any status, and throws only where there is none: the signal's reason after an abort, otherwise
 * `TypeError: fetch failed`, whose `cause` is the error of the client. Relative URLs are below the base URL; those of other origins
 * are rejected.
 *
 * Bodies can be sent again, but for a `ReadableStream` as `body` of `init`: it is sent once. The body of a `Request` is read into
 * memory before the call begins, for as long as that takes.
 *
 * A response that is not JSON is a stream, however it is read: `timeouts.idle` limits it, and what has begun to arrive is not asked for
 * again. `statusText` is empty, `redirected` is false, and of several cookies with one name `Set-Cookie` has the last.
 *
 * `redirect` says what becomes of redirects that the description follows; those that it does not follow are responses.
 *
 * **When to use**
 *
 * An SDK has retries of its own: switch them off, or attempts multiply. The README has how, for some of them.
 *
 * **Example** (An SDK that takes a fetch)
 *
 * ```ts import.meta.vitest
 * import { ResilientClient } from "@effect-resilience/client"
 * import { Effect, Layer } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * let requests = 0
 * const transport = Layer.succeed(
 *   HttpClient.HttpClient,
 *   HttpClient.make((request) =>
 *     Effect.sync(() =>
 *       HttpClientResponse.fromWeb(request, new Response("{}", { status: requests++ === 0 ? 503 : 200 }))
 *     )
 *   )
 * )
 * const fetch = ResilientClient.fetch({ name: "models", baseUrl: "https://models.example.com/v1" }, { transport })
 *
 * const response = await fetch("https://models.example.com/v1/models")
 * response.status // => 200
 * ```
 *
 * @category converting
 * @since 0.1.0
 */
export const fetch = <const D extends Description, P extends SomeParts = object>(
  description: D & Pipeline.Exactly<D, Description> & Supplied<D, P>,
  { transport = FetchHttpClient.layer, ...options }: Supplying<P, FetchOptions> = {}
): Fetch => {
  const made = Layer.effect(ResilientClient, engine.make(description, options))
  const runtime = ManagedRuntime.make(Layer.provideMerge(made, transport))
  const bodies = new Set<(reason: unknown) => void>()
  return Object.assign(
    makeFetch<ClientError>(
      (call, options) => runtime.runPromiseExit(Effect.flatMap(ResilientClient, call), options),
      bodies
    ),
    {
      dispose: () => {
        for (const end of bodies) end(new TypeError("fetch failed", { cause: new Error("the fetch was disposed") }))
        return runtime.dispose()
      }
    }
  )
}

/**
 * The same for a client that there is, in whose context it sends.
 *
 * @category converting
 * @since 0.1.0
 */
export const toFetch = <E>(client: Client<E>): Effect.Effect<typeof globalThis.fetch> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.succeed(makeFetch<E>((call, options) => Effect.runPromiseExitWith(context)(call(client), options)))
  )
