/**
 * Logs in to TBM Studio and finds the environment.
 *
 * **Details**
 *
 * One login serves all callers until shortly before its token expires (1 hour where the server does not say otherwise,
 * refreshed 5 minutes early). A login that fails because of an outage is retried within bounds. A rejected login is never
 * retried, since accounts lock after failed logins. The environment's id is stable, so it is looked up once.
 *
 * @since 0.1.0
 */
import * as Authenticated from "@effect-resilience/auth/Authenticated"
import type * as AuthError from "@effect-resilience/auth/AuthError"
import * as Grant from "@effect-resilience/auth/Grant"
import * as Origin from "@effect-resilience/auth/Origin"
import * as TokenCache from "@effect-resilience/auth/TokenCache"
import * as TokenSource from "@effect-resilience/auth/TokenSource"
import type * as ApiError from "@effect-resilience/errors/ApiError"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as ErrorMapping from "@effect-resilience/http/ErrorMapping"
import * as Operation from "@effect-resilience/http/Operation"
import * as ResponseBody from "@effect-resilience/http/ResponseBody"
import * as Telemetry from "@effect-resilience/http/Telemetry"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Cache from "effect/Cache"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Messages from "./Messages.ts"
import { Settings } from "./Settings.ts"

/**
 * - `tokens`: the one login that all calls share.
 * - `environmentId`: the first caller looks it up. A success is remembered, a failure is not.
 *
 * @category services
 * @since 0.1.0
 */
export class Frontdoor extends Context.Service<Frontdoor, {
  readonly tokens: TokenCache.TokenCache["Service"]
  readonly environmentId: Effect.Effect<string, ApiError.ApiError | AuthError.AuthError>
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

const make = Effect.gen(function*() {
  const settings = yield* Settings
  const origin = Origin.make(settings.frontdoor)
  const client = (yield* HttpClient.HttpClient).pipe(
    ErrorMapping.mapErrors({ patterns: Messages.patterns, timeout: responseTimeout, body: "whole" }),
    Telemetry.observeAttempts,
    AccessLog.logAttempts
  )

  const login = HttpClientRequest.post(`${settings.frontdoor}/service/apikeylogin`).pipe(
    HttpClientRequest.acceptJson,
    HttpClientRequest.bodyJsonUnsafe({
      keyAccess: Redacted.value(settings.publicKey),
      keySecret: Redacted.value(settings.secretKey)
    }),
    client.execute,
    Telemetry.observeCall,
    AccessLog.logCall,
    Operation.within({ name: "log in", endpoint: "/service/apikeylogin", idempotent: true }),
    Effect.flatMap(Grant.fromResponse({
      headers: [tokenName],
      cookies: [tokenName],
      expiryHeaders: ["valid_till", "valid-till"]
    }))
  )
  const source = TokenSource.login({
    credentials: Effect.succeed(settings),
    identity: ({ frontdoor, publicKey, secretKey }) => [frontdoor, publicKey, secretKey],
    login: () => login
  })
  const share = yield* ShareTokens
  const tokens = yield* TokenCache.make(yield* share(source))

  const lookUp = client.pipe(Authenticated.withTokens(tokens, { origin, attach })).get(
    `${settings.frontdoor}/api/environment/${encodeURIComponent(settings.domain)}/${
      encodeURIComponent(settings.environment)
    }`,
    { acceptJson: true }
  ).pipe(
    Effect.flatMap(ResponseBody.json(Environment)),
    RetryPolicy.retry(RetryPolicy.standard, { when: isFromLookUp }),
    Telemetry.observeCall,
    AccessLog.logCall,
    Operation.within({ name: "look up environment", endpoint: "/api/environment/{domain}/{environment}" }),
    Effect.map(({ id }) => String(id))
  )
  const environments = yield* Cache.makeWith(() => lookUp, {
    capacity: 1,
    timeToLive: (exit) => Exit.isSuccess(exit) ? Duration.infinity : Duration.zero
  })
  return Frontdoor.of({ tokens, environmentId: Cache.get(environments, settings.environment) })
})

// A login has retries and a timeout of its own. A failed login is not repeated with each retry of the look-up.
const isFromLookUp = (error: ApiError.ApiError | AuthError.AuthError) => error._tag === "ApiError"

/** How long an attempt at a login or a look-up may take, including the response's body. */
const responseTimeout: Duration.Input = "30 seconds"

// The id is opaque: some servers send a UUID, others a number. It becomes a header, so it must fit into one.
const Id = Schema.String.check(Schema.isPattern(/^[!-~](?:[ -~]{0,198}[!-~])?$/))
const Environment = Schema.Struct({ id: Schema.Union([Id, Schema.Number]) })
