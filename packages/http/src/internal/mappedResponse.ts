import * as Timeout from "@effect-resilience/deadline/Timeout"
import { concat } from "@effect-resilience/kernel/Bytes"
import * as Timer from "@effect-resilience/kernel/Timer"
import type * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import type * as Headers from "effect/http/Headers"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as Inspectable from "effect/Inspectable"
import { pipeArguments } from "effect/Pipeable"
import * as Pull from "effect/Pull"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SendProgress from "../SendProgress.ts"
import { announced, asBroken, check, complete, undecodable } from "./completeness.ts"
import { type Malformed, malformed } from "./malformed.ts"

/**
 * What a failed read becomes. `HttpClientResponse` has no room for an error type other than its own, so the mapped error
 * has that type. Handlers of the client's errors receive it.
 */
export type MapError = (error: HttpClientError.HttpClientError) => HttpClientError.HttpClientError

/** What a stream of bytes yields at once. */
export type Pieces = Arr.NonEmptyReadonlyArray<Uint8Array>

/** A limit of time between two pieces of a body, and what it becomes. */
export interface Idle {
  readonly millis: number
  readonly error: () => HttpClientError.HttpClientError
}

/**
 * A response whose failures are mapped however its body is read. A body that ends before its announced length is one, and so is
 * one that goes silent, where there is a limit.
 */
