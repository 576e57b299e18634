import * as HttpClientRequest from "effect/http/HttpClientRequest"

/** A scheme, host and port; the same object each time. */
export interface Server {
  readonly origin: string
  readonly host: string
  readonly port: number
}

/** Where a request goes. `url` is a text where no part of it could be a secret. */
export interface Address {
  readonly server: Server
  readonly url: URL | string
}

/** `undefined` for a request without a valid absolute address. */
export const addressOf = (request: HttpClientRequest.HttpClientRequest): Address | undefined => {
  const { url } = request
  // Most addresses are an origin that was seen before and a plain path: parsing them would change nothing.
  const slash = url.indexOf("/", 8)
  const known = servers.get(slash === -1 ? url : url.slice(0, slash))
  if (known !== undefined && request.urlParams.params.length === 0 && request.hash._tag === "None") {
    const path = slash === -1 ? "/" : url.slice(slash)
    if (plainPath.test(path)) return { server: known, url: known.origin + path }
  }
  const parsed = HttpClientRequest.toUrl(request)
  if (parsed._tag === "None") return undefined
  return { server: serverOf(parsed.value), url: parsed.value }
}

const serverOf = ({ hostname, origin, port, protocol }: URL): Server => {
  const known = servers.get(origin)
  if (known !== undefined) return known
  const server: Server = {
    origin,
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port !== "" ? Number(port) : protocol === "http:" ? 80 : 443
  }
  if (servers.size >= maxServers) servers.clear()
  servers.set(origin, server)
  return server
}

const servers = new Map<string, Server>()
const maxServers = 1_000

/** Without a query, and without anything that `URL` would write otherwise. */
const plainPath = /^(?:\/(?:[\w~-][\w.~-]*)?)+$/
