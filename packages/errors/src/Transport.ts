/**
 * Names what went wrong on the way to a server, from whatever the runtime threw.
 *
 * **Why**
 *
 * A refused connection and a reset one both arrive as "fetch failed", yet the first certainly reached nobody and the
 * second may have been processed. The code that tells them apart hides some `cause`s deep.
 *
 * **Example** (A code two causes deep)
 *
 * ```ts import.meta.vitest
 * import { Transport } from "@effect-resilience/errors"
 *
 * const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:9"), { code: "ECONNREFUSED" })
 * Transport.diagnose(new TypeError("fetch failed", { cause: refused }))
 * // => { kind: "refused", code: "ECONNREFUSED", connected: false }
 * ```
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"

/**
 * - `refused`: nobody listens, or the host or network cannot be reached.
 * - `dns`: the host name was not resolved.
 * - `tls`: the handshake failed, for example on an expired certificate.
 * - `connectTimeout`: no connection within the time allowed.
 * - `reset`: the connection broke while the exchange was under way.
 * - `stalled`: the connection stood, but headers or body did not come in time.
 * - `body`: the request's own body failed or had another length than announced.
 * - `address`: the URL is not one.
 * - `unknown`: none of these.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = "refused" | "dns" | "tls" | "connectTimeout" | "reset" | "stalled" | "body" | "address" | "unknown"

/**
 * What went wrong, the system's code for it where there is one, and whether a connection stood: where none did, no
 * server can have seen the request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Diagnosis {
  readonly kind: Kind
  readonly code: string | undefined
  readonly connected: boolean
}

/**
 * Reads the first telling code along the chain of causes.
 *
 * @category diagnosis
 * @since 0.1.0
 */
export const diagnose = (error: unknown): Diagnosis => {
  let code: string | undefined
  let current = error
  for (let depth = 0; depth < 8 && Predicate.isObject(current); depth++) {
    const found = codeOf(current)
    if (found !== undefined) {
      const kind = kindOf(found)
      if (kind !== undefined) return { kind, code: found, connected: !beforeConnection.has(kind) }
      code ??= found
    }
    current = next(current)
  }
  return { kind: "unknown", code, connected: true }
}

const beforeConnection: ReadonlySet<Kind> = new Set<Kind>(["refused", "dns", "tls", "connectTimeout"])

const codeOf = (error: object): string | undefined =>
  Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : undefined

// Node wraps the failures of all addresses of a name in an AggregateError; the first stands for the rest.
const next = (error: object): unknown => {
  if (Predicate.hasProperty(error, "cause") && error.cause !== undefined) return error.cause
  if (Predicate.hasProperty(error, "errors") && Array.isArray(error.errors)) return error.errors[0]
  return Predicate.hasProperty(error, "reason") ? error.reason : undefined
}

const kinds: { readonly [code: string]: Kind } = {
  ECONNREFUSED: "refused",
  EHOSTUNREACH: "refused",
  ENETUNREACH: "refused",
  EADDRNOTAVAIL: "refused",
  EHOSTDOWN: "refused",
  ENETDOWN: "refused",
  ENOTFOUND: "dns",
  EAI_AGAIN: "dns",
  EAI_FAIL: "dns",
  EAI_NODATA: "dns",
  EAI_NONAME: "dns",
  UND_ERR_CONNECT_TIMEOUT: "connectTimeout",
  ECONNRESET: "reset",
  ECONNABORTED: "reset",
  EPIPE: "reset",
  UND_ERR_SOCKET: "reset",
  UND_ERR_CLOSED: "reset",
  UND_ERR_DESTROYED: "reset",
  ERR_STREAM_PREMATURE_CLOSE: "reset",
  ERR_SOCKET_CLOSED: "reset",
  ENETRESET: "reset",
  ENOTCONN: "reset",
  ERR_STREAM_DESTROYED: "reset",
  ERR_HTTP2_GOAWAY_SESSION: "reset",
  ERR_HTTP2_SESSION_ERROR: "reset",
  ERR_HTTP2_STREAM_ERROR: "reset",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "reset",
  ETIMEDOUT: "stalled",
  UND_ERR_HEADERS_TIMEOUT: "stalled",
  UND_ERR_BODY_TIMEOUT: "stalled",
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: "body",
  EPROTO: "tls",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "tls",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "tls",
  HOSTNAME_MISMATCH: "tls",
  SELF_SIGNED_CERT_IN_CHAIN: "tls",
  DEPTH_ZERO_SELF_SIGNED_CERT: "tls"
}

const kindOf = (code: string): Kind | undefined =>
  Object.hasOwn(kinds, code) ? kinds[code] : (/^(?:CERT_|ERR_TLS_|ERR_SSL_)/.test(code) ? "tls" : undefined)
