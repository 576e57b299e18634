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
 * @since 0.1.0
 */
import * as Authenticated from "@effect-resilience/auth/Authenticated"
import type * as TokenCache from "@effect-resilience/auth/TokenCache"
import type * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as engine from "./internal/engine.ts"
import type {
  Authenticate,
  ClientError,
  Description,
  ErrorOf,
  Options,
  ResilientClient as Client
} from "./internal/models.ts"

export { ForeignUrl } from "./internal/address.ts"
export type * from "./internal/models.ts"

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
export const make = <const D extends Description>(
  description: D & Pipeline.Exactly<D, Description>,
  options: Options = {}
): Effect.Effect<Client<ErrorOf<D>>, never, HttpClient.HttpClient> =>
  // Which errors there are is known to the types of the caller only.
  engine.make(description, options) as unknown as Effect.Effect<Client<ErrorOf<D>>, never, HttpClient.HttpClient>

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
 * The client of the program. For several, give each a service of its own: `Layer.effect(Ledger, ResilientClient.make(…))`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <const D extends Description>(
  description: D & Pipeline.Exactly<D, Description>,
  options: Options = {}
): Layer.Layer<ResilientClient, never, HttpClient.HttpClient> =>
  Layer.effect(ResilientClient, engine.make(description, options))
