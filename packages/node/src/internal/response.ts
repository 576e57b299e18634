import * as SendProgress from "@effect-resilience/http/SendProgress"
import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Cookies from "effect/http/Cookies"
import * as Headers from "effect/http/Headers"
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

type Failure = HttpClientError.HttpClientError

/** As undici gives them. */
export interface RawHeaders {
  readonly [name: string]: string | Array<string> | undefined
}

/** The body of a response, which fails with what `onFailure` makes of the cause. */
export interface Body {
  /** All bytes, where they have arrived, and nothing reads them piece by piece. */
  arrived(): Uint8Array | undefined
  /** All bytes, as often as they are asked for. */
  whole<E>(onFailure: (cause: unknown) => E): Effect.Effect<Uint8Array, E>
  /** The bytes as they arrive, which can be read once. */
  pieces<E>(onFailure: (cause: unknown) => E): Effect.Effect<Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, E>>
  /** Gives up what has not arrived. */
  abort(): void
}

export class PlainResponse extends Inspectable.Class
  implements HttpClientResponse.HttpClientResponse, SendProgress.Arriving
{
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly status: number
  private readonly source: URL
  private readonly rawHeaders: RawHeaders
  private readonly body: Body
  private knownHeaders: Headers.Headers | undefined = undefined
  private knownCookies: Cookies.Cookies | undefined = undefined

  constructor(
    request: HttpClientRequest.HttpClientRequest,
    source: URL,
    status: number,
    rawHeaders: RawHeaders,
    body: Body
  ) {
    super()
    this.request = request
    this.source = source
    this.status = status
    this.rawHeaders = rawHeaders
    this.body = body
  }
  [SendProgress.arrived](): Uint8Array<ArrayBuffer> | undefined {
    // undici's chunks are no shared memory.
    return this.body.arrived() as Uint8Array<ArrayBuffer> | undefined
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
    return Stream.ensuring(
      Stream.fromPull(Effect.suspend(() => this.body.pieces((cause) => this.unreadable(cause)))),
      // What was not read cannot be read any more.
      Effect.sync(() => this.body.abort())
    )
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
    return this.body.whole((cause) => this.unreadable(cause))
  }
  // The platform parses the forms that few ask for.
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

const utf8 = new TextDecoder()
