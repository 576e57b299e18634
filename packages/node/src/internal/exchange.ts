import * as Transport from "@effect-resilience/errors/Transport"
import * as SendProgress from "@effect-resilience/http/SendProgress"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { type Dispatcher, errors, FormData } from "@effect/platform-node/Undici"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Cookies from "effect/http/Cookies"
import * as Headers from "effect/http/Headers"
import type * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import { pipeArguments } from "effect/Pipeable"
import type * as Pull from "effect/Pull"
import type * as Schema from "effect/Schema"
import type * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import { constants } from "node:http2"
import type { Readable } from "node:stream"
import * as Timers from "node:timers"
import * as Connector from "./connector.ts"
import { singleTraceHeaders } from "./instrumentation.ts"
import type * as Routes from "./routes.ts"
import { StreamedBody } from "./streamedBody.ts"

type Request = HttpClientRequest.HttpClientRequest
type Failure = HttpClientError.HttpClientError

/** Whether a request wants no more than that bytes are exchanged. */
export const isPlain = ({ body, headers }: Request): boolean =>
  headers["upgrade"] === undefined && (body._tag !== "Raw" || body instanceof StreamedBody)

const plainBody = (body: HttpBody.HttpBody): Uint8Array | Readable | FormData | null => {
  switch (body._tag) {
    case "Uint8Array":
      return body.body
    case "FormData":
      return formOf(body.formData)
    default:
      return body instanceof StreamedBody ? body.readable : null
  }
}

// undici takes no other forms than its own.
const formOf = (form: globalThis.FormData): FormData => {
  const own = new FormData()
  for (const [name, value] of form) own.append(name, value)
  return own
}

/**
 * Sends plain requests by undici's `dispatch`. `NodeHttpClient` puts a Node stream, a promise and a fiber around each answer,
 * which together cost more than the exchange.
 */
export const make = (routes: Routes.Routes, options: Options): HttpClient.HttpClient => {
  const pool = new Exchanges(routes, options)
  return HttpClient.make((request, url, signal, fiber) =>
    Effect.callback<HttpClientResponse.HttpClientResponse, Failure>((resume) => {
      const exchange = new Exchange(request, url, signal, resume, pool)
      fiber.getRef(SendProgress.Current)?.follow(exchange)
      // Its scope may be closed already.
      if (signal.aborted) return exchange.abort()
      singleTraceHeaders()
      try {
        routes.dispatcher.dispatch({
          ...fiber.getRef(NodeHttpClient.UndiciOptions),
          method: request.method,
          // undici adds the boundary of its own form.
          headers: request.body._tag === "FormData" ? Headers.remove(request.headers, "content-type") : request.headers,
          origin: url.origin,
          path: url.pathname + url.search,
          body: plainBody(request.body)
        }, exchange)
      } catch (cause) {
        exchange.onResponseError(undefined, cause)
      }
      return Effect.sync(() => exchange.abort())
    })
  )
}

/**
 * - `connections`: how many an origin has.
 * - `poolTimeout`: in milliseconds, how long a request may wait for one; 0 for no limit.
 * - `http2`: whether an origin may speak HTTP/2.
 */
export interface Options {
  readonly connections: number
  readonly poolTimeout: number
  readonly http2: boolean
}

/**
 * The exchanges under way. Four times a second it ends those that wait for a connection for too long, and where all
 * connections of an origin are in use, those whose answer nobody has begun to read.
 */
class Exchanges {
  readonly routes: Routes.Routes
  readonly options: Options
  /** Counts the looks, which is a clock that costs nothing. */
  now = 0
  private readonly running = new Set<Exchange>()
  private watching = false
  private readonly look: () => void

