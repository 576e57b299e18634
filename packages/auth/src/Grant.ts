/**
 * What a successful login yields, and how to read it from the response.
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Cookies from "effect/http/Cookies"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Redacted from "effect/Redacted"
import * as AuthError from "./AuthError.ts"
import * as Expiry from "./Expiry.ts"

/**
 * A token, and what the login said about it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Grant {
  /** The token itself. */
  readonly value: Redacted.Redacted
  /**
   * Epoch milliseconds by *our* clock (`Expiry.onOurClock`); `undefined` where the server did not say, `Infinity` where it
   * never ends.
   */
  readonly expiresAt?: number | undefined
  /**
   * What else the login said and the calls need: a tenant, an environment, an instance's address. No secrets: they are shown
   * and stored as they are.
   */
  readonly attributes?: { readonly [name: string]: string } | undefined
  /** Whether another process logged in, and the token came from the store that they share. */
  readonly shared?: boolean | undefined
}

/**
 * Where a response may have the token and its expiry.
 *
 * - `headers`, `cookies`: for the token. All that are present must agree.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenLocations {
  readonly headers?: ReadonlyArray<string> | undefined
  readonly cookies?: ReadonlyArray<string> | undefined
  /** For the end of the token's life (`Expiry.parse`). The first readable one wins; the token's cookie comes after them. */
  readonly expiryHeaders?: ReadonlyArray<string> | undefined
}

/**
 * Finds the token in a successful response, and when it expires by our clock. The `Date` header says how far the server's
 * clock is from ours.
 *
 * **Details**
 *
 * Fails with `NoToken` where no location has one, and with `AmbiguousToken` where two have different ones. A cookie's value is
 * taken as it was sent, not decoded. A cookie for the domain of another host is ignored (RFC 6265, section 5.3), and so is one
 * that the server removes: with `Max-Age=0`, or with an end before its own `Date`.
 *
 * @category decoding
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const fromResponse: {
  (locations: TokenLocations): (
    response: HttpClientResponse.HttpClientResponse
  ) => Effect.Effect<Grant, AuthError.AuthError>
  (
    response: HttpClientResponse.HttpClientResponse,
    locations: TokenLocations
  ): Effect.Effect<Grant, AuthError.AuthError>
} = /* @__PURE__ */ dual(
  2,
  (
    response: HttpClientResponse.HttpClientResponse,
    locations: TokenLocations
  ): Effect.Effect<Grant, AuthError.AuthError> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const headerNames = locations.headers ?? []
      const cookieNames = locations.cookies ?? []
      const serverNow = Expiry.serverNow(response.headers)
      const host = hostOf(response)
      const cookies = cookieNames.flatMap((name) => response.cookies.cookies[name] ?? []).filter((cookie) =>
        isOf(host, cookie.options?.domain) && !isRemoval(cookie, serverNow)
      )
      const found = new Set([
        ...headerNames.map((name) => response.headers[name.toLowerCase()]?.trim()),
        ...cookies.map((cookie) => cookie.valueEncoded)
      ])
      found.delete(undefined)
      found.delete("")
      const [value, ...others] = found
      if (value === undefined) {
        return Effect.fail(
          new AuthError.AuthError({ reason: new AuthError.NoToken({ expected: describe(locations) }) })
        )
      }
      if (others.length > 0) {
        return Effect.fail(
          new AuthError.AuthError({ reason: new AuthError.AmbiguousToken({ locations: describe(locations) }) })
        )
      }
      const clocks = { now, serverNow }
      const expiresAt = firstDefined(locations.expiryHeaders ?? [], (name) =>
        Expiry.onOurClock(Expiry.parse(response.headers[name.toLowerCase()]), clocks)) ??
        firstDefined(cookies, (cookie) =>
          Expiry.fromCookie(cookie, clocks))
      return Effect.succeed({ value: Redacted.make(value), expiresAt })
    })
)

const hostOf = (response: HttpClientResponse.HttpClientResponse): string | undefined => {
  const { url } = response.request
  return URL.canParse(url) ? new URL(url).hostname : undefined
}

const isOf = (host: string | undefined, domain: string | undefined): boolean => {
  if (domain === undefined || host === undefined) return true
  const wanted = domain.toLowerCase()
  // An IP address has no parent domain.
  return host === wanted || (host.endsWith(`.${wanted}`) && !/^[\d.]+$|^\[/.test(host))
}

const isRemoval = ({ options }: Cookies.Cookie, serverNow: number | undefined): boolean => {
  if (options?.maxAge !== undefined) return Duration.toMillis(Duration.fromInputUnsafe(options.maxAge)) <= 0
  return options?.expires !== undefined && serverNow !== undefined && options.expires.getTime() <= serverNow
}

const describe = (locations: TokenLocations): string =>
  [
    ...(locations.headers ?? []).map((name) => `header ${name}`),
    ...(locations.cookies ?? []).map((name) => `cookie ${name}`)
  ].join(", ")

const firstDefined = <A>(items: ReadonlyArray<A>, f: (item: A) => number | undefined): number | undefined => {
  for (const item of items) {
    const result = f(item)
    if (result !== undefined) return result
  }
  return undefined
}
