/**
 * Names what went wrong between client and server, from the runtime's error and from what the transport knows.
 *
 * **Why**
 *
 * A refused connection and a reset one both arrive as "fetch failed". Yet the first certainly reached no server, and the
 * second may have been processed. The code that distinguishes them is several `cause`s deep, and a code alone does not say
 * how much of the request had left. A transport that knows puts a `Transmission` on its error.
 *
 * **Example** (A code in a cause)
 *
 * ```ts import.meta.vitest
 * import { Transport } from "@effect-resilience/errors"
 *
 * const error = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:9"), { code: "ECONNREFUSED" })
 * Transport.diagnose(new TypeError("fetch failed", { cause: error }))
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
 * @stability stable
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import * as ForeignText from "./ForeignText.ts"
import { property } from "./internal/property.ts"

/**
 * How far a request came: the most that the server may have read.
 *
 * - `nothing`: there was no connection.
 * - `connected`: there was a connection, and no byte of the request left.
 * - `partOfHead`, `head`: the request line or headers, none of the body.
 * - `partOfBody`: a part of the body.
 * - `all`: the last byte.
 *
 * @category models
 * @since 0.1.0
 */
export type Reached = "nothing" | "connected" | "partOfHead" | "head" | "partOfBody" | "all"

const order: ReadonlyArray<unknown> = [
  "nothing",
  "connected",
  "partOfHead",
  "head",
  "partOfBody",
  "all"
] satisfies ReadonlyArray<Reached>

/**
 * True if a request came at least as far as `least`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isAtLeast = (reached: Reached, least: Reached): boolean => order.indexOf(reached) >= order.indexOf(least)

/**
 * What a transport knows about a request that failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transmission {
  /** How far the request came. */
  readonly reached: Reached
  /** Replaces the kind of the error's code. */
  readonly kind?: Kind | undefined
  /** The subject, such as the proxy or the header, or where the connection broke; never a secret. */
  readonly detail?: string | undefined
}

/**
 * The property of an error that contains its `Transmission`. `diagnose` finds it anywhere in the chain of causes.
 *
 * @category models
 * @since 0.1.0
 */
export const TransmissionId = "~@effect-resilience/errors/Transport/Transmission"

/**
 * What went wrong between a client and a server.
 *
 * - `refused`: no server listens, or the host or network cannot be reached.
 * - `dns`: the host name was not resolved.
 * - `tls`: the handshake failed, for example on an expired certificate.
 * - `connectTimeout`: no connection within the time allowed.
 * - `busy`: all connections stayed in use for longer than a request may wait for one.
 * - `local`: this machine lacks what a connection needs, such as file descriptors.
 * - `closed`: the client is closed.
 * - `proxy`: the proxy could not reach the server.
 * - `proxyRejected`: the proxy does not allow the request, or does not accept the user or password.
 * - `reset`: the connection broke during the exchange.
 * - `stalled`: there was a connection, but headers or body did not come in time.
 * - `unprocessed`: the server says that it did not process the request (`GOAWAY`, `REFUSED_STREAM` of HTTP/2).
 * - `protocol`: the response is not HTTP, or its headers are longer than the client accepts.
 * - `request`: HTTP cannot express the request, for example a line break in a header.
 * - `body`: the request's own body failed, or its length was not the declared one.
 * - `address`: the URL is invalid.
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
 * @category models
 * @since 0.1.0
 */
export interface Diagnosis {
  /** What went wrong, in one word. */
  readonly kind: Kind
  /** The system's code, if there is one. */
  readonly code: string | undefined
  /** Whether there was a connection. Without one, no server can have seen the request. */
  readonly connected: boolean
  /** How far the request came; absent if the transport does not say. */
  readonly reached?: Reached | undefined
  /** The subject; absent if unknown. */
  readonly detail?: string | undefined
}

/**
 * Reads the first known code in the chain of causes, and what the transport knows.
 *
 * @category diagnosis
 * @since 0.1.0
 */