  constructor(routes: Routes.Routes, options: Options) {
    this.routes = routes
    this.options = options
    const look = () => {
      this.now++
      const { running } = this
      if (running.size === 0) this.watching = false
      else {
        this.free(running)
        this.wait()
      }
    }
    this.look = look
  }
  begin(exchange: Exchange): void {
    this.running.add(exchange)
    if (!this.watching) {
      this.watching = true
      this.wait()
    }
  }
  end(exchange: Exchange): void {
    this.running.delete(exchange)
  }
  private wait(): void {
    Timers.setTimeout(this.look, lookMillis).unref()
  }
  private free(running: Iterable<Exchange>): void {
    const { connections, http2, poolTimeout } = this.options
    const waiting: Array<Exchange> = []
    const inUse = new Map<string, number>()
    for (const exchange of running) {
      if (exchange.reached !== "nothing") inUse.set(exchange.origin, (inUse.get(exchange.origin) ?? 0) + 1)
      else waiting.push(exchange)
    }
    const late = poolTimeout === 0 ? Infinity : Math.ceil(poolTimeout / lookMillis)
    for (const exchange of waiting) {
      if (this.now - exchange.since > late) {
        const used = inUse.get(exchange.origin) ?? 0
        exchange.abort(new NoConnection(http2 ? used === 0 : used < connections))
      }
    }
    if (http2) return
    for (const [origin, used] of inUse) {
      let wanted = used < connections ? 0 : waiting.filter((exchange) => exchange.origin === origin).length
      if (wanted === 0) continue
      for (const exchange of running) {
        if (wanted > 0 && exchange.origin === origin && exchange.isUnreadSince(this.now - unreadLooks)) {
          wanted--
          exchange.abort(new Unread())
        }
      }
    }
  }
}

const lookMillis = 250

/** After this many, a response that is not read may lose its connection. */
const unreadLooks = 4

class NoConnection extends Error {
  readonly [Transport.TransmissionId]: Transport.Transmission
  constructor(connecting: boolean) {
    super(connecting ? "no connection was made in time" : "all connections stayed in use")
    this[Transport.TransmissionId] = { reached: "nothing", kind: connecting ? "connectTimeout" : "busy" }
  }
}

class Unread extends Error {
  readonly [Transport.TransmissionId]: Transport.Transmission = { reached: "all", kind: "busy" }
  constructor() {
    super("the body was not read, and its connection was needed for another request")
  }
}

/** In bytes: how much of an answer is taken in before somebody reads it. */
const ahead = 65_536

/**
 * One request and its answer, as undici reports on them. Who waits for the answer's headers is told once; its bytes are kept
 * until they are read. It does not know the answer: one that is forgotten without being read has its request aborted.
 */
class Exchange implements Dispatcher.DispatchHandler {
  private readonly request: Request
  private readonly url: URL
  private readonly signal: AbortSignal
  private readonly onAbort: () => void
  private resume: Resume | undefined
  private controller: Dispatcher.DispatchController | undefined = undefined
  private chunks: Array<Uint8Array> = []
  private size = 0
  private reading: "nothing" | "whole" | "stream" = "nothing"
  private waiting: Array<() => void> = []
  private over = false
  private failure: unknown = undefined
  private readonly exchanges: Exchanges
  private started = false
  private bytesSent = 0
  private sent = false
  /** By the count of `Exchanges`: when it began to wait for a connection, then for somebody to read. */
  since: number

  constructor(request: Request, url: URL, signal: AbortSignal, resume: Resume, exchanges: Exchanges) {
    this.exchanges = exchanges
    this.since = exchanges.now
    exchanges.begin(this)
    this.request = request
    this.url = url
    this.signal = signal
    this.resume = resume
    // V8 would put a function that is assigned to a property into the old generation, and all of this would be kept there.
    const onAbort = () => this.abort()
    this.onAbort = onAbort
    signal.addEventListener("abort", onAbort, once)
  }

  abort(reason: Error = new errors.RequestAbortedError()): void {
    if (this.over) return
    const { controller } = this
    this.end(reason)
    controller?.abort(reason)
  }

  get origin(): string {
    return this.url.origin
  }

  /**
   * How far the request came. Over HTTP/1.1, undici writes a request whose bytes are there as soon as it has told of its
   * start, and the head of any other with the first piece of its body. Over HTTP/2 the head is written first, and the
   * pieces are not told.
   */
  get reached(): Transport.Reached {
    const { body } = this.request
    if (!this.started) return "nothing"
    if (this.sent || body._tag === "Empty" || body._tag === "Uint8Array") return "all"
    const { http2 } = this.exchanges.options
    if (!(body instanceof StreamedBody)) return http2 ? "all" : this.bytesSent === 0 ? "connected" : "partOfBody"
    const { bytes, ended } = http2 ? body.taken : { bytes: this.bytesSent, ended: false }
    if (ended || (bytes > 0 && body.contentLength !== undefined && bytes >= body.contentLength)) return "all"
    if (bytes > 0) return "partOfBody"
    return http2 ? "head" : "connected"
  }

