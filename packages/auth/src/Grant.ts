/**
 * Reads the answer of a login.
 *
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
import type { Grant } from "./Token.ts"

/**
 * - `headers`, `cookies`: where the token may be. All that are present must agree.
 * - `expiryHeaders`: headers that name the end of the token's life (`Expiry.parse`), the first readable one wins; the
 *   token's cookie is read after them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Places {
  readonly headers?: ReadonlyArray<string> | undefined
  readonly cookies?: ReadonlyArray<string> | undefined
  readonly expiryHeaders?: ReadonlyArray<string> | undefined
}

/**
 * Finds the token of a successful answer and when it expires, by our clock. The `Date` header tells how far the server's
 * clock is from ours.
 *
 * **Details**
 *
 * Fails with `NoToken` where no place holds one, and with `AmbiguousToken` where two places hold different ones. A
 * cookie's value is taken as it was sent, not decoded. A cookie for the domain of another host is no token (RFC 6265, section
 * 5.3), and neither is one that the server removes: with `Max-Age=0`, or with an end before its own `Date`.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromResponse: {
  (places: Places): (
    response: HttpClientResponse.HttpClientResponse
  ) => Effect.Effect<Grant, AuthError.AuthError>
  (response: HttpClientResponse.HttpClientResponse, places: Places): Effect.Effect<Grant, AuthError.AuthError>
} = dual(
  2,
  (response: HttpClientResponse.HttpClientResponse, places: Places): Effect.Effect<Grant, AuthError.AuthError> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const headerNames = places.headers ?? []
      const cookieNames = places.cookies ?? []
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
        return Effect.fail(new AuthError.AuthError({ reason: new AuthError.NoToken({ expected: describe(places) }) }))
      }
      if (others.length > 0) {
        return Effect.fail(
          new AuthError.AuthError({ reason: new AuthError.AmbiguousToken({ places: describe(places) }) })
        )
      }
      const clocks = { now, serverNow }
      const expiresAt = firstDefined(places.expiryHeaders ?? [], (name) =>
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
  // Addresses have no domains above them.
  return host === wanted || (host.endsWith(`.${wanted}`) && !/^[\d.]+$|^\[/.test(host))
}

const isRemoval = ({ options }: Cookies.Cookie, serverNow: number | undefined): boolean => {
  if (options?.maxAge !== undefined) return Duration.toMillis(Duration.fromInputUnsafe(options.maxAge)) <= 0
  return options?.expires !== undefined && serverNow !== undefined && options.expires.getTime() <= serverNow
}

const describe = (places: Places): string =>
  [
    ...(places.headers ?? []).map((name) => `header ${name}`),
    ...(places.cookies ?? []).map((name) => `cookie ${name}`)
  ].join(", ")

const firstDefined = <A>(items: ReadonlyArray<A>, f: (item: A) => number | undefined): number | undefined => {
  for (const item of items) {
    const result = f(item)
    if (result !== undefined) return result
  }
  return undefined
}
