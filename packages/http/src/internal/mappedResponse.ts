import { concat } from "@effect-resilience/kernel/Bytes"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Headers from "effect/http/Headers"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as Inspectable from "effect/Inspectable"
import { pipeArguments } from "effect/Pipeable"
import * as Pull from "effect/Pull"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * What a failed read becomes. `HttpClientResponse` has no room for an error type other than its own, so the mapped error
 * has that type. Handlers of the client's errors receive it.
 */
export type MapError = (error: HttpClientError.HttpClientError) => HttpClientError.HttpClientError

/** A response whose failures are mapped however its body is read. */
export class MappedResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  protected readonly inner: HttpClientResponse.HttpClientResponse
  protected readonly mapError: MapError

  constructor(inner: HttpClientResponse.HttpClientResponse, mapError: MapError) {
    super()
    this.request = inner.request
    this.inner = inner
    this.mapError = mapError
  }

  get status(): number {
    return this.inner.status
  }
  get url(): string {
    return this.inner.url
  }
  get headers(): Headers.Headers {
    return this.inner.headers
  }
  get cookies(): HttpClientResponse.HttpClientResponse["cookies"] {
    return this.inner.cookies
  }
  get remoteAddress(): HttpClientResponse.HttpClientResponse["remoteAddress"] {
    return this.inner.remoteAddress
  }
  get text(): Effect.Effect<string, HttpClientError.HttpClientError> {
    return Effect.mapError(this.inner.text, this.mapError)
  }
  get json(): Effect.Effect<Schema.Json, HttpClientError.HttpClientError> {
    return Effect.mapError(this.inner.json, this.mapError)
  }
  get arrayBuffer(): Effect.Effect<ArrayBuffer, HttpClientError.HttpClientError> {
    return Effect.mapError(this.inner.arrayBuffer, this.mapError)
  }
  get urlParamsBody(): HttpClientResponse.HttpClientResponse["urlParamsBody"] {
    return Effect.mapError(this.inner.urlParamsBody, this.mapError)
  }
  get formData(): HttpClientResponse.HttpClientResponse["formData"] {
    return Effect.mapError(this.inner.formData, this.mapError)
  }
  get stream(): Stream.Stream<Uint8Array, HttpClientError.HttpClientError> {
    return Stream.mapError(this.inner.stream, this.mapError)
  }
  get upgrade(): HttpClientResponse.HttpClientResponse["upgrade"] {
    return Effect.mapError(this.inner.upgrade, this.mapError)
  }

  toJSON(): unknown {
    return this.inner.toJSON()
  }
  pipe() {
    return pipeArguments(this, arguments)
  }
}

/** A response whose body has been read. */
class WholeResponse extends MappedResponse {
  readonly #bytes: Uint8Array<ArrayBuffer>

  constructor(inner: HttpClientResponse.HttpClientResponse, bytes: Uint8Array<ArrayBuffer>, mapError: MapError) {
    super(inner, mapError)
    this.#bytes = bytes
  }

