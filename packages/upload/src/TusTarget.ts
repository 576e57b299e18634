/**
 * Resumable uploads by the tus protocol, version 1.0.0 (https://tus.io/protocols/resumable-upload).
 *
 * **Details**
 *
 * An attempt asks the server how much it has and sends the rest, so a broken connection costs only what was in transit. What a
 * server stores of a body that breaks off counts. With a store, another process can continue: the address of an upload is
 * kept under the name, size and version of its source until it is complete.
 *
 * 409 (another offset) and 423 (the server has not noticed yet that the previous attempt is gone) are retried. A new upload
 * replaces an address that the server no longer knows.
 *
 * **Gotchas**
 *
 * The protocol's core has no digest, so a report's `verified` is false; lengths are compared. A server that reports more bytes
 * than were sent ends the upload with `UndecodableResponse`, and the address is forgotten. An address on another origin than the
 * endpoint's is rejected, since credentials would go there.
 *
 * **Example** (A target for videos)
 *
 * ```ts import.meta.vitest
 * import { ErrorMapping } from "@effect-resilience/http"
 * import { TusTarget, UploadSource } from "@effect-resilience/upload"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const network = HttpClient.make((request) =>
 *   Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 503 })))
 * )
 * const videos = TusTarget.make({
 *   client: ErrorMapping.mapErrors(network, {}),
 *   endpoint: "https://tus.example.com/files/",
 *   source: (path: string) => UploadSource.file(path),
 *   metadata: (path) => ({ filename: path })
 * })
 * videos.operation("talk.mp4").idempotent // => true
 * ```
 *
 * @stability rests on effect/http, effect/persistence
 * @since 0.1.0
 */
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Operation from "@effect-resilience/http/Operation"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Stream from "effect/Stream"
import { send } from "./internal/send.ts"
import * as UploadError from "./UploadError.ts"
import type * as UploadSource from "./UploadSource.ts"
import type * as UploadTarget from "./UploadTarget.ts"

/**
 * Where uploads are created, and how they are resumed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in out Item, E, R, RS> {
  /** With errors mapped. */
  readonly client: HttpClient.HttpClient.With<E, R>
  /** Where uploads are created. */
  readonly endpoint: string | URL
  /** Where an item's bytes come from. */
  readonly source: (item: Item) => UploadSource.UploadSource<RS>
  /** Sent with the creation; default the name of the source as `filename`. */
  readonly metadata?: ((item: Item) => { readonly [name: string]: string }) | undefined
  /** Items with the same key never overlap in a batch; default all may. */
  readonly key?: ((item: Item) => string) | undefined
  /** At most so many bytes in one request, for servers and proxies with a limit; default all. */
  readonly chunkSize?: number | undefined
  /** Keeps addresses for other processes; default only while the upload runs. */
  readonly store?: KeyValueStore.KeyValueStore | undefined
  /** For the requests that carry no bytes; default 30 seconds. */
  readonly requestTimeout?: Duration.Input | undefined
}

/**
 * The address of an upload on its server.
 *
 * @category models
 * @since 0.1.0
 */
export interface Receipt {
  /** Where the upload is. */
  readonly url: string
}

