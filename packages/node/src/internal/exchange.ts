import type * as Transport from "@effect-resilience/errors/Transport"
import * as SendProgress from "@effect-resilience/http/SendProgress"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { type Dispatcher, errors, FormData } from "@effect/platform-node/Undici"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Headers from "effect/http/Headers"
import type * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Url from "effect/http/Url"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import { AsyncResource } from "node:async_hooks"
import type { Readable } from "node:stream"
import * as Connector from "./connector.ts"
import type * as Http2Streams from "./http2Streams.ts"
import { singleTraceHeaders } from "./instrumentation.ts"
import { notTransmitted } from "./notTransmitted.ts"
import * as PoolWatch from "./poolWatch.ts"
import { type Body, PlainResponse, type RawHeaders } from "./response.ts"
import type * as Routes from "./routes.ts"
import { StreamedBody } from "./streamedBody.ts"

type Request = HttpClientRequest.HttpClientRequest
type Failure = HttpClientError.HttpClientError

/** Whether a request only exchanges bytes. */
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
 * Sends plain requests by undici's `dispatch`, which reports how far each of them came. `NodeHttpClient` does not, and puts a Node
 * stream, a promise and a fiber around each response.
 *
 * hack: exchange
 */
export const make = (routes: Routes.Routes, options: PoolWatch.Options): Sender => {
  const surroundings = { routes, watch: new PoolWatch.PoolWatch(options), http2: options.http2 }
  const client = HttpClient.make((request, url, signal, fiber) =>
    Effect.callback<HttpClientResponse.HttpClientResponse, Failure>((resume) => {
      const exchange = new Exchange(request, url, surroundings)
      exchange.addObserver(resume)
      exchange.obey(signal)
      exchange.start(fiber.context, fiber.getRef(SendProgress.Current))
      return Effect.sync(() => exchange.abort())
    })
  )
  const begin: Begin = (request, context, progress) => {
    const url = Url.make(request.url, request.urlParams, Option.getOrUndefined(request.hash))
    if (Result.isFailure(url)) {
      const reason = new HttpClientError.InvalidUrlError({ request, cause: url.failure })
      return Direct.ended(Exit.fail(new HttpClientError.HttpClientError({ reason })))
    }
    const exchange = new DirectExchange(request, url.success, surroundings)
    exchange.start(context, progress)
    return exchange
  }
  return { client, begin }
}

type Begin = NonNullable<SendProgress.Promises["begin"]>

export interface Sender {
  readonly client: HttpClient.HttpClient
  readonly begin: Begin
}

interface Surroundings {
  readonly routes: Routes.Routes
  readonly watch: PoolWatch.PoolWatch
  /** Whether a connection may speak HTTP/2. */
  readonly http2: boolean
}

/** In bytes: how much of a response is read before it is asked for. */
const ahead = 65_536

/**
 * One request and its response, as undici reports on them. It resumes the caller once, with the response's headers, and keeps the
 * bytes until they are read. It holds no reference to the response, so that a response which is forgotten unread can be collected;
 * Effect's client then aborts the request.
 */
class Exchange implements Http2Streams.Owner, PoolWatch.Watched, Body {
  private readonly request: Request
  private readonly url: URL
  private signal: AbortSignal | undefined = undefined
  private onAbort: (() => void) | undefined = undefined
  private resume: Resume | undefined = undefined
  private told = false
  private controller: Dispatcher.DispatchController | undefined = undefined
  private chunks: Array<Uint8Array> = []
  private size = 0
  private reading: "nothing" | "whole" | "stream" = "nothing"
  private waiting: Array<() => void> = []
  private waking = false
  protected over = false
  private failure: unknown = undefined
  private readonly surroundings: Surroundings
  private started = false
  private hasStream = false
  private bytesSent = 0
  private sent = false
  since: number

  constructor(request: Request, url: URL, surroundings: Surroundings) {
    this.surroundings = surroundings
    this.since = surroundings.watch.now
    this.request = request
    this.url = url
    surroundings.watch.begin(this)
  }

  /** Who hears of the response, once. */
  addObserver(resume: Resume): void {
    this.resume = resume
  }