  override get text(): Effect.Effect<string, HttpClientError.HttpClientError> {
    return Effect.sync(() => utf8.decode(this.#bytes))
  }
  override get json(): Effect.Effect<Schema.Json, HttpClientError.HttpClientError> {
    return Effect.suspend(() => {
      try {
        const text = utf8.decode(this.#bytes)
        return Effect.succeed<Schema.Json>(text === "" ? null : JSON.parse(text))
      } catch (cause) {
        const reason = new HttpClientError.DecodeError({ request: this.request, response: this, cause })
        return Effect.fail(this.mapError(new HttpClientError.HttpClientError({ reason })))
      }
    })
  }
  override get arrayBuffer(): Effect.Effect<ArrayBuffer, HttpClientError.HttpClientError> {
    return Effect.sync(() => this.#bytes.slice().buffer)
  }
  override get stream(): Stream.Stream<Uint8Array, HttpClientError.HttpClientError> {
    return Stream.succeed(this.#bytes)
  }
  override get urlParamsBody(): HttpClientResponse.HttpClientResponse["urlParamsBody"] {
    return Effect.mapError(this.#web().urlParamsBody, this.mapError)
  }
  override get formData(): HttpClientResponse.HttpClientResponse["formData"] {
    return Effect.mapError(this.#web().formData, this.mapError)
  }

  #web(): HttpClientResponse.HttpClientResponse {
    const headers = { "content-type": this.headers["content-type"] ?? "application/octet-stream" }
    return HttpClientResponse.fromWeb(this.request, new Response(this.#bytes, { headers }))
  }
}

/** A response that is partly read: what was read, then the rest. It can be read whole many times, as a stream once. */
class ContinuedResponse extends MappedResponse {
  readonly #stream: Stream.Stream<Uint8Array, HttpClientError.HttpClientError>
  readonly #whole: Effect.Effect<WholeResponse, HttpClientError.HttpClientError>
  /** What was read. */
  readonly beginning: ReadonlyArray<Uint8Array>
  /** Gives up the rest. */
  readonly release: Effect.Effect<void>

  constructor(
    inner: HttpClientResponse.HttpClientResponse,
    stream: Stream.Stream<Uint8Array, HttpClientError.HttpClientError>,
    whole: Effect.Effect<WholeResponse, HttpClientError.HttpClientError>,
    mapError: MapError,
    { beginning, release }: Pick<ContinuedResponse, "beginning" | "release">
  ) {
    super(inner, mapError)
    this.#stream = stream
    this.#whole = Effect.mapError(whole, mapError)
    this.beginning = beginning
    this.release = release
  }

  override get stream(): Stream.Stream<Uint8Array, HttpClientError.HttpClientError> {
    return Stream.mapError(this.#stream, this.mapError)
  }
  override get text(): Effect.Effect<string, HttpClientError.HttpClientError> {
    return Effect.flatMap(this.#whole, (whole) => whole.text)
  }
  override get json(): Effect.Effect<Schema.Json, HttpClientError.HttpClientError> {
    return Effect.flatMap(this.#whole, (whole) => whole.json)
  }
  override get arrayBuffer(): Effect.Effect<ArrayBuffer, HttpClientError.HttpClientError> {
    return Effect.flatMap(this.#whole, (whole) => whole.arrayBuffer)
  }
  override get urlParamsBody(): HttpClientResponse.HttpClientResponse["urlParamsBody"] {
    return Effect.flatMap(this.#whole, (whole) => whole.urlParamsBody)
  }
  override get formData(): HttpClientResponse.HttpClientResponse["formData"] {
    return Effect.flatMap(this.#whole, (whole) => whole.formData)
  }
}

/**
 * Reads a body to its end, or a little more than `maxBytes` of a longer one, whose rest is left to the caller. Failures of
 * this read are not mapped.
 */
export const whole = (
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number,
  mapError: MapError
): Effect.Effect<MappedResponse, HttpClientError.HttpClientError> =>
  isAtMost(response.headers, maxBytes)
    ? Effect.map(response.arrayBuffer, (buffer) => new WholeResponse(response, new Uint8Array(buffer), mapError))
    : unmeasured(response, maxBytes, mapError)

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

// `fetch` unpacks a body but keeps the length of the packed one.
const isAtMost = (headers: Headers.Headers, maxBytes: number): boolean =>
  headers["content-encoding"] === undefined && Number(headers["content-length"] ?? NaN) <= maxBytes

const unmeasured = (
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number,
  mapError: MapError
): Effect.Effect<MappedResponse, HttpClientError.HttpClientError> =>
  Effect.suspend(() => {
    const scope = Scope.makeUnsafe()
    const close = Scope.close(scope, Exit.void)
    return Effect.onExit(
      begin(response, scope, maxBytes, mapError),
      // The caller reads the rest, and closes the scope.
      (exit) => Exit.isSuccess(exit) && exit.value instanceof ContinuedResponse ? Effect.void : close
    )
  })

const begin = Effect.fnUntraced(function*(
  response: HttpClientResponse.HttpClientResponse,
  scope: Scope.Closeable,
  maxBytes: number,
  mapError: MapError
) {
  const pull = yield* Scope.provide(Stream.toPull(response.stream), scope)
  const chunks: Array<Uint8Array> = []
  let size = 0
  while (size <= maxBytes) {
    const next = yield* Pull.catchDone(pull, () => Effect.undefined)
    if (next === undefined) return new WholeResponse(response, concat(chunks, size), mapError)
    for (const chunk of next) {
      chunks.push(chunk)
      size += chunk.length
    }
  }
  const release = Scope.close(scope, Exit.void)
  const rest = Stream.concat(Stream.fromIterable(chunks), Stream.fromPull(Effect.succeed(pull))).pipe(
    Stream.ensuring(release)
  )
  // A second read would find the rest gone, and take the beginning for the whole.
  let begun = false
  const once = Stream.suspend(() => {
    if (begun) return Stream.fail(alreadyRead(response))
    begun = true
    return rest
  })
  const whole = yield* Effect.cached(Effect.map(Stream.runCollect(once), (all) => {
    const length = all.reduce((sum, chunk) => sum + chunk.length, 0)
    return new WholeResponse(response, concat(all, length), mapError)
  }))
  return new ContinuedResponse(response, once, whole, mapError, { beginning: chunks, release })
})

const utf8 = new TextDecoder()

const alreadyRead = (response: HttpClientResponse.HttpClientResponse): HttpClientError.HttpClientError => {
  const cause = new Error("the body was already read as a stream")
  const reason = new HttpClientError.DecodeError({ request: response.request, response, cause })
  return new HttpClientError.HttpClientError({ reason })
}
