/**
 * Names what went wrong on the way to a server, from what the runtime threw and from what the transport knows.
 *
 * **Why**
 *
 * A refused connection and a reset one both arrive as "fetch failed", yet the first certainly reached nobody and the
 * second may have been processed. The code that tells them apart hides some `cause`s deep, and a code alone does not say
 * how much of the request had left. A transport that knows says so: it puts a `Transmission` on its error.
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
 * **Example** (A transport that knows)
 *
 * ```ts import.meta.vitest
 * import { Transport } from "@effect-resilience/errors"
 *
 * const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })
 * const known = Object.assign(reset, { [Transport.TransmissionId]: { reached: "nothing" } })
 * Transport.diagnose(known)
 * // => { kind: "reset", code: "ECONNRESET", connected: false, reached: "nothing" }
 * ```
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import * as ForeignText from "./ForeignText.ts"

/**
 * How far a request came: the most that the server may have read.
 *
 * - `nothing`: no connection stood.
 * - `connected`: a connection stood, and no byte of the request left.
 * - `partOfHead`, `head`: the request line or headers, none of the body.
 * - `partOfBody`: a part of the body.
 * - `all`: the last byte.
 *
 * @category models
 * @since 0.1.0
 */
export type Reached = "nothing" | "connected" | "partOfHead" | "head" | "partOfBody" | "all"

const order: { readonly [reached in Reached]: number } = {
  nothing: 0,
  connected: 1,
  partOfHead: 2,
  head: 3,
  partOfBody: 4,
  all: 5
}

/**
 * Whether a request came at least as far as that.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isAtLeast = (reached: Reached, least: Reached): boolean => order[reached] >= order[least]

/**
 * What a transport knows about a request that failed.
 *
 * - `kind`: replaces the one that the error's code stands for.
 * - `detail`: what it was about, such as the proxy or the header; never a secret.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transmission {
  readonly reached: Reached
  readonly kind?: Kind | undefined
  readonly detail?: string | undefined
}

/**
 * The property of an error that holds its `Transmission`. `diagnose` finds it anywhere in the chain of causes.
 *
 * @category models
 * @since 0.1.0
 */
export const TransmissionId = "~@effect-resilience/errors/Transport/Transmission"

/**
 * - `refused`: nobody listens, or the host or network cannot be reached.
 * - `dns`: the host name was not resolved.
 * - `tls`: the handshake failed, for example on an expired certificate.
 * - `connectTimeout`: no connection within the time allowed.
 * - `busy`: every connection stayed in use for longer than a request may wait for one.
 * - `local`: this machine lacks what a connection takes, such as file descriptors.
 * - `closed`: the client that was asked is closed.
 * - `proxy`: the proxy could not reach the server.
 * - `proxyRejected`: the proxy does not allow it, or does not accept the user or password.
 * - `reset`: the connection broke while the exchange was under way.
 * - `stalled`: the connection stood, but headers or body did not come in time.
 * - `unprocessed`: the server says that it did not process the request (`GOAWAY`, `REFUSED_STREAM` of HTTP/2).
 * - `protocol`: what came back is not HTTP, or has longer headers than the client takes.
 * - `request`: HTTP has no way to say this request, for example a line break in a header.
 * - `body`: the request's own body failed or had another length than announced.
 * - `address`: the URL is not one.
 * - `unknown`: none of these.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind =
  | "refused"
  | "dns"
  | "tls"
  | "connectTimeout"
  | "busy"
  | "local"
  | "closed"
  | "proxy"
  | "proxyRejected"
  | "reset"
  | "stalled"
  | "unprocessed"
  | "protocol"
  | "request"
  | "body"
  | "address"
  | "unknown"

/**
 * What went wrong.
 *
 * - `code`: the system's code for it, where there is one.
 * - `connected`: whether a connection stood. Where none did, no server can have seen the request.
 * - `reached`: how far the request came; absent where the transport does not say.
 * - `detail`: what it was about; absent where nothing is known.
 *
 * @category models
 * @since 0.1.0
 */
export interface Diagnosis {
  readonly kind: Kind
  readonly code: string | undefined
  readonly connected: boolean
  readonly reached?: Reached | undefined
  readonly detail?: string | undefined
}

/**
 * Reads the first telling code along the chain of causes, and what the transport knows.
 *
 * @category diagnosis
 * @since 0.1.0
 */
