/**
 * Where credentials may go.
 *
 * **Why**
 *
 * `https://api.example.com.evil.test` and `https://api.example.com@evil.test` look right and are not. A base URL is checked once,
 * when it is configured, and every request is checked against it before anything is sent.
 *
 * **Details**
 *
 * An origin is a scheme, a host and a port. Plain `http` is for loopback addresses only. An address with user info is rejected:
 * that is either a credential or a disguise.
 *
 * **Example** (Checking a configured address)
 *
 * ```ts import.meta.vitest
 * import { Origin } from "@effect-resilience/auth"
 * import { Result } from "effect"
 *
 * const origin = Origin.parse("https://api.example.com/v1")
 * Result.map(origin, String) // => Result.succeed("https://api.example.com")
 *
 * Result.map(Origin.parse("http://api.example.com"), String)
 * // => Result.fail(new Origin.OriginError({ problem: "plain http is for loopback addresses only" }))
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { OriginError } from "./internal/originError.ts"

export { OriginError }

/**
 * A scheme, a host and a port, for example `https://api.example.com`. `String(origin)` shows it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Origin {
  readonly _tag: "Origin"
  /** The origin as text, without a path: `https://api.example.com`, with the port if it is not the scheme's own. */
  readonly href: string
  /** The same as `href`. */
  readonly toString: () => string
}

/**
 * The origin of an absolute URL.
 *
 * @category constructors
 * @since 0.1.0
 */
export const parse = (url: string | URL): Result.Result<Origin, OriginError> => {
  if (typeof url === "string" && !URL.canParse(url)) return reject("not an absolute URL")
  const parsed = new URL(url)
  if (parsed.username !== "" || parsed.password !== "" || hasUserInfo(url)) {
    return reject("it holds user info (name@host)")
  }
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:") return reject("only https and http are known")
  const origin = fromUrl(parsed)
  return origin === undefined ? reject("plain http is for loopback addresses only") : Result.succeed(origin)
}

/**
 * The origin of a URL by its scheme and host alone: `undefined` unless that is `https`, or `http` to a loopback address. For addresses
 * that a program has checked itself; `parse` says what is wrong with one.
 *
 * **Example** (Where credentials may go)
 *
 * ```ts import.meta.vitest
 * import { Origin } from "@effect-resilience/auth"
 *
 * String(Origin.fromUrl(new URL("https://api.example.com/v1"))) // => "https://api.example.com"
 * Origin.fromUrl(new URL("http://api.example.com/v1")) // => undefined
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromUrl = ({ hostname, origin, protocol }: URL): Origin | undefined =>
  protocol === "https:" || (protocol === "http:" && isLoopback(hostname))
    ? { _tag: "Origin", href: origin, toString: () => origin }
    : undefined

/**
 * The origin of an address that is a constant of the program.
 *
 * Throws `RangeError` where `parse` fails.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (url: string): Origin => Result.getOrThrowWith(parse(url), (error) => new RangeError(error.message))

/**
 * Whether a request's absolute URL belongs to the origin.
 *
 * **Example** (Look-alikes)
 *
 * ```ts import.meta.vitest
 * import { Origin } from "@effect-resilience/auth"
 *
 * const origin = Origin.make("https://api.example.com")
 * Origin.contains(origin, "https://api.example.com/v1/tables") // => true
 * Origin.contains(origin, "https://api.example.com.evil.test/v1/tables") // => false
 * Origin.contains(origin, "https://api.example.com@evil.test/") // => false
 * Origin.contains(origin, "https://api.example.com:8443/") // => false
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const contains = (origin: Origin, url: string): boolean => {
  // What follows the end of an authority cannot change it.
  if (url.startsWith(origin.href) && endsAuthority.has(url.charAt(origin.href.length))) return true
  const other = parse(url)
  return Result.isSuccess(other) && other.success.href === origin.href
}

/**
 * Whether a URL's host name is this machine: `localhost`, 127.0.0.0/8 or `[::1]`. Names under `localhost`, such as
 * `api.localhost`, are not: the resolver decides what they stand for.
 *
 * @category guards
 * @since 0.1.0
 */
export const isLoopback = (hostname: string): boolean =>
  hostname === "localhost" || hostname === "[::1]" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)

const endsAuthority: ReadonlySet<string> = /* @__PURE__ */ new Set(["", "/", "?", "#"])

// The URL parser drops an empty user info ("https://@host"), which is no sensible address either.
const hasUserInfo = (url: string | URL): boolean =>
  typeof url === "string" && (/^[a-z][a-z0-9+.-]*:[\\/]*([^\\/?#]*)/i.exec(url.trim())?.[1]?.includes("@") ?? false)

const reject = (problem: string): Result.Result<never, OriginError> => Result.fail(new OriginError({ problem }))