  /** Ends with a signal. */
  obey(signal: AbortSignal): void {
    // A function that is assigned to a property directly goes into the old generation, with all that it can see.
    const onAbort = () => this.abort()
    this.signal = signal
    this.onAbort = onAbort
    signal.addEventListener("abort", onAbort, once)
  }

  start(context: Context.Context<never>, progress: SendProgress.SendProgress | undefined): void {
    const { request, surroundings, url } = this
    progress?.follow(this)
    if (this.over) return
    // The scope may be closed already.
    if (this.signal?.aborted === true) return this.abort()
    singleTraceHeaders()
    try {
      surroundings.routes.dispatcher.dispatch({
        ...Context.get(context, NodeHttpClient.UndiciOptions),
        method: request.method,
        // undici adds the boundary of its own form.
        headers: request.body._tag === "FormData" ? Headers.remove(request.headers, "content-type") : request.headers,
        origin: url.origin,
        path: url.pathname + url.search,
        body: plainBody(request.body)
      }, this)
    } catch (cause) {
      this.onResponseError(undefined, cause)
    }
  }

  abort(reason: Error = new errors.RequestAbortedError()): void {
    if (this.over) return
    const { controller } = this
    this.end(reason)
    if (controller !== undefined) giveUp(controller)
  }

  get pool(): string {
    return this.surroundings.routes.poolOf(this.url)
  }

  /**
   * How far the request came. Over HTTP/1.1, undici writes a request whose bytes are there as soon as it has reported its
   * start, and the head of any other with the first piece of its body. Over HTTP/2 the head is written first, and undici
   * does not report the pieces.
   */
  get reached(): Transport.Reached {
    const { body } = this.request
    if (!this.started) return "nothing"
    if (this.sent || body._tag === "Empty" || body._tag === "Uint8Array") return "all"
    const { http2 } = this.surroundings
    if (!(body instanceof StreamedBody)) return http2 ? "all" : this.bytesSent === 0 ? "connected" : "partOfBody"
    const { bytes, ended } = http2 ? body.taken : { bytes: this.bytesSent, ended: false }
    if (ended || (bytes > 0 && body.contentLength !== undefined && bytes >= body.contentLength)) return "all"
    if (bytes > 0) return "partOfBody"
    return http2 ? "head" : "connected"
  }

