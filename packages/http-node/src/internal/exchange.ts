import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { type Dispatcher, errors } from "@effect/platform-node/Undici"
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
import type { Readable } from "node:stream"
import { StreamedBody } from "./streamedBody.ts"

type Request = HttpClientRequest.HttpClientRequest
type Failure = HttpClientError.HttpClientError

/** Whether a request wants no more than that bytes are exchanged. */
export const isPlain = ({ body, headers }: Request): boolean =>
  headers["upgrade"] === undefined && plainBody(body) !== undefined

const plainBody = (body: HttpBody.HttpBody): Uint8Array | Readable | null | undefined => {
  if (body._tag === "Uint8Array") return body.body
  if (body._tag === "Empty") return null
  return body instanceof StreamedBody ? body.readable : undefined
}

/**
 * Sends plain requests by undici's `dispatch`. `NodeHttpClient` puts a Node stream, a promise and a fiber around each answer,
 * which together cost more than the exchange.
 */
export const make = (dispatcher: Dispatcher): HttpClient.HttpClient =>
  HttpClient.make((request, url, signal, fiber) =>
    Effect.callback<HttpClientResponse.HttpClientResponse, Failure>((resume) => {
      const exchange = new Exchange(request, url, signal, resume)
      // Its scope may be closed already.
      if (signal.aborted) return exchange.abort()
      try {
        dispatcher.dispatch({
          ...fiber.getRef(NodeHttpClient.UndiciOptions),
          method: request.method,
          headers: request.headers,
          origin: url.origin,
          path: url.pathname + url.search,
          body: plainBody(request.body) ?? null
        }, exchange)
      } catch (cause) {
        exchange.onResponseError(undefined, cause)
      }
      return Effect.sync(() => exchange.abort())
    })
  )

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

  constructor(request: Request, url: URL, signal: AbortSignal, resume: Resume) {
    this.request = request
    this.url = url
    this.signal = signal
    this.resume = resume
    // V8 would put a function that is assigned to a property into the old generation, and all of this would be kept there.
    const onAbort = () => this.abort()
    this.onAbort = onAbort
    signal.addEventListener("abort", onAbort, once)
  }

  abort(): void {
    if (this.over) return
    const { controller } = this
    const reason = new errors.RequestAbortedError()
    this.end(reason)
    controller?.abort(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.over) controller.abort(new errors.RequestAbortedError())
    else this.controller = controller
  }
  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: RawHeaders): void {
    const { resume } = this
    // An answer below 200 announces another one.
    if (status < 200 || resume === undefined) return
    this.resume = undefined
    resume(Effect.succeed(new Answer(this.request, this.url, status, headers, this)))
  }
  onResponseData(controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    if (this.over) return
    this.chunks.push(chunk)
    this.size += chunk.length
    if (this.reading === "whole") return
    if (this.waiting.length > 0) this.wake()
    else if (this.size >= ahead) controller.pause()
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
    this.over = true
    this.failure = failure
    this.controller = undefined
    this.resume = undefined
    this.signal.removeEventListener("abort", this.onAbort)
    if (failure !== undefined && request.body instanceof StreamedBody) request.body.readable.destroy()
    this.wake()
    resume?.(
      Effect.fail(
        new HttpClientError.HttpClientError({
          reason: new HttpClientError.TransportError({ request, cause: failure })
        })
      )
    )
  }
  private wake(): void {
    const { waiting } = this
    if (waiting.length === 0) return
    this.waiting = []
    for (const resume of waiting) resume()
  }
}

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
