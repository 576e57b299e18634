import * as Origin from "@effect-resilience/auth/Origin"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as HttpClientRequest from "effect/http/HttpClientRequest"

/**
 * A request names an address that is not the client's: another origin, or a path with a segment `.` or `..`, which would lead to
 * another place than its words say. Nothing was sent. The error does not repeat the address, which may hold a secret, but for its
 * origin.
 *
 * @category errors
 * @since 0.1.0
 */
export class ForeignUrl extends ErrorMessage.TaggedError("ForeignUrl")<{
  /** The name of the client. */
  readonly client: string
  /** Where the request would have gone. */
  readonly origin: string
  /** The origins of the client. */
  readonly allowed: ReadonlyArray<string>
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    const advice = this.origin === dots
      ? "Write it without them."
      : "Use a path below its base URL, or name the origin in origins."
    return `The client ${this.client} sends to ${this.allowed.join(", ")} only, not to ${this.origin}. ${advice}`
  }
}

const dots = "a path with segments of dots"

/** A base URL without its final slash. `trusted` is its origin where that may have credentials. */
export interface Base {
  readonly href: string
  readonly origin: string
  readonly trusted: Origin.Origin | undefined
}

/** Throws `RangeError` for what is no base URL. `path` names the option. */
export const makeBase = (url: string, path: string): Base => {
  requireArgument(isBase(url), path, "an http or https URL without user info, query and fragment", "another text")
  const parsed = new URL(url)
  return { href: parsed.href.replace(/\/$/, ""), origin: parsed.origin, trusted: Origin.fromUrl(parsed) }
}

const isBase = (url: string): boolean => {
  if (!URL.canParse(url)) return false
  const parsed = new URL(url)
  const { hash, password, search, username } = parsed
  return isHttp(parsed) && [hash, password, search, username].every((part) => part === "")
}

/** Whether a text is the origin of http or https URLs, as the parser of URLs writes it. */
export const isOrigin = (text: string): boolean =>
  URL.canParse(text) && isHttp(new URL(text)) && new URL(text).origin === text

/** Whether an absolute URL is at a base URL or below it, and not only begins like it. */
export const isBelow = (href: string, url: string): boolean =>
  url.startsWith(href) && (url.length === href.length || endsAuthority.has(url.charAt(href.length)))

const endsAuthority: ReadonlySet<string> = /* @__PURE__ */ new Set(["/", "?", "#"])

/**
 * Where a request goes: below the base where its URL is relative; `undefined` where it must not go. An absolute URL comes back as
 * the parser of URLs understands it, so that it can be compared with others.
 */
export const resolve = (
  request: HttpClientRequest.HttpClientRequest,
  { href }: Base,
  origins: ReadonlySet<string>
): HttpClientRequest.HttpClientRequest | undefined => {
  const { url } = request
  if (hasDotSegments(url)) return undefined
  if (!isAbsolute(url)) {
    return HttpClientRequest.setUrl(
      request,
      url.startsWith("/") || url.startsWith("?") || url === "" ? href + url : `${href}/${url}`
    )
  }
  if (!URL.canParse(url)) return undefined
  const parsed = new URL(url)
  return isHttp(parsed) && origins.has(parsed.origin) && parsed.username === "" && parsed.password === ""
    ? HttpClientRequest.setUrl(request, parsed.href)
    : undefined
}

/** The request at another base URL of the client. */
export const rebase = (
  request: HttpClientRequest.HttpClientRequest,
  from: Base,
  to: string
): HttpClientRequest.HttpClientRequest =>
  to === "" || to === from.href || !isBelow(from.href, request.url)
    ? request
    : HttpClientRequest.setUrl(request, to + request.url.slice(from.href.length))

/** What can be told of an address that is not the client's. */
export const originOf = (url: string): string => {
  if (hasDotSegments(url)) return dots
  return URL.canParse(url) && isHttp(new URL(url)) ? new URL(url).origin : "another address"
}

/** Whether a URL names its host. `//host/path` does too: it takes the scheme of the page. */
export const isAbsolute = (url: string): boolean => /^(?:[a-z][a-z0-9+.-]*:|[\\/]{2})/i.test(url)

// `blob:https://host/…` has the origin of its host.
const isHttp = ({ protocol }: URL): boolean => protocol === "https:" || protocol === "http:"

// `.` and `..` as the names of things would address other things: the parser of URLs resolves them, escaped or not, after it has
// dropped tabs and line breaks and read backslashes as slashes.
const hasDotSegments = (url: string): boolean =>
  /\.|%2e/i.test(url) &&
  /(?:^|[\\/])(?:\.|%2e){1,2}(?:[\\/]|[\0- ]*$)/i.test(url.replace(/[?#][^]*$/, "").replace(/[\t\n\r]/g, ""))