export const diagnose = (error: unknown): Diagnosis => {
  let code: string | undefined
  let kind: Kind | undefined
  let reached: Reached | undefined
  let told: Kind | undefined
  let detail: string | undefined
  let current = error
  for (let depth = 0; depth < 8 && Predicate.isObject(current); depth++) {
    const known = transmissionOf(current)
    reached ??= known?.reached
    told ??= known?.kind
    detail ??= known?.detail
    if (kind === undefined) {
      const found = codeOf(current)
      kind = found === undefined ? kindOfParser(current) : kindOf(found, current)
      code = kind === undefined ? code ?? found : found
    }
    current = next(current)
  }
  kind = told ?? kind ?? "unknown"
  return {
    kind,
    code,
    connected: reached === undefined || isNeverServed(kind, code) ? !beforeConnection.has(kind) : reached !== "nothing",
    ...(reached !== undefined && { reached }),
    ...(detail !== undefined && { detail })
  }
}

/**
 * Whether a server may have applied a request that failed so, as far as is known without its body.
 *
 * It cannot where no connection stood, where no byte of the request left, and where the server says that it did not
 * process it.
 *
 * @category accessors
 * @since 0.1.0
 */
export const mayHaveBeenRead = ({ connected, kind, reached }: Diagnosis): boolean =>
  connected && kind !== "unprocessed" && reached !== "connected"

const beforeConnection: ReadonlySet<Kind> = new Set<Kind>([
  "refused",
  "dns",
  "tls",
  "connectTimeout",
  "busy",
  "local",
  "proxy",
  "proxyRejected",
  "request",
  "address"
])

// No server reads it even where bytes were sent: TLS 1.3 may reject a client's certificate after the request has left.
const isNeverServed = (kind: Kind, code: string | undefined): boolean =>
  kind === "proxyRejected" || (kind === "tls" && isClientRejected(code))