  /** Whether its answer has filled what is taken in ahead, and since then nobody has begun to read it. */
  isUnreadSince(look: number): boolean {
    return this.reading === "nothing" && this.size >= ahead && this.since <= look
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // An abort would close the connection, though nothing was sent: in an overload most requests have been given up by now.
    if (this.over) throw new errors.RequestAbortedError()
    this.controller = controller
    // A second start is one that the peer of an HTTP/2 connection has said not to have processed.
    this.started = true
    this.sent = false
    this.bytesSent = 0
  }
  onBodySent(chunk: Uint8Array): void {
    this.bytesSent += chunk.byteLength
  }
  onRequestSent(): void {
    this.sent = true
  }
  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: RawHeaders): void {
    const { resume } = this
    // An answer below 200 announces another one.
    if (status < 200 || resume === undefined) return
    const proxy = status === 407 ? this.exchanges.routes.proxyOf(this.url) : undefined
    if (proxy !== undefined) {
      this.end(new Connector.ProxyRejected(proxy, status))
      return controller.abort(new errors.RequestAbortedError())
    }
    this.resume = undefined
    resume(Effect.succeed(new Answer(this.request, this.url, status, headers, this)))
  }
  onResponseData(controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    if (this.over) return
    this.chunks.push(chunk)
    this.size += chunk.length
    if (this.reading === "whole") return
    if (this.waiting.length > 0) this.wake()
    else if (this.size >= ahead && !controller.paused) {
      this.since = this.exchanges.now
      controller.pause()
    }
  }
  onResponseEnd(): void {
    if (!this.over) this.end(undefined)
  }
  onResponseError(_: unknown, cause: unknown): void {
    if (!this.over) this.end(cause)
  }

  /** All bytes, however often they are asked for. */
  whole<E>(onFailure: (cause: unknown) => E): Effect.Effect<Uint8Array, E> {
    const whole: Effect.Effect<Uint8Array, E> = Effect.suspend(() => {
      if (this.reading === "stream") return Effect.fail(onFailure(alreadyRead()))
      this.reading = "whole"
      if (this.over) {
        return this.failure === undefined ? Effect.succeed(this.joined()) : Effect.fail(onFailure(this.failure))
      }
      this.controller?.resume()
      return Effect.andThen(this.news(), whole)
    })
    return whole
  }

  /** The bytes as they arrive, which can be read once. */
  pieces<E>(onFailure: (cause: unknown) => E): Effect.Effect<Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, E>> {
    return Effect.sync(() => {
      if (this.reading === "stream") return Effect.fail(onFailure(alreadyRead()))
      if (this.reading === "nothing") this.reading = "stream"
      let given = false
      const next: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, E> = Effect.suspend(() => {
        const { chunks } = this
        if (this.reading === "whole" && !given) {
          given = true
          return Effect.flatMap(this.whole(onFailure), (bytes) => bytes.length === 0 ? next : Effect.succeed([bytes]))
        }
        if (this.reading === "stream" && Arr.isArrayNonEmpty(chunks)) {
          this.chunks = []
          this.size = 0
          this.controller?.resume()
          return Effect.succeed(chunks)
        }
        if (!this.over) return Effect.andThen(this.news(), next)
        return this.failure === undefined ? Cause.done() : Effect.fail(onFailure(this.failure))
      })
      return next
    })
  }

  private news(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      this.waiting.push(() => resume(Effect.void))
      return Effect.sync(() => this.abort())
    })
  }
  private joined(): Uint8Array {
    const [first = nothing, ...others] = this.chunks
    if (others.length === 0) return first
    const whole = Buffer.concat(this.chunks, this.size)
    this.chunks = [whole]
    return whole
  }
  private end(failure: unknown): void {
    const { request, resume } = this
    this.exchanges.end(this)
    this.over = true
    this.failure = failure
    this.controller = undefined
    this.resume = undefined
    this.signal.removeEventListener("abort", this.onAbort)
    if (failure === undefined) return this.wake()
    if (request.body instanceof StreamedBody) request.body.readable.destroy()
    // Not while undici is at it: it does not expect that a request is repeated before it has failed them all.
    queueMicrotask(() => {
      this.wake()
      resume?.(
        Effect.fail(
          new HttpClientError.HttpClientError({
            reason: new NotTransmitted({ request, cause: failure }, this.transmissionOf(failure))
          })
        )
      )
    })
  }
  private transmissionOf(cause: unknown): Transport.Transmission {
    const { reached, request: { body } } = this
    if (!(cause instanceof Error)) return { reached }
    if (body instanceof StreamedBody && cause === body.taken.failure) return { reached, kind: "body" }
    if (isUnprocessed(cause)) return { reached, kind: "unprocessed" }
    const header = reached === "nothing" ? /^invalid (\S+) header$/.exec(cause.message)?.[1] : undefined
    return { reached, detail: header }
  }
  private wake(): void {
    const { waiting } = this
    if (waiting.length === 0) return
    this.waiting = []
    for (const resume of waiting) resume()
  }
}

