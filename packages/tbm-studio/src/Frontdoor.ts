/**
 * Logs in to TBM Studio and finds the environment.
 *
 * **Details**
 *
 * One login serves all callers until shortly before its token expires (1 hour where the server does not say otherwise,
 * refreshed 5 minutes early). A login that fails because of an outage is retried within bounds. A rejected login is never
 * retried, since accounts lock after failed logins. The environment's id is stable, so it is looked up once.
 *
 * **Example** (The environment, looked up once)
 *
 * ```ts import.meta.vitest
 * import { Frontdoor, TbmStudio } from "@effect-resilience/tbm-studio"
 * import * as SimulatedStudio from "@effect-resilience/tbm-studio/SimulatedStudio"
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const { environmentId } = yield* Frontdoor.Frontdoor
 *   return (yield* environmentId) === (yield* environmentId)
 * })
 *
 * const live = TbmStudio.layer.pipe(Layer.provide(SimulatedStudio.layer()), Layer.provide(NodeHttpClient.layerUndici))
 * await Effect.runPromise(Effect.provide(program, live)) // => true
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import type * as Authenticated from "@effect-resilience/auth/Authenticated"
import * as AuthError from "@effect-resilience/auth/AuthError"
import * as Grant from "@effect-resilience/auth/Grant"
import * as TokenCache from "@effect-resilience/auth/TokenCache"
import * as TokenSource from "@effect-resilience/auth/TokenSource"
import * as ResilientClient from "@effect-resilience/client/ResilientClient"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as Operation from "@effect-resilience/http/Operation"
import * as ResponseBody from "@effect-resilience/http/ResponseBody"
import * as Telemetry from "@effect-resilience/http/Telemetry"
import * as Cache from "effect/Cache"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Messages from "./Messages.ts"
import { Settings } from "./Settings.ts"

/**
 * What a call to any of the services fails with.
 *
 * @category errors
 * @since 0.1.0
 */
export type CallError = ResilientClient.ErrorOf<{
  readonly name: string
  readonly baseUrl: string
  readonly auth: ResilientClient.Authenticate
  readonly pipeline: {}
}>

/**
 * The login of TBM Studio.
 *
 * - `tokens`: the one login that all calls share.
 * - `environmentId`: the first caller looks it up. A success is remembered, a failure is not.
 *
 * @category services
 * @since 0.1.0
 */
export class Frontdoor extends Context.Service<Frontdoor, {
  readonly tokens: TokenCache.TokenCache["Service"]
  readonly environmentId: Effect.Effect<string, CallError>
}>()("@effect-resilience/tbm-studio/Frontdoor") {
  /** Talks to the frontdoor that the settings name. */
  static readonly layer: Layer.Layer<Frontdoor, never, Settings | HttpClient.HttpClient> = Layer.effect(
    Frontdoor,
    Effect.suspend(() => make)
  )
}

/**
 * Wraps the token source before it is used, for example to share tokens with other processes, as `TokenFile.layer` does.
 * The default changes nothing.
 *
 * @category references
 * @since 0.1.0
 */
export const ShareTokens: Context.Reference<
  (source: TokenSource.TokenSource) => Effect.Effect<TokenSource.TokenSource, never, Scope.Scope>
> = Context.Reference<(source: TokenSource.TokenSource) => Effect.Effect<TokenSource.TokenSource, never, Scope.Scope>>(
  "@effect-resilience/tbm-studio/Frontdoor/ShareTokens",
  { defaultValue: () => Effect.succeed }
)

/**
 * The token's name, as a header and as a cookie.
 *
 * @category constants
 * @since 0.1.0
 */
export const tokenName = "apptio-opentoken"

/**
 * The headers of every call after login. Without the last two, the API responds as if the token were wrong.
 *
 * @category combinators
 * @since 0.1.0
 */
export const attach: Authenticated.Attach = (request, token) =>
  HttpClientRequest.setHeaders(request, {
    [tokenName]: Redacted.value(token.value),
    "app-type": "Flagship",
    "app-version": "NA"
  })

const login: Operation.Operation = { name: "log in", endpoint: "/service/apikeylogin", idempotent: true }

const lookUp: Operation.Operation = { name: "look up environment", endpoint: "/api/environment/{domain}/{environment}" }

// A login has retries and a timeout of its own: the token cache's. A failed one is not repeated with each retry of the look-up.
const isFromLookUp = (error: unknown) => !(error instanceof AuthError.AuthError)

const description = (settings: Settings["Service"]) => ({
  name: "frontdoor",
  baseUrl: settings.frontdoor,
  body: "whole",
  timeouts: { attempt: "30 seconds", total: "Infinity" },
  pipeline: {}
} as const)

const make = Effect.gen(function*() {
  const settings = yield* Settings
  const options = { patterns: Messages.patterns }
  const described = description(settings)
  const anonymous = yield* ResilientClient.make(described, options)

  const loggedIn = HttpClientRequest.post(login.endpoint).pipe(
    HttpClientRequest.acceptJson,
    HttpClientRequest.bodyJsonUnsafe({
      keyAccess: Redacted.value(settings.publicKey),
      keySecret: Redacted.value(settings.secretKey)
    }),
    anonymous.execute,
    Operation.within(login),
    Effect.flatMap(Grant.fromResponse({
      headers: [tokenName],
      cookies: [tokenName],
      expiryHeaders: ["valid_till", "valid-till"]
    }))
  )
  const source = TokenSource.login({
    credentials: Effect.succeed(settings),
    identity: ({ frontdoor, publicKey, secretKey }) => [frontdoor, publicKey, secretKey],
    login: () => loggedIn
  })
  const share = yield* ShareTokens
  // One call in log and telemetry, however often it is tried.
  const observed = <A, E>(whole: Effect.Effect<A, E>) =>
    whole.pipe(Telemetry.observeCall, AccessLog.logCall, Operation.within(login))
  const tokens = yield* TokenCache.make(yield* share(source), { around: observed })

  const client = yield* ResilientClient.make({
    ...described,
    auth: ResilientClient.tokens(tokens, { attach }),
    pipeline: { retry: { when: isFromLookUp } }
  }, options)
  const path = `/api/environment/${encodeURIComponent(settings.domain)}/${encodeURIComponent(settings.environment)}`
  const id = client.get(path, { acceptJson: true }).pipe(
    Effect.flatMap(ResponseBody.json(Environment)),
    Telemetry.observeCall,
    AccessLog.logCall,
    Operation.within(lookUp),
    Effect.map(({ id }) => String(id))
  )
  const environments = yield* Cache.makeWith(() => id, {
    capacity: 1,
    timeToLive: (exit) => Exit.isSuccess(exit) ? Duration.infinity : Duration.zero
  })
  return Frontdoor.of({ tokens, environmentId: Cache.get(environments, settings.environment) })
})

// The id is opaque: some servers send a UUID, others a number. It becomes a header, so it must fit into one.
const Id = Schema.String.check(Schema.isPattern(/^[!-~](?:[ -~]{0,198}[!-~])?$/))
const Environment = Schema.Struct({ id: Schema.Union([Id, Schema.Number]) })
