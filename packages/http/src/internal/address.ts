import * as HttpClientRequest from "effect/http/HttpClientRequest"

/** Where a request goes. */
export interface Address {
  readonly host: string
  readonly port: number
  readonly url: URL
}

/** `undefined` for a request without a valid absolute address. */
export const addressOf = (request: HttpClientRequest.HttpClientRequest): Address | undefined => {
  const parsed = HttpClientRequest.toUrl(request)
  if (parsed._tag === "None") return undefined
  const { hostname, port, protocol } = parsed.value
  return {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port !== "" ? Number(port) : protocol === "http:" ? 80 : 443,
    url: parsed.value
  }
}
