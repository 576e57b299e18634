import * as Transport from "@effect-resilience/errors/Transport"
import {
  type buildConnector,
  buildConnector as undiciConnector,
  type Dispatcher,
  errors
} from "@effect/platform-node/Undici"
import * as Predicate from "effect/Predicate"
import { Socket } from "node:net"
import * as Timers from "node:timers"
import type { SecureContextOptions } from "node:tls"
import * as Http2Streams from "./http2Streams.ts"

type Connector = buildConnector.connector

export interface Options {
  /** In milliseconds: name look-up, proxy, TCP and TLS; 0 for no limit. */
  readonly timeout: number
  readonly http2: boolean
  /** Ends what is still connecting. */
  readonly closing: AbortSignal
  readonly tls: Pick<SecureContextOptions, "ca" | "cert" | "key" | "passphrase">
}

/** Connects directly. Its errors say that nothing of a request was sent, and whether the TLS handshake failed. */
export const direct = (options: Options): Connector => {
  return timed(options, untimed(options))
}

/** A proxy that tunnels. */
export interface Proxy {
  readonly dispatcher: Dispatcher
  readonly origin: string
  readonly name: string
  readonly headers: { readonly [name: string]: string }
}

/** Connects through a tunnel of the proxy. */
export const through = (proxy: Proxy, options: Options): Connector => {
  const endpoint = untimed(options)
  return timed(options, (signal) => (target, callback) => {
    const port = target.port === "" ? (target.protocol === "https:" ? "443" : "80") : target.port
    const host = `${target.hostname.includes(":") ? `[${target.hostname}]` : target.hostname}:${port}`
    const tunnel = proxy.dispatcher.connect({
      origin: proxy.origin,
      path: host,
      headers: { ...proxy.headers, host },
      signal
    })
    tunnel.then(
      ({ socket, statusCode }) => {
        if (statusCode === 200 && socket instanceof Socket) {
          return endpoint(signal)({ ...target, httpSocket: socket }, callback)
        }
        socket.on("error", () => {}).destroy()
        callback(new ProxyRejected(proxy.name, statusCode), null)
      },
      (cause) => callback(new ProxyUnreachable(proxy.name, cause), null)
    )
  })
}

/** The proxy did not let a request through. */
export class ProxyRejected extends Error {
  readonly code: string
  readonly [Transport.TransmissionId]: Transport.Transmission
  constructor(proxy: string, status: number) {
    super(`the proxy ${proxy} responded ${status}`)
    this.code = `PROXY_${status}`
    const mends = status >= 500 || status === 408 || status === 429
    this[Transport.TransmissionId] = { reached: "nothing", kind: mends ? "proxy" : "proxyRejected", detail: proxy }
  }
}

// A class of its own, since undici retries for ever when a connector fails with `UND_ERR_SOCKET`.
class ProxyUnreachable extends Error {
  readonly [Transport.TransmissionId]: Transport.Transmission
  constructor(proxy: string, cause: unknown) {
    super(`the proxy ${proxy} did not open a tunnel`, { cause })
    const { kind } = Transport.diagnose(cause)
    this[Transport.TransmissionId] = {
      reached: "nothing",
      kind: kind === "tls" || kind === "local" ? kind : "proxy",
      detail: proxy
    }
  }
}

// undici's own timers are off by up to half a second, both ways.
const timed = (
  { closing, timeout }: Options,
  make: (signal: AbortSignal) => Connector
): Connector =>
(target, callback) => {
  const controller = new AbortController()
  let called = false
  const settle: buildConnector.Callback = (...outcome) => {
    if (called) return void outcome[1]?.on("error", () => {}).destroy()
    called = true
    Timers.clearTimeout(timer)
    closing.removeEventListener("abort", close)
    callback(...outcome)
  }
  const giveUp = (error: Error) => {
    if (called) return
    settle(Object.assign(error, unsent), null)
    controller.abort(error)
  }
  const close = () => giveUp(new errors.ClientDestroyedError())
  const timer = timeout === 0 ? undefined : Timers.setTimeout(() => {
    const error = new errors.ConnectTimeoutError(
      `no connection to ${target.hostname}:${target.port} within ${timeout} ms`
    )
    // An error of the socket itself comes first.
    Timers.setImmediate(() => giveUp(error))
  }, timeout)
  closing.addEventListener("abort", close)
  make(controller.signal)(target, settle)
}

const untimed = ({ http2, tls }: Options) => {
  const connect = undiciConnector({
    ...tls,
    allowH2: http2,
    timeout: 0,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: 500
  })
  return (signal: AbortSignal): Connector => (target, callback) => {
    // It is the socket, though its type does not say so.
    const connecting: unknown = connect(target, (...[error, socket]) => {
      if (error === null) {
        // A TLS alert does not end the socket, and undici would only report the end that follows.
        if (target.protocol === "https:") socket.on("error", (alert: Error) => socket.destroy(alert))
        socket.on("error", neverAnEnd)
        if (http2) Http2Streams.mendOver(socket)
        return callback(null, socket)
      }
      const known = Predicate.hasProperty(error, Transport.TransmissionId)
      if (!known) Object.assign(error, target.protocol === "https:" && isHandshake(error) ? inHandshake : unsent)
      callback(error, null)
    })
    signal.addEventListener("abort", () => {
      if (connecting instanceof Socket) connecting.destroy()
    })
  }
}

// undici takes this code for the end of a response that lasts until its connection ends (`client-h1.js`). It listens after this, and
// reports the error later.
const neverAnEnd = (error: NodeJS.ErrnoException): void => {
  if (error.code !== "ECONNRESET") return
  error.code = "ECONNABORTED"
  queueMicrotask(() => {
    error.code = "ECONNRESET"
  })
}

// An error of the system names its call. Of the others, a broken connection may last the next time, but a rejected certificate
// stays rejected, whatever its code.
const isHandshake = (error: Error): boolean => {
  const { kind } = Transport.diagnose(error)
  return (kind === "unknown" || kind === "protocol") && !Predicate.hasProperty(error, "syscall")
}

const unsent = { [Transport.TransmissionId]: { reached: "nothing" } satisfies Transport.Transmission }
const inHandshake = { [Transport.TransmissionId]: { reached: "nothing", kind: "tls" } satisfies Transport.Transmission }
