/**
 * Distinguishes programs on this machine from web pages in its browser. A page can send simple requests to any address that
 * it knows, and also reads the responses if its own name resolves to that address (DNS rebinding). It cannot hide its origin,
 * or the name under which it calls.
 */
import { isIP } from "node:net"
import type * as Connection from "./Connection.ts"

/** Why a call to the administration is rejected; undefined if it is not. */
export const objection = (
  { header }: Pick<Connection.Connection, "header">,
  allowedHosts: ReadonlyArray<string>
): string | undefined => {
  const host = header("host")
  if (host !== undefined && !isKnown(host, allowedHosts)) {
    return "The administration is not called by this Host: use localhost or an address, or name it in allowedHosts."
  }
  const origin = header("origin")
  const site = header("sec-fetch-site")
  return origin !== undefined && origin.toLowerCase() !== `http://${host}`.toLowerCase() ||
      site !== undefined && site !== "same-origin" && site !== "none"
    ? "The administration takes no calls from web pages of another origin."
    : undefined
}

/** Only the owner of this machine can make these resolve to it. */
const isKnown = (host: string, allowedHosts: ReadonlyArray<string>): boolean => {
  const name = host.replace(/:\d*$/, "").toLowerCase()
  return isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0 || /^[a-z0-9_-]+$/.test(name) ||
    allowedHosts.some((allowed) => allowed.toLowerCase() === name)
}