/**
 * A target that speaks tus.
 *
 * Throws `RangeError` where the chunk size is not above 0, and `TypeError` where the endpoint is not a URL.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Item, E, R, RS = never>(
  options: Options<Item, E, R, RS>
): UploadTarget.UploadTarget<Item, Receipt, E | ApiError.ApiError, R | RS> => {
  const { chunkSize = Infinity, client, key, metadata, source, store } = options
  requireArgument(chunkSize > 0, "TusTarget.chunkSize", "above 0", chunkSize)
  const endpoint = new URL(options.endpoint)
  const requestTimeout = Duration.fromInputUnsafe(options.requestTimeout ?? 30_000)
  // An upload's attempts share their payload, so it is the key of the address.
  const addresses = new WeakMap<UploadTarget.Payload, string>()

  const call = (request: HttpClientRequest.HttpClientRequest, operation: Operation.Operation, source = "") =>
    send(client, HttpClientRequest.setHeader(request, "tus-resumable", "1.0.0"), source).pipe(
      Effect.mapError((error): E | ApiError.ApiError | UploadError.UploadError =>
        retriedStatuses.has(statusOf(error) ?? 0) ? retried(error) : error
      ),
      Operation.within(operation)
    )
  const brief = (request: HttpClientRequest.HttpClientRequest, operation: Operation.Operation) =>
    Effect.timeoutOrElse(call(request, operation), {
      duration: requestTimeout,
      orElse: () => {
        const reason = new ApiError.Timeout({ timeout: requestTimeout, phase: "response" })
        return Effect.fail(new ApiError.ApiError({ method: request.method, endpoint: operation.endpoint, reason }))
      }
    })

  const create = Effect.fnUntraced(function*(item: Item, payload: UploadTarget.Payload) {
    const pairs = Object.entries(metadata?.(item) ?? { filename: payload.name })
    const response = yield* brief(
      HttpClientRequest.post(endpoint, {
        headers: {
          ...(payload.size === undefined ? { "upload-defer-length": "1" } : { "upload-length": `${payload.size}` }),
          ...(pairs.length === 0 ? {} : {
            "upload-metadata": pairs.map(([name, value]) => `${name} ${Base64.encode(value)}`).join(",")
          })
        }
      }),
      creation
    )
    const location = response.headers["location"] ?? ""
    const url = URL.canParse(location, endpoint) ? new URL(location, endpoint) : undefined
    if (location === "" || url?.origin !== endpoint.origin) {
      return yield* undecodable(response, creation, "a Location on its own origin")
    }
    yield* remember(payload, url.href)
    return url.href
  })

  const offsetOf = (response: HttpClientResponse.HttpClientResponse, operation: Operation.Operation) => {
    const text = response.headers["upload-offset"]
    return text !== undefined && /^\d+$/.test(text)
      ? Effect.succeed(Number(text))
      : undecodable(response, operation, "an Upload-Offset")
  }

  const held = (url: string, payload: UploadTarget.Payload) =>
    brief(HttpClientRequest.head(url), status).pipe(
      Effect.flatMap((response) => {
        const { size } = payload
        const length = response.headers["upload-length"]
        // The server has given the address to another upload.
        if (size !== undefined && length !== undefined && length !== `${size}`) return Effect.undefined
        return Effect.tap(offsetOf(response, status), (offset) =>
          size !== undefined && offset > size
            // The next run starts over.
            ? Effect.andThen(forget(payload), outOfRange(response, status, 0, size))
            : Effect.void)
      }),
      // Gone or never ours: start over.
      Effect.catch((error) => goneStatuses.has(statusOf(error) ?? 0) ? Effect.undefined : Effect.fail(error))
    )

  const storeKey = ({ name, size, version }: UploadTarget.Payload): string | undefined =>
    version === undefined ? undefined : JSON.stringify([endpoint.href, name, size, version])
  const recall = (payload: UploadTarget.Payload) => {
    const id = storeKey(payload)
    const known = addresses.get(payload)
    // A store that cannot be read costs only a new upload.
    return known !== undefined || store === undefined || id === undefined
      ? Effect.succeed(known)
      : Effect.orElseSucceed(store.get(id), () => undefined)
  }
  const remember = (payload: UploadTarget.Payload, url: string) => {
    addresses.set(payload, url)
    const id = storeKey(payload)
    return store === undefined || id === undefined ? Effect.void : Effect.ignore(store.set(id, url))
  }
  const forget = (payload: UploadTarget.Payload) => {
    const id = storeKey(payload)
    return store === undefined || id === undefined ? Effect.void : Effect.ignore(store.remove(id))
  }

  const patch = (options: {
    readonly url: string
    readonly offset: number
    readonly source: string
    readonly body: HttpBody.HttpBody
    /** How many bytes the server may have afterwards. */
    readonly least: number
    readonly most: () => number
    readonly length?: number
  }) =>
    HttpClientRequest.patch(options.url, {
      headers: {
        "upload-offset": `${options.offset}`,
        ...(options.length === undefined ? {} : { "upload-length": `${options.length}` })
      }
    }).pipe(
      HttpClientRequest.setBody(options.body),
      (request) => call(request, sending, options.source),
      Effect.flatMap((response) =>
        Effect.flatMap(offsetOf(response, sending), (offset) =>
          offset >= options.least && offset <= options.most()
            ? Effect.succeed(offset)
            : outOfRange(response, sending, options.least, options.most()))
      )
    )

  return {
    method: "PATCH",
    operation: () => sending,
    source,
    key,
    digests: [],
    send: Effect.fnUntraced(function*(item, payload) {
      const known = yield* recall(payload)
      const offset = known === undefined ? undefined : yield* held(known, payload)
      let bytes = offset ?? 0
      const url = known === undefined || offset === undefined ? yield* create(item, payload) : known
      if (offset !== undefined) yield* remember(payload, url)

      const { size } = payload
      while (size !== undefined && bytes < size) {
        yield* payload.accepted(bytes)
        const length = Math.min(chunkSize, size - bytes)
        const body = HttpBody.stream(payload.range({ offset: bytes, length }), contentType, length)
        const end = bytes + length
        bytes = yield* patch({ url, source: payload.name, offset: bytes, body, least: bytes + 1, most: () => end })
      }
      if (size === undefined) {
        // Starts at the last byte that the server has: a source without it is not the one that was begun.
        const begin = Math.max(0, bytes - 1)
        yield* payload.accepted(begin)
        let total = bytes
        let tooShort = false
        const rest = Stream.suspend(() => {
          let position = begin
          total = bytes
          return payload.range({ offset: begin }).pipe(
            Stream.map((chunk) => {
              const fresh = chunk.subarray(Math.max(0, bytes - position))
              position += chunk.length
              total += fresh.length
              return fresh
            }),
            Stream.filter((chunk) => chunk.length > 0),
            Stream.concat(Stream.suspend(() => {
              tooShort = position < bytes
              return tooShort ? Stream.fromEffect(changed(payload, bytes)) : Stream.empty
            }))
          )
        })
        yield* patch({
          url,
          source: payload.name,
          offset: bytes,
          body: HttpBody.stream(rest, contentType),
          least: bytes,
          most: () => total
        }).pipe(
          Effect.catchIf(() => tooShort, () => Effect.andThen(forget(payload), changed(payload, bytes)))
        )
        const nothing = HttpBody.uint8Array(new Uint8Array(0), contentType)
        bytes = yield* patch({
          url,
          source: payload.name,
          offset: total,
          body: nothing,
          least: total,
          most: () => total,
          length: total
        })
      }
      yield* forget(payload)
      return { receipt: { url }, stored: { bytes } }
    })
  }
}