class NotTransmitted extends HttpClientError.TransportError {
  readonly [Transport.TransmissionId]: Transport.Transmission
  constructor(fields: { readonly request: Request; readonly cause: unknown }, transmission: Transport.Transmission) {
    super(fields)
    this[Transport.TransmissionId] = transmission
  }
}

// GOAWAY names the last stream that was processed, and undici fails those above it so. REFUSED_STREAM promises the same for
// one, and a HEADERS frame (type 1) that could not be sent was never seen.
const isUnprocessed = (error: Error): boolean =>
  /^HTTP\/2: "(?:GOAWAY" frame received|frameError" received - type 1,)/.test(error.message) ||
  ("http2ErrorCode" in error && error.http2ErrorCode === constants.NGHTTP2_REFUSED_STREAM)

type Resume = (answer: Effect.Effect<HttpClientResponse.HttpClientResponse, Failure>) => void
interface RawHeaders {
  readonly [name: string]: string | Array<string> | undefined
}

const once = { once: true }
const nothing = new Uint8Array(0)
const alreadyRead = () => new Error("the body was already read as a stream")
const utf8 = new TextDecoder()

class Answer extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: Request
  readonly status: number
  private readonly source: URL
  private readonly rawHeaders: RawHeaders
  private readonly exchange: Exchange
  private knownHeaders: Headers.Headers | undefined = undefined
  private knownCookies: Cookies.Cookies | undefined = undefined

  constructor(request: Request, source: URL, status: number, rawHeaders: RawHeaders, exchange: Exchange) {
    super()
    this.request = request
    this.source = source
    this.status = status
    this.rawHeaders = rawHeaders
    this.exchange = exchange
  }
  get url() {
    const { href } = this.source
    const hash = href.indexOf("#")
    return hash === -1 ? href : href.slice(0, hash)
  }
  get headers() {
    return this.knownHeaders ??= Headers.fromInput(this.rawHeaders)
  }
  get cookies() {
    return this.knownCookies ??= Cookies.fromSetCookie(this.rawHeaders["set-cookie"] ?? [])
  }
  get remoteAddress() {
    return Option.none<string>()
  }
  get stream() {
    return Stream.fromPull(Effect.suspend(() => this.exchange.pieces((cause) => this.unreadable(cause))))
  }
  get text() {
    return Effect.map(this.bytes, (bytes) => utf8.decode(bytes))
  }
  get json(): Effect.Effect<Schema.Json, Failure> {
    return Effect.flatMap(this.text, (text) =>
      Effect.try({
        try: () => text === "" ? null : JSON.parse(text),
        catch: (cause) => this.unreadable(cause)
      }))
  }
  get arrayBuffer() {
    return Effect.map(this.bytes, (bytes) => new Uint8Array(bytes).buffer)
  }
  get urlParamsBody() {
    return this.parsed(({ urlParamsBody }) => urlParamsBody)
  }
  get formData() {
    return this.parsed(({ formData }) => formData)
  }
  get upgrade(): Effect.Effect<Socket.Socket, Failure> {
    const { request } = this
    return Effect.fail(
      new HttpClientError.HttpClientError({
        reason: new HttpClientError.StatusCodeError({ request, response: this })
      })
    )
  }
  private get bytes() {
    return this.exchange.whole((cause) => this.unreadable(cause))
  }
  // What is seldom asked for, the platform parses.
  private parsed<A>(parse: (web: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, Failure>) {
    const { headers, request } = this
    return Effect.flatMap(this.arrayBuffer, (bytes) =>
      Effect.mapError(
        parse(HttpClientResponse.fromWeb(request, new Response(bytes, { headers }))),
        ({ reason }) => this.unreadable(reason.cause)
      ))
  }
  private unreadable(cause: unknown): Failure {
    const { request } = this
    return new HttpClientError.HttpClientError({
      reason: new HttpClientError.DecodeError({ request, response: this, cause })
    })
  }
  toJSON() {
    const { request, status } = this
    return HttpIncomingMessage.inspect(this, {
      _id: "effect/http/HttpClientResponse",
      request: request.toJSON(),
      status
    })
  }
  pipe() {
    return pipeArguments(this, arguments)
  }
}