export class MappedResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  /** Private, since an uncaught error shows all fields, and this one may have credentials in its request. */
  readonly #inner: HttpClientResponse.HttpClientResponse
  protected readonly mapError: MapError
  readonly #idle: Idle | undefined
  #headers: Headers.Headers | undefined = undefined
  #read: Effect.Effect<WholeResponse, HttpClientError.HttpClientError> | undefined = undefined
  /** How many bytes of the body were read, where that is known. */
  received: number | undefined = undefined

  constructor(inner: HttpClientResponse.HttpClientResponse, mapError: MapError, idle?: Idle) {
    super()
    this.request = inner.request
    this.#inner = inner
    this.mapError = mapError
    this.#idle = idle
  }

  get status(): number {
    return this.#inner.status
  }
  get url(): string {
    return this.#inner.url
  }
  get headers(): Headers.Headers {
    return this.#headers ??= this.#inner.headers
  }
  get cookies(): HttpClientResponse.HttpClientResponse["cookies"] {
    return this.#inner.cookies
  }
  get remoteAddress(): HttpClientResponse.HttpClientResponse["remoteAddress"] {
    return this.#inner.remoteAddress
  }
  get text(): Effect.Effect<string, HttpClientError.HttpClientError> {
    return Effect.flatMap(this.whole, (whole) => whole.text)
  }
  get json(): Effect.Effect<Schema.Json, HttpClientError.HttpClientError> {
    return Effect.flatMap(this.whole, (whole) => whole.json)
  }
  get arrayBuffer(): Effect.Effect<ArrayBuffer, HttpClientError.HttpClientError> {
    return Effect.flatMap(this.whole, (whole) => whole.arrayBuffer)
  }
  get urlParamsBody(): HttpClientResponse.HttpClientResponse["urlParamsBody"] {
    return Effect.flatMap(this.whole, (whole) => whole.urlParamsBody)
  }
  get formData(): HttpClientResponse.HttpClientResponse["formData"] {
    return Effect.flatMap(this.whole, (whole) => whole.formData)
  }
  get stream(): Stream.Stream<Uint8Array, HttpClientError.HttpClientError> {
    return Stream.transformPull(this.#inner.stream, (pull) => {
      const pieces = complete(this, pull, this.mapError)
      const idle = this.#idle
      return Effect.succeed(
        idle === undefined ? pieces : Timeout.withTimeoutOrElse(pieces, {
          duration: idle.millis,
          orElse: () => Effect.fail(idle.error())
        })
      )
    })
  }
  get upgrade(): HttpClientResponse.HttpClientResponse["upgrade"] {
    return Effect.mapError(this.#inner.upgrade, this.mapError)
  }

  // What is logged: not the query, the body and the headers of the request, as with Effect's own responses.
  toJSON(): unknown {
    return { _id: "effect/http/HttpClientResponse", method: this.request.method, status: this.status }
  }
  pipe() {
    return pipeArguments(this, arguments)
  }

  /** Without a limit, the transport reads the body in its own way, which is faster. */
  protected get whole(): Effect.Effect<WholeResponse, HttpClientError.HttpClientError> {
    return this.#read ??= this.#idle === undefined
      ? Effect.mapError(readWhole(this.#inner, this.mapError), this.mapError)
      : Effect.runSync(Effect.cached(Effect.map(
        Stream.runCollect(this.stream),
        (pieces) => new WholeResponse(this.#inner, joined(pieces), this.mapError)
      )))
  }
}

/** A response whose body has been read. */
export class WholeResponse extends MappedResponse {
  readonly #bytes: Uint8Array<ArrayBuffer>
  /** Handed out once: a reader may change what it gets. */
  #parsed: { readonly value: Schema.Json } | undefined

  constructor(inner: HttpClientResponse.HttpClientResponse, bytes: Uint8Array<ArrayBuffer>, mapError: MapError) {
    super(inner, mapError)
    this.#bytes = bytes
    this.received = bytes.length
  }

  override get text(): Effect.Effect<string, HttpClientError.HttpClientError> {
    return Effect.sync(() => utf8.decode(this.#bytes))
  }
  /** What the body is instead of JSON; `undefined` where it is JSON, or empty. */
  get malformed(): Malformed | undefined {
    try {
      this.#parsed = { value: this.#parse() }
      return undefined
    } catch {
      return malformed(utf8.decode(this.#bytes))
    }
  }
  override get json(): Effect.Effect<Schema.Json, HttpClientError.HttpClientError> {
    return Effect.suspend(() => {
      const parsed = this.#parsed
      this.#parsed = undefined
      try {
        return Effect.succeed(parsed === undefined ? this.#parse() : parsed.value)
      } catch (cause) {
        return Effect.fail(this.mapError(undecodable(this, cause)))
      }
    })
  }
  override get arrayBuffer(): Effect.Effect<ArrayBuffer, HttpClientError.HttpClientError> {
    return Effect.sync(() => new Uint8Array(this.#bytes).buffer)
  }
  override get stream(): Stream.Stream<Uint8Array, HttpClientError.HttpClientError> {
    return this.#bytes.length === 0 ? Stream.empty : Stream.succeed(this.#bytes)
  }
  override get urlParamsBody(): HttpClientResponse.HttpClientResponse["urlParamsBody"] {
    return Effect.mapError(this.#web().urlParamsBody, this.mapError)
  }
  override get formData(): HttpClientResponse.HttpClientResponse["formData"] {
    return Effect.mapError(this.#web().formData, this.mapError)
  }

  #parse(): Schema.Json {
    const text = utf8.decode(this.#bytes)
    return text === "" ? null : JSON.parse(text)
  }
  #web(): HttpClientResponse.HttpClientResponse {
    const headers = { "content-type": this.headers["content-type"] ?? "application/octet-stream" }
    return HttpClientResponse.fromWeb(this.request, new Response(this.#bytes, { headers }))
  }
}

/** A response whose body arrives elsewhere. Its failures are mapped already. */
export class ContinuedResponse extends MappedResponse {
  readonly #stream: Stream.Stream<Uint8Array, HttpClientError.HttpClientError>
  readonly #complete: Effect.Effect<WholeResponse, HttpClientError.HttpClientError>
  /** What was read. */
  readonly beginning: ReadonlyArray<Uint8Array>
  /** Gives up the rest. */
  readonly release: Effect.Effect<void>

  constructor(
    inner: HttpClientResponse.HttpClientResponse,
    stream: Stream.Stream<Uint8Array, HttpClientError.HttpClientError>,
    complete: Effect.Effect<WholeResponse, HttpClientError.HttpClientError>,
    mapError: MapError,
    { beginning, release }: Pick<ContinuedResponse, "beginning" | "release">
  ) {
    super(inner, mapError)
    this.#stream = stream
    this.#complete = complete
    this.beginning = beginning
    this.release = release
  }

  override get stream(): Stream.Stream<Uint8Array, HttpClientError.HttpClientError> {
    return this.#stream
  }
  protected override get whole(): Effect.Effect<WholeResponse, HttpClientError.HttpClientError> {
    return this.#complete
  }
}

/**
 * Reads a body to its end, or a little more than `maxBytes` of a longer one, whose rest is left to the caller. Failures of
 * this read are not mapped. `arrived` hears of each piece, at the cost of reading piece by piece.
 */
export const whole = (
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number,
  mapError: MapError,
  arrived?: () => void
): Effect.Effect<MappedResponse, HttpClientError.HttpClientError> =>
  arrived === undefined && (announced(response) ?? Infinity) <= maxBytes
    ? readWhole(response, mapError)
    : unmeasured(response, maxBytes, mapError, arrived)

/** What an attempt has read of a body. */
export const beginningOf = (
  response: MappedResponse
): Stream.Stream<Uint8Array, HttpClientError.HttpClientError> => {
  if (response instanceof WholeResponse) return response.stream
  return response instanceof ContinuedResponse ? Stream.fromIterable(response.beginning) : Stream.empty
}

/** Gives up what is not read of a body. */
export const release = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<void> =>
  response instanceof ContinuedResponse ? response.release : Effect.void

/** The whole of a response that has arrived, or why it is not whole; `undefined` while more may come. */
export const arrivedWhole = (
  response: HttpClientResponse.HttpClientResponse,
  mapError: MapError
): Exit.Exit<WholeResponse, HttpClientError.HttpClientError> | undefined => {
  const bytes = SendProgress.arrived in response ? (response as Arriving)[SendProgress.arrived]() : undefined
  if (bytes === undefined) return undefined
  const failure = check(response, bytes.length)
  return failure === undefined ? Exit.succeed(new WholeResponse(response, bytes, mapError)) : Exit.fail(failure)
}

interface Arriving extends HttpClientResponse.HttpClientResponse, SendProgress.Arriving {}

const readWhole = (
  response: HttpClientResponse.HttpClientResponse,
  mapError: MapError
): Effect.Effect<WholeResponse, HttpClientError.HttpClientError> =>
  Effect.flatMap(Effect.mapError(response.arrayBuffer, asBroken), (buffer) => {
    const failure = check(response, buffer.byteLength)
    return failure === undefined
      ? Effect.succeed(new WholeResponse(response, new Uint8Array(buffer), mapError))
      : Effect.fail(failure)
  })

const unmeasured = (
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number,
  mapError: MapError,
  arrived: (() => void) | undefined
): Effect.Effect<MappedResponse, HttpClientError.HttpClientError> =>
  Effect.suspend(() => {
    const scope = Scope.makeUnsafe()
    const close = Scope.close(scope, Exit.void)
    return Effect.onExit(
      begin(response, scope, maxBytes, mapError, arrived),
      // The caller reads the rest, and closes the scope.
      (exit) => Exit.isSuccess(exit) && exit.value instanceof ContinuedResponse ? Effect.void : close
    )
  })

const begin = /* @__PURE__ */ Effect.fnUntraced(function*(
  response: HttpClientResponse.HttpClientResponse,
  scope: Scope.Closeable,
  maxBytes: number,
  mapError: MapError,
  arrived: (() => void) | undefined
) {
  const pull = complete(response, yield* Channel.toPullScoped(response.stream.channel, scope), identity)
  const chunks: Array<Uint8Array> = []
  let size = 0
  while (size <= maxBytes) {
    const next = yield* Pull.catchDone(pull, () => Effect.undefined)
    if (next === undefined) return new WholeResponse(response, concat(chunks, size), mapError)
    arrived?.()
    for (const chunk of next) {
      chunks.push(chunk)
      size += chunk.length
    }
  }
  const rest = Stream.mapError(Stream.fromPull(Effect.succeed(pull)), mapError)
  return yield* continued(response, chunks, rest, Scope.close(scope, Exit.void), mapError)
})

/** It can be read whole many times, as a stream once: a second read would find the rest gone. `rest` has its failures mapped. */
const continued = (
  response: HttpClientResponse.HttpClientResponse,
  beginning: ReadonlyArray<Uint8Array>,
  rest: Stream.Stream<Uint8Array, HttpClientError.HttpClientError>,
  release: Effect.Effect<void>,
  mapError: MapError
): Effect.Effect<ContinuedResponse> => {
  let begun = false
  const once = Stream.suspend(() => {
    if (begun) return Stream.fail(mapError(alreadyRead(response)))
    begun = true
    return Stream.ensuring(Stream.concat(Stream.fromIterable(beginning), rest), release)
  })
  const whole = Effect.map(Stream.runCollect(once), (all) => new WholeResponse(response, joined(all), mapError))
  return Effect.map(
    Effect.cached(whole),
    (whole) => new ContinuedResponse(response, once, whole, mapError, { beginning, release })
  )
}

/**
 * Reads the beginning of a body: a little more than `maxBytes`, for `millis` at most. The rest, and why there is none, is for a reader
 * of the response. A rest that nothing asks for within the limit between two pieces is given up.
 */
export const readBeginning = (
  response: HttpClientResponse.HttpClientResponse,
  limits: { readonly maxBytes: number; readonly millis: number; readonly idle: Idle | undefined },
  mapError: MapError
): Effect.Effect<MappedResponse> =>
  Effect.suspend(() => {
    const scope = Scope.makeUnsafe()
    return Effect.onExit(beginFor(response, scope, limits, mapError), (exit) =>
      Exit.isSuccess(exit) && exit.value instanceof ContinuedResponse ? Effect.void : Scope.close(scope, Exit.void))
  })

const beginFor = /* @__PURE__ */ Effect.fnUntraced(function*(
  response: HttpClientResponse.HttpClientResponse,
  scope: Scope.Closeable,
  { idle, maxBytes, millis }: Parameters<typeof readBeginning>[1],
  mapError: MapError
) {
  const pull = complete(response, yield* Channel.toPullScoped(response.stream.channel, scope), mapError)
  // In a fiber: what is on its way when the time is over is the reader's, and so is the failure of a body that has broken off.
  let pulling: Fiber.Fiber<Pieces, HttpClientError.HttpClientError | Cause.Done> | undefined
  const start = Effect.map(Effect.forkIn(pull, scope, { startImmediately: true }), (fiber) => pulling = fiber)
  const next = Effect.suspend(() => pulling === undefined ? start : Effect.succeed(pulling)).pipe(
    Effect.flatMap((fiber) => Fiber.join(fiber)),
    Effect.map((pieces) => {
      pulling = undefined
      return pieces
    })
  )
  const chunks: Array<Uint8Array> = []
  let size = 0
  const read: Pull.Pull<void, HttpClientError.HttpClientError> = Effect.flatMap(next, (pieces) => {
    for (const piece of pieces) {
      chunks.push(piece)
      size += piece.length
    }
    return size > maxBytes ? Effect.void : read
  })
  const isWhole = yield* Effect.timeoutOption(read, millis).pipe(
    Effect.as(false),
    Pull.catchDone(() => Effect.succeed(true)),
    Effect.orElseSucceed(() => undefined)
  )
  if (isWhole) return new WholeResponse(response, concat(chunks, size), mapError)

  const context = yield* Effect.context<never>()
  let silence: HttpClientError.HttpClientError | undefined
  // What broke off says so, and holds nothing.
  const unread = isWhole === undefined ? undefined : idle && Timer.startUnsafe(context, idle.millis, () => {
    silence = idle.error()
    Effect.runForkWith(context)(release)
  })
  const release = Effect.suspend(() => {
    unread?.cancel()
    return Scope.close(scope, Exit.void)
  })
  const piece = idle === undefined ? next : Timeout.withTimeoutOrElse(next, {
    duration: idle.millis,
    orElse: () => Effect.fail(idle.error())
  })
  const rest = Stream.fromPull(Effect.sync(() => {
    unread?.cancel()
    return silence === undefined ? piece : Effect.fail(silence)
  }))
  return yield* continued(response, chunks, rest, release, mapError)
})

const utf8 = /* @__PURE__ */ new TextDecoder()

const joined = (pieces: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> =>
  concat(pieces, pieces.reduce((sum, piece) => sum + piece.length, 0))

export const alreadyRead = (response: HttpClientResponse.HttpClientResponse): HttpClientError.HttpClientError =>
  undecodable(response, new Error("the body was already read as a stream"))