export const diagnose = (error: unknown): Diagnosis => {
  let code: string | undefined
  let kind: Kind | undefined
  let reached: Reached | undefined
  let stated: Kind | undefined
  let detail: string | undefined
  let current = error
  for (let depth = 0; depth < 8 && Predicate.isObject(current); depth++) {
    const known = transmissionOf(current)
    reached ??= known?.reached
    stated ??= known?.kind
    detail ??= known?.detail
    if (kind === undefined) {
      const found = codeOf(current)
      kind = found === undefined ? kindOfParser(current) : kindOf(found, current)
      code = kind === undefined ? code ?? found : found
    }
    current = next(current)
  }
  kind = stated ?? kind ?? "unknown"
  return {
    kind,
    code,
    connected: reached === undefined || isNeverServed(kind, code) ? !beforeConnection.has(kind) : reached !== "nothing",
    ...(reached !== undefined && { reached }),
    ...(detail !== undefined && { detail })
  }
}

/**
 * Whether a server may have read a request that failed with this diagnosis.
 *
 * It cannot have read it if there was no connection, if no byte of the request left, or if the server says that it did not
 * process the request.
 *
 * @category accessors
 * @since 0.1.0
 */
export const mayHaveBeenRead = ({ connected, kind, reached }: Diagnosis): boolean =>
  connected && kind !== "unprocessed" && reached !== "connected"

