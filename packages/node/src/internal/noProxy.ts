import { BlockList, isIP } from "node:net"

/**
 * Which hosts need no proxy, as `NO_PROXY` says: names with all below them (`corp.example`, `.corp.example`), names below
 * one (`*.corp.example`), addresses and ranges of them (`10.0.0.1`, `10.0.0.0/8`, `fd00::/8`), each with a port or without;
 * `*` for all.
 */
export const parse = (text: string): (url: URL) => boolean => {
  const entries = text.split(/[,\s]+/).filter((entry) => entry !== "").map(entryOf)
  return (url) => {
    const host = url.hostname.replace(/^\[|\]$/g, "").replace(/(.)\.$/, "$1").toLowerCase()
    const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port
    return entries.some((entry) => (entry.port === undefined || entry.port === port) && entry.matches(host))
  }
}

interface Entry {
  readonly port: string | undefined
  readonly matches: (host: string) => boolean
}

const entryOf = (entry: string): Entry => {
  // The last group of a bare IPv6 address is no port.
  const [, bracketed, plain, port] = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? [undefined, undefined, entry]
  return { port, matches: matcherOf((bracketed ?? plain ?? entry).toLowerCase()) }
}

const matcherOf = (pattern: string): Entry["matches"] => {
  if (pattern === "*") return () => true
  const [address = "", prefix] = pattern.split("/")
  const family = isIP(address)
  if (family !== 0) {
    const list = new BlockList()
    const bits = Number(prefix)
    if (prefix === undefined) list.addAddress(address, nameOf(family))
    else if (/^\d+$/.test(prefix) && bits <= (family === 4 ? 32 : 128)) list.addSubnet(address, bits, nameOf(family))
    return (host) => isIP(host) !== 0 && list.check(host, nameOf(isIP(host)))
  }
  const name = pattern.replace(/^\*?\./, "").replace(/(.)\.$/, "$1")
  const below = `.${name}`
  return pattern.startsWith("*.") ? (host) => host.endsWith(below) : (host) => host === name || host.endsWith(below)
}

const nameOf = (family: number) => family === 4 ? "ipv4" : "ipv6"