const isClientRejected = (code: string | undefined): boolean =>
  code !== undefined && /ALERT.*(?:CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/.test(code)

const transmissionOf = (error: object): Transmission | undefined =>
  Predicate.hasProperty(error, TransmissionId) && isTransmission(error[TransmissionId])
    ? error[TransmissionId]
    : undefined

const isTransmission = (u: unknown): u is Transmission =>
  Predicate.hasProperty(u, "reached") && typeof u.reached === "string" && Object.hasOwn(order, u.reached)

const codeOf = (error: object): string | undefined =>
  Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : undefined

// Node wraps the failures of all addresses of a name in an AggregateError; the first stands for the rest.
const next = (error: object): unknown => {
  const cause = Predicate.hasProperty(error, "cause") ? error.cause : undefined
  const reason = Predicate.hasProperty(error, "reason") ? error.reason : undefined
  // An `HttpClientError` repeats the cause of its reason, and its reason holds what the transport knows.
  if (cause !== undefined) return Predicate.hasProperty(reason, "cause") && reason.cause === cause ? reason : cause
  return Predicate.hasProperty(error, "errors") && Array.isArray(error.errors) ? error.errors[0] : reason
}

const kinds: { readonly [code: string]: Kind } = {
  ECONNREFUSED: "refused",
  EHOSTUNREACH: "refused",
  ENETUNREACH: "refused",
  EHOSTDOWN: "refused",
  ENETDOWN: "refused",
  ENOTFOUND: "dns",
  EAI_AGAIN: "dns",
  EAI_FAIL: "dns",
  EAI_NODATA: "dns",
  EAI_NONAME: "dns",
  EADDRNOTAVAIL: "local",
  EMFILE: "local",
  ENFILE: "local",
  ENOBUFS: "local",
  ENOMEM: "local",
  UND_ERR_CONNECT_TIMEOUT: "connectTimeout",
  UND_ERR_CLOSED: "closed",
  UND_ERR_DESTROYED: "closed",
  UND_ERR_INVALID_ARG: "request",
  UND_ERR_NOT_SUPPORTED: "request",
  UND_ERR_HEADERS_OVERFLOW: "protocol",
  ECONNRESET: "reset",
  ECONNABORTED: "reset",
  EPIPE: "reset",
  UND_ERR_SOCKET: "reset",
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
  UNABLE_TO_GET_ISSUER_CERT: "tls",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "tls",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "tls",
  HOSTNAME_MISMATCH: "tls",
  SELF_SIGNED_CERT_IN_CHAIN: "tls",
  DEPTH_ZERO_SELF_SIGNED_CERT: "tls",
  INVALID_CA: "tls",
  INVALID_PURPOSE: "tls",
  PATH_LENGTH_EXCEEDED: "tls"
}

const kindOf = (code: string, error: object): Kind | undefined => {
  const kind = Object.hasOwn(kinds, code) ? kinds[code] : kindOfFamily(code)
  const call = callOf(error)
  if (typeof call !== "string") return kind
  const connecting = connectingCalls.has(call)
  // A host that becomes unreachable ends connections that stood, and a connection can time out before it stands.
  if (kind === "refused" && !connecting) return "reset"
  if (kind === "stalled" && connecting) return "connectTimeout"
  // Files run out of descriptors too, when the request may have begun.
  return kind === "local" && !connecting ? undefined : kind
}

// The AggregateError of several addresses has the first one's code without its call.
const callOf = (error: object): unknown => {
  if (Predicate.hasProperty(error, "syscall")) return error.syscall
  const first: unknown = Predicate.hasProperty(error, "errors") && Array.isArray(error.errors)
    ? error.errors[0]
    : undefined
  return Predicate.hasProperty(first, "syscall") ? first.syscall : undefined
}

const connectingCalls: ReadonlySet<string> = new Set(["getaddrinfo", "socket", "bind", "connect"])

// undici's parser has no code. At the end of the connection it was given nothing more to read.
const kindOfParser = (error: object): Kind | undefined => {
  if (!Predicate.hasProperty(error, "name") || error.name !== "HTTPParserError") return undefined
  return Predicate.hasProperty(error, "data") && error.data !== undefined && error.data !== "" ? "protocol" : "reset"
}

const kindOfFamily = (code: string): Kind | undefined => {
  if (code.startsWith("HPE_")) return "protocol"
  if (!/^(?:CERT_|ERR_TLS_|ERR_SSL_)/.test(code)) return undefined
  // These end connections on which data went to and fro.
  return /^ERR_SSL_.*(?:RECORD|DECRYPT|UNEXPECTED_MESSAGE|INTERNAL_ERROR|CLOSE_NOTIFY)/.test(code) ? "reset" : "tls"
}

/**
 * What happened, and what to do where nothing but a person can mend it. The beginning of a sentence without its subject.
 *
 * @category diagnosis
 * @since 0.1.0
 */
export const explain = ({ code, detail, kind }: Diagnosis): string => {
  const about = detail === undefined ? "" : ` ${ForeignText.oneLine(detail, 128)}`
  switch (kind) {
    case "refused":
      return "nobody accepts connections there"
    case "dns":
      return code === "EAI_AGAIN" ? "the name service did not say where the host is" : "the host name is not known"
    case "tls":
      if (code?.endsWith("ALERT_NO_APPLICATION_PROTOCOL") === true) {
        return "the server does not speak the versions of HTTP that this client offers; allow HTTP/2"
      }
      return isClientRejected(code)
        ? "the server does not accept this client's certificate; check the client certificate"
        : "no secure connection could be made; check the certificates of both sides"
    case "connectTimeout":
      return "no connection was made in time"
    case "busy":
      return "all connections stayed in use; read or cancel the body of each response, or allow more connections"
    case "local":
      return "this machine has no file descriptors, ports or memory left for a connection"
    case "closed":
      return "the client is closed; use it within the scope that made it"
    case "proxy":
      return `the proxy${about} could not reach the server`
    case "proxyRejected":
      return `the proxy${about} rejected the request; check the proxy's address, user and password, and what it allows`
    case "reset":
      return "the connection broke"
    case "stalled":
      return "the connection went silent"
    case "unprocessed":
      return "the server ended the connection before it processed the request"
    case "protocol":
      return code === "UND_ERR_HEADERS_OVERFLOW"
        ? "the response has longer headers than this client takes"
        : "what came back is not HTTP; check the address and the port"
    case "request":
      return detail === undefined
        ? "the request cannot be sent; correct its address, method and headers"
        : `the header${about} cannot be sent; look for a line break or other characters that headers must not have`
    case "body":
      return "the request's body failed or changed its length"
    case "address":
      return "the address is not a valid URL"
    case "unknown":
      return "the connection failed"
  }
}
