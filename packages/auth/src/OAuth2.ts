/**
 * Tokens by OAuth 2's client credentials grant (RFC 6749, section 4.4).
 *
 * **Example** (A token endpoint)
 *
 * ```ts import.meta.vitest
 * import { OAuth2 } from "@effect-resilience/auth"
 * import { Effect, Redacted } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const fake = HttpClient.make((request) =>
 *   Effect.succeed(
 *     HttpClientResponse.fromWeb(request, Response.json({ access_token: "t-1", token_type: "Bearer", expires_in: 600 }))
 *   )
 * )
 *
 * const source = OAuth2.clientCredentials(fake, {
 *   tokenUrl: "https://login.example.com/token",
 *   credentials: Effect.succeed({ clientId: "app", clientSecret: Redacted.make("s3cr3t") }),
 *   scope: "tables.write"
 * })
 *
 * const grant = await Effect.runPromise(Effect.flatMap(source, (source) => source.acquire(undefined)))
 * Redacted.value(grant.value) // => "t-1"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as ErrorMapping from "@effect-resilience/http/ErrorMapping"
import * as Operation from "@effect-resilience/http/Operation"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as AuthError from "./AuthError.ts"
import * as tokenResponse from "./internal/tokenResponse.ts"
import * as Origin from "./Origin.ts"
import * as TokenSource from "./TokenSource.ts"

/**
 * The credentials of a client (RFC 6749, section 2.3.1).
 *
 * @category models
 * @since 0.1.0
 */
export interface Client {
  /** The public name of the client. */
  readonly clientId: string
  /** Its secret. */
  readonly clientSecret: Redacted.Redacted
}

/**
 * How to log in with client credentials (RFC 6749, section 4.4).
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The token endpoint; https, or http to loopback. */
  readonly tokenUrl: string
  /** Read for each login. */
  readonly credentials: Effect.Effect<Client, AuthError.AuthError>
  /**
   * Where the credentials are sent: `basic`, the default, in the `Authorization` header; `form` in the body, for servers that
   * read no header.
   */
  readonly authentication?: "basic" | "form" | undefined
  /** Scopes, separated by spaces. */
  readonly scope?: string | undefined
  /** Further parameters that the server needs, for example `audience` or `resource`. */
  readonly parameters?: { readonly [name: string]: string } | undefined
}

/**
 * A source of access tokens. `expires_in` counts from the moment the request was sent. The scope that was granted is the
 * attribute `scope`.
 *
 * **Details**
 *
 * - The response may be JSON or form-encoded.
 * - A missing `token_type` counts as `Bearer`, and so does `BearerToken`.
 * - An `expires_in` that is missing, `null` or unreadable leaves the lifetime to the cache.
 * - A `scope` may be a list, and may be missing.
 * - For any other deviation the failure names the field.
 * - Error codes are read in successful responses too. `invalid_client`, `invalid_grant` and `unauthorized_client` reject the
 *   credentials for good; `temporarily_unavailable`, `server_error` and `slow_down` are transient. See `AuthError.fromApiError`.
 *
 * Fails with `OriginError` where the token endpoint must not get credentials.
 *
 * @category constructors
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const clientCredentials = (
  client: HttpClient.HttpClient,
  options: Options
): Effect.Effect<TokenSource.TokenSource, Origin.OriginError> =>
  Effect.gen(function*() {
    yield* Result.match(Origin.parse(options.tokenUrl), { onFailure: Effect.fail, onSuccess: Effect.succeed })
    const mapped = ErrorMapping.mapErrors(client)
    return TokenSource.login({
      credentials: options.credentials,
      identity: ({ clientId, clientSecret }) => [options.tokenUrl, clientId, clientSecret, options.scope ?? ""],
      login: Effect.fnUntraced(
        function*(credentials: Client) {
          const startedAt = yield* Clock.currentTimeMillis
          const response = yield* mapped.execute(requestOf(options, credentials))
          return yield* tokenResponse.read(response, startedAt)
        },
        Operation.within({ name: "log in", endpoint: "{token endpoint}", idempotent: true })
      )
    })
  })

const requestOf = (options: Options, { clientId, clientSecret }: Client): HttpClientRequest.HttpClientRequest => {
  const secret = Redacted.value(clientSecret)
  const form = options.authentication === "form"
  const parameters = {
    ...options.parameters,
    grant_type: "client_credentials",
    ...(options.scope === undefined ? {} : { scope: options.scope }),
    ...(form ? { client_id: clientId, client_secret: secret } : {})
  }
  const request = HttpClientRequest.post(options.tokenUrl, { acceptJson: true }).pipe(
    HttpClientRequest.bodyUrlParams(parameters)
  )
  if (form) return request
  // RFC 6749, section 2.3.1: both halves are form-encoded first.
  const pair = `${formEncode(clientId)}:${formEncode(secret)}`
  return HttpClientRequest.setHeader(request, "authorization", `Basic ${Base64.encode(pair)}`)
}

const formEncode = (text: string): string => new URLSearchParams([["", text]]).toString().slice(1)