  isUnreadSince(look: number): boolean {
    return !this.hasStream && this.reading === "nothing" && this.size >= ahead && this.since <= look
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // An abort would close the connection, though nothing was sent, and in an overload most requests have been given up by now.
    if (this.over) throw new errors.RequestAbortedError()
    this.controller = controller
    // A second start is one that the peer of an HTTP/2 connection has said not to have processed.
    this.started = true
    this.hasStream = false
    this.sent = false
    this.bytesSent = 0
  }
  onStream(): void {
    this.hasStream = true
  }
  onStreamRejected(): void {
    this.started = false
    this.since = this.surroundings.watch.now
  }
  onBodySent(chunk: Uint8Array): void {
    this.bytesSent += chunk.byteLength
  }
  onRequestSent(): void {
    this.sent = true
  }
  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: RawHeaders): void {
    // A response below 200 announces another one.
    if (status < 200 || this.told) return
    const proxy = status === 407 ? this.surroundings.routes.proxyOf(this.url) : undefined
    if (proxy !== undefined) {
      this.end(new Connector.ProxyRejected(proxy, status))
      return giveUp(controller)
    }
    this.told = true
    this.tell(Exit.succeed(new PlainResponse(this.request, this.url, status, headers, this)))
  }
  onResponseData(controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    if (this.over) return
    this.chunks.push(chunk)
    this.size += chunk.length
    if (this.reading === "whole") return
    if (this.waiting.length > 0) this.wakeSoon()
    else if (this.size >= ahead && !controller.paused) {
      this.since = this.surroundings.watch.now
      controller.pause()
    }
  }
  onResponseEnd(): void {
    if (!this.over) this.end(undefined)
  }
  onResponseError(_: unknown, cause: unknown): void {
    if (!this.over) this.end(cause)
  }

  arrived(): Uint8Array | undefined {
    if (!this.over || this.failure !== undefined || this.reading === "stream") return undefined
    this.reading = "whole"
    return this.joined()
  }
  whole<E>(onFailure: (cause: unknown) => E): Effect.Effect<Uint8Array, E> {
    const whole: Effect.Effect<Uint8Array, E> = Effect.suspend(() => {
      if (this.reading === "stream") return Effect.fail(onFailure(alreadyRead()))
      this.reading = "whole"
      if (this.over) {
        return this.failure === undefined ? Effect.succeed(this.joined()) : Effect.fail(onFailure(this.failure))
      }
      this.goOn()
      return Effect.andThen(this.news(), whole)
    })
    return whole
  }

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
          this.goOn()
          return Effect.succeed(chunks)
        }
        if (!this.over) return Effect.andThen(this.news(), next)
        return this.failure === undefined ? Cause.done() : Effect.fail(onFailure(this.failure))
      })
      return next
    })
  }

  // Later: a reader may go on inside of the parser that has just told of another response. undici lets no second parser run meanwhile.
  private goOn(): void {
    const { controller } = this
    if (controller?.paused === true) queueMicrotask(() => controller.resume())
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
    const { request, told } = this
    this.surroundings.watch.end(this)
    this.over = true
    this.told = true
    this.failure = failure
    this.controller = undefined
    if (this.onAbort !== undefined) this.signal?.removeEventListener("abort", this.onAbort)
    if (failure === undefined) return this.wake()
    if (request.body instanceof StreamedBody) request.body.readable.destroy()
    // Later: undici does not expect that a request is repeated before it has failed all others of the connection.
    queueMicrotask(() => {
      this.wake()
      if (told) return
      this.tell(Exit.fail(notTransmitted(request, failure, this.reached)))
    })
  }
  protected tell(exit: ResponseExit): void {
    const { resume } = this
    this.resume = undefined
    resume?.(exit)
  }
  // What was read from the socket at once is given at once, however many pieces it has.
  private wakeSoon(): void {
    if (this.waking) return
    this.waking = true
    queueMicrotask(() => {
      this.waking = false
      this.wake()
    })
  }
  private wake(): void {
    const { waiting } = this
    if (waiting.length === 0) return
    this.waiting = []
    for (const resume of waiting) resume()
  }
}

/**
 * An exchange that no fiber waits for. Its response comes when all has been seen that was read from the socket with the headers, which
 * a small body is part of.
 */
class DirectExchange extends Exchange implements Direct.Running<HttpClientResponse.HttpClientResponse, Failure> {
  private readonly scope = new AsyncResource("@effect-resilience/node/Exchange")
  private ended = false
  private interrupted = false
  private by: number | undefined = undefined

  // It ends a microtask after it began, or later, and keeps no exit, which would hold the response.
  pollUnsafe(): undefined {}
  interruptUnsafe(by?: number): void {
    if (this.ended) return
    this.interrupted = true
    this.by = by
    this.abort()
  }

  protected override tell(exit: ResponseExit): void {
    queueMicrotask(() => this.scope.runInAsyncScope(this.deliver, this, exit))
  }
  private deliver(exit: ResponseExit): void {
    this.ended = true
    if (this.interrupted) return super.tell(Exit.interrupt(this.by))
    if (!this.over && Exit.isSuccess(exit)) forgotten.register(exit.value, this)
    super.tell(exit)
  }
}

// As Effect's client does with its own.
const forgotten = new FinalizationRegistry<Exchange>((exchange) => exchange.abort())

// With any other error, undici may fail all requests that wait for the connection of one over HTTP/2 (`onError` of `client.js`).
const giveUp = (controller: Dispatcher.DispatchController): void =>
  controller.abort(new errors.InformationalError("the request was given up"))

type ResponseExit = Exit.Exit<HttpClientResponse.HttpClientResponse, Failure>

type Resume = (exit: ResponseExit) => void

const once = { once: true }
const nothing = new Uint8Array(0)
const alreadyRead = () => new Error("the body was already read as a stream")