const contentType = "application/offset+octet-stream"

const creation: Operation.Operation = { name: "create tus upload", endpoint: "{tus endpoint}", idempotent: true }
const status: Operation.Operation = { name: "ask for tus offset", endpoint: "{tus upload}", idempotent: true }
// A server rejects bytes for an offset that it no longer expects, so nothing is stored twice.
const sending: Operation.Operation = { name: "send tus bytes", endpoint: "{tus upload}", idempotent: true }

const retriedStatuses: ReadonlySet<number> = new Set([409, 423])
const goneStatuses: ReadonlySet<number> = new Set([403, 404, 410])

const statusOf = (error: unknown): number | undefined =>
  error instanceof ApiError.ApiError ? ApiError.statusOf(error.reason) : undefined

const retried = <E>(error: E): E | ApiError.ApiError =>
  error instanceof ApiError.ApiError && "status" in error.reason && error.reason._tag !== "UndecodableAnswer"
    ? new ApiError.ApiError({
      method: error.method,
      endpoint: error.endpoint,
      requestId: error.requestId,
      reason: ApiError.reasonFromStatus(error.reason.status, { ...error.reason, recovery: Recovery.retry })
    })
    : error

const changed = ({ name }: UploadTarget.Payload, held: number): Effect.Effect<never, UploadError.UploadError> =>
  Effect.fail(
    new UploadError.UploadError({
      source: name,
      reason: new UploadError.SourceChanged({
        description: `it has fewer than the ${held} bytes that the server has`
      })
    })
  )

/** The server reports more than was sent, or less than it reported before. */
const outOfRange = (
  response: HttpClientResponse.HttpClientResponse,
  operation: Operation.Operation,
  least: number,
  most: number
): Effect.Effect<never, ApiError.ApiError> =>
  undecodable(
    response,
    operation,
    `an Upload-Offset from ${least} to ${most}`,
    `an Upload-Offset of ${response.headers["upload-offset"]}`
  )

const undecodable = (
  response: HttpClientResponse.HttpClientResponse,
  operation: Operation.Operation,
  expected: string,
  got = "a response without it"
): Effect.Effect<never, ApiError.ApiError> =>
  Effect.fail(
    new ApiError.ApiError({
      method: response.request.method,
      endpoint: operation.endpoint,
      reason: new ApiError.UndecodableResponse({ status: response.status, expected, got })
    })
  )
