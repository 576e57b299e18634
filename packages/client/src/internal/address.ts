import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Data from "effect/Data"
import * as HttpClientRequest from "effect/http/HttpClientRequest"

/**
 * A request names an address that is not the client's. Nothing was sent. The error does not repeat the address, which may hold
 * a secret, but for its origin.
 *
 * - `client`: the name of the client.
 * - `origin`: where the request would have gone.
 * - `allowed`: the origins of the client.
 *
 * @category errors
 * @since 0.1.0
 */
export class ForeignUrl extends Data.TaggedError("ForeignUrl")<{
  readonly client: string
  readonly origin: string
  readonly allowed: ReadonlyArray<string>
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return `The client ${this.client} sends to ${this.allowed.join(", ")} only, not to ${this.origin}. ` +
      "Use a path below its base URL, or name the origin in origins."
  }
}

/** A base URL without its final slash. */
export interface Base {
  readonly href: string
  readonly origin: string
}

/** Throws `RangeError` for what is no base URL. `path` names the option. */
export const makeBase = (url: string, path: string): Base => {
  requireArgument(isBase(url), path, "an http or https URL without user info, query and fragment", "another text")
  const { href, origin } = new URL(url)
  return { href: href.replace(/\/$/, ""), origin }
}

const isBase = (url: string): boolean => {
  if (!URL.canParse(url)) return false
  const { hash, password, protocol, search, username } = new URL(url)
  return (protocol === "https:" || protocol === "http:") &&
    [hash, password, search, username].every((part) => part === "")
}

/** Where a request goes: below the base where its URL is relative; `undefined` where it must not go. */
export const resolve = (
  request: HttpClientRequest.HttpClientRequest,
  { href }: Base,
  origins: ReadonlySet<string>
): HttpClientRequest.HttpClientRequest | undefined => {
  const { url } = request
  if (!isAbsolute(url)) {
    return HttpClientRequest.setUrl(
      request,
      url.startsWith("/") || url.startsWith("?") || url === "" ? href + url : `${href}/${url}`
    )
  }
  return URL.canParse(url) && origins.has(new URL(url).origin) && !hasUserInfo(url) ? request : undefined
}

/** The request at another base URL of the client. */
export const rebase = (
  request: HttpClientRequest.HttpClientRequest,
  from: Base,
  to: string
): HttpClientRequest.HttpClientRequest =>
  to === "" || to === from.href || !request.url.startsWith(from.href)
    ? request
    : HttpClientRequest.setUrl(request, to + request.url.slice(from.href.length))

/** What can be told of an address that is not the client's. */
export const originOf = (url: string): string =>
  URL.canParse(url) && new URL(url).origin !== "null" ? new URL(url).origin : "another address"

// `//host/path` is absolute too: it takes the scheme of the page.
const isAbsolute = (url: string): boolean => /^(?:[a-z][a-z0-9+.-]*:|[\\/]{2})/i.test(url)

const hasUserInfo = (url: string): boolean => {
  const { password, username } = new URL(url)
  return username !== "" || password !== ""
}