const beforeConnection: ReadonlySet<Kind> = /* @__PURE__ */ new Set<Kind>([
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

// No server reads the request although bytes left: TLS 1.3 may reject a client's certificate after the request has left.
const isNeverServed = (kind: Kind, code: string | undefined): boolean =>
  kind === "proxyRejected" || (kind === "tls" && isClientRejected(code))

const isClientRejected = (code: string | undefined): boolean =>
  code !== undefined && /ALERT.*(?:CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/.test(code)

const transmissionOf = (error: object): Transmission | undefined => {
  const transmission = property(error, TransmissionId)
  return isTransmission(transmission) ? transmission : undefined
}

const isTransmission = (u: unknown): u is Transmission => order.includes(property(u, "reached"))

const codeOf = (error: object): string | undefined => {
  const code = property(error, "code")
  return typeof code === "string" ? code : undefined
}

// Node wraps the failures of all addresses of a name in an AggregateError; the first one represents them.
const next = (error: object): unknown => {
  const cause = property(error, "cause")
  const reason = property(error, "reason")
  // An `HttpClientError` repeats the cause of its reason, and its reason has what the transport knows.
  if (cause !== undefined) return property(reason, "cause") === cause ? reason : cause
  return firstOf(error) ?? reason
}

const firstOf = (error: object): unknown => {
  const errors = property(error, "errors")
  return Array.isArray(errors) ? errors[0] : undefined
}

const kindOfCode = (code: string): Kind | undefined => {
  switch (code) {
    case "ECONNREFUSED":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EHOSTDOWN":
    case "ENETDOWN":
      return "refused"
    case "ENOTFOUND":
      return "dns"
    case "EADDRNOTAVAIL":
    case "EMFILE":
    case "ENFILE":
    case "ENOBUFS":
    case "ENOMEM":
      return "local"
    case "UND_ERR_CONNECT_TIMEOUT":
      return "connectTimeout"
    case "UND_ERR_CLOSED":
    case "UND_ERR_DESTROYED":
      return "closed"
    case "UND_ERR_INVALID_ARG":
    case "UND_ERR_NOT_SUPPORTED":
      return "request"
    case "UND_ERR_HEADERS_OVERFLOW":
      return "protocol"
    case "ECONNRESET":
    case "ECONNABORTED":
    case "EPIPE":
    case "UND_ERR_SOCKET":
    case "ERR_STREAM_PREMATURE_CLOSE":
    case "ERR_SOCKET_CLOSED":
    case "ENETRESET":
    case "ENOTCONN":
    case "ERR_STREAM_DESTROYED":
    case "ERR_HTTP2_GOAWAY_SESSION":
    case "ERR_HTTP2_SESSION_ERROR":
    case "ERR_HTTP2_STREAM_ERROR":
    case "UND_ERR_RES_CONTENT_LENGTH_MISMATCH":
      return "reset"
    case "ETIMEDOUT":
    case "UND_ERR_HEADERS_TIMEOUT":
    case "UND_ERR_BODY_TIMEOUT":
      return "stalled"
    case "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH":
      return "body"
    case "EPROTO":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "HOSTNAME_MISMATCH":
    case "INVALID_CA":
    case "INVALID_PURPOSE":
    case "PATH_LENGTH_EXCEEDED":
      return "tls"
    default:
      return kindOfFamily(code)
  }
}

const kindOf = (code: string, error: object): Kind | undefined => {
  const kind = kindOfCode(code)
  const call = callOf(error)
  if (typeof call !== "string") return kind
  const connecting = connectingCalls.has(call)
  // A host that becomes unreachable ends existing connections, and an attempt to connect can time out.
  if (kind === "refused" && !connecting) return "reset"
  if (kind === "stalled" && connecting) return "connectTimeout"
  // A file, too, may find no descriptor left, after the request may have begun.
  return kind === "local" && !connecting ? undefined : kind
}

// The AggregateError of several addresses has the code of the first, but not its call.
const callOf = (error: object): unknown => property(error, "syscall") ?? property(firstOf(error), "syscall")

const connectingCalls: ReadonlySet<string> = /* @__PURE__ */ new Set(["getaddrinfo", "socket", "bind", "connect"])

// An error of undici's parser has no code. At the end of the connection its data is empty.
const kindOfParser = (error: object): Kind | undefined => {
  if (property(error, "name") !== "HTTPParserError") return undefined
  const data = property(error, "data")
  return data === undefined || data === "" ? "reset" : "protocol"
}

const kindOfFamily = (code: string): Kind | undefined => {
  if (code.startsWith("EAI_")) return "dns"
  if (code.startsWith("HPE_")) return "protocol"
  // All that name a certificate, or a list of those that were revoked.
  if (!/^ERR_(?:TLS|SSL)_|(?:^|_)(?:CERT|CRL)(?:_|$)/.test(code)) return undefined
  // These end connections that have already carried data.
  return /^ERR_SSL_.*(?:RECORD|DECRYPT|UNEXPECTED_MESSAGE|INTERNAL_ERROR|CLOSE_NOTIFY)/.test(code) ? "reset" : "tls"
}

/**
 * What happened, and what to do if only a person can mend it: a clause for the middle of a sentence.
 *
 * @category diagnosis
 * @since 0.1.0
 */
export const explain = ({ code, detail, kind }: Diagnosis): string => {
  const about = detail === undefined ? "" : ` ${ForeignText.oneLine(detail, 128)}`
  switch (kind) {
    case "refused":
      return "no server accepts connections there"
    case "dns":
      return code === "EAI_AGAIN" ? "the name service did not say where the host is" : "the host name is not known"
    case "tls":
      if (code?.endsWith("ALERT_NO_APPLICATION_PROTOCOL") === true) {
        return "the server speaks none of the versions of HTTP that were offered; allow HTTP/2"
      }
      return isClientRejected(code)
        ? "the server rejects this client's certificate; check it"
        : "no secure connection could be made; check the certificates of both sides"
    case "connectTimeout":
      return "no connection was made in time"
    case "busy":
      return "all connections stayed in use; read or cancel each response's body, or allow more connections"
    case "local":
      return "this machine has no file descriptors, ports or memory left for a connection"
    case "closed":
      return "the client is closed; use it within the scope that made it"
    case "proxy":
      return `the proxy${about} could not reach the server`
    case "proxyRejected":
      return `the proxy${about} rejected the request; check its address, user and password, and what it allows`
    case "reset":
      return `the connection broke${about}`
    case "stalled":
      return "the connection went silent"
    case "unprocessed":
      return "the server ended the connection before it processed the request"
    case "protocol":
      return code === "UND_ERR_HEADERS_OVERFLOW"
        ? "the response has longer headers than this client accepts"
        : "the response is not HTTP; check the address and the port"
    case "request":
      return detail === undefined
        ? "the request cannot be sent; correct its address, method and headers"
        : `the header${about} cannot be sent; it has characters that headers must not have`
    case "body":
      return "the request's body failed or changed its length"
    case "address":
      return "the address is not a valid URL"
    case "unknown":
      return "the connection failed"
  }
}
