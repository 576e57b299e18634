/**
 * Where an upload goes: the port that an integration implements.
 *
 * **Details**
 *
 * A target knows its client, what an item's request looks like, and how to read the response. Everything else (retries,
 * digests, timers, progress, verification) is the `Uploader`'s. `http` builds a target that makes one request per
 * attempt; a protocol of several requests implements `send` itself.
 *
 * **Example** (A target for plain PUT)
 *
 * ```ts import.meta.vitest
 * import { ErrorMapping } from "@effect-resilience/http"
 * import { Uploader, UploadSource, UploadTarget } from "@effect-resilience/upload"
 * import { Effect, Stream } from "effect"
 * import { HttpBody, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
 *
 * const network = HttpClient.make((request) =>
 *   Stream.runDrain(request.body._tag === "Stream" ? request.body.stream : Stream.empty).pipe(
 *     Effect.orDie,
 *     Effect.as(HttpClientResponse.fromWeb(request, new Response(null, { status: 204 })))
 *   )
 * )
 *
 * const blobs = UploadTarget.http({
 *   client: ErrorMapping.mapErrors(network, {}),
 *   method: "PUT",
 *   operation: () => ({ name: "put blob", endpoint: "/blobs/{name}" }),
 *   source: (item: { readonly name: string; readonly text: string }) => UploadSource.bytes(item.name, item.text),
 *   request: (item, payload) =>
 *     Effect.succeed(
 *       HttpClientRequest.put(`https://blobs.example.com/blobs/${encodeURIComponent(item.name)}`).pipe(
 *         HttpClientRequest.setBody(HttpBody.stream(payload.stream, "text/csv", payload.size))
 *       )
 *     ),
 *   receive: (response) => Effect.succeed({ receipt: response.status })
 * })
 *
 * const report = await Effect.runPromise(Uploader.upload(blobs, { name: "gl.csv", text: "a;b\n" }))
 * report.receipt // => 204
 * report.bytes // => 4
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Operation from "@effect-resilience/http/Operation"
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as HttpMethod from "effect/http/HttpMethod"
import type * as Stream from "effect/Stream"
import type * as Hashing from "./Hashing.ts"
import { send } from "./internal/send.ts"
import { unreadable } from "./internal/unreadable.ts"
import * as WholeBody from "./internal/wholeBody.ts"
import type * as UploadError from "./UploadError.ts"
import type * as UploadSource from "./UploadSource.ts"

/**
 * Where uploads go: how one attempt is made, and what it needs.
 *
 * @category models
 * @stability rests on effect/http
 * @since 0.1.0
 */
export interface UploadTarget<in Item, out Receipt, out E = never, out R = never> {
  /** Of the request that carries the bytes. */
  readonly method: HttpMethod.HttpMethod
  /** Names the call, and says whether sending the item twice is harmless. */
  readonly operation: (item: Item) => Operation.Operation
  /** Where the item's bytes come from. */
  readonly source: (item: Item) => UploadSource.UploadSource<R>
  /** Items with the same key never overlap in a batch; default all may. */
  readonly key: ((item: Item) => string) | undefined
  /** What `receive` compares; default none. */
  readonly digests: ReadonlyArray<Hashing.Algorithm>
  /** Makes one attempt. */
  readonly send: (item: Item, payload: Payload) => Effect.Effect<Received<Receipt>, E | UploadError.UploadError, R>
}

/**
 * The bytes of one upload, as an attempt sees them. All reading is counted, timed and reported as progress.
 *
 * @category models
 * @since 0.1.0
 */
export interface Payload {
  /** The name of the source. */
  readonly name: string
  /** Of the source, in bytes; `undefined` if it is not known. */
  readonly size: number | undefined
  /** Of the source; `undefined` if it is not known. */
  readonly version: string | undefined
  /** Everything from the beginning; computes the digests on the way. */
  readonly stream: Stream.Stream<Uint8Array, UploadError.UploadError>
  /** A part, without digests. */
  readonly range: (range: UploadSource.Range) => Stream.Stream<Uint8Array, UploadError.UploadError>
  /** Reports that the server already has the bytes up to an offset. If these are all, the response is waited for. */
  readonly accepted: (offset: number) => Effect.Effect<void>
  /** What the last run of `stream` sent; fails with `IncompleteBody` where that was not everything. */
  readonly sent: Effect.Effect<Sent, UploadError.UploadError>
}

/**
 * What was sent: the source's own bytes, without the envelope around them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sent extends Hashing.Digests {
  /** How many. */
  readonly bytes: number
}

/**
 * What an attempt brought back.
 *
 * @category models
 * @since 0.1.0
 */
export interface Received<out Receipt> {
  /** What the caller wants to know of the response. */
  readonly receipt: Receipt
  /**
   * What the server says it stored. The uploader compares each given value with what was sent and fails with
   * `IntegrityMismatch` where they differ.
   */
  readonly stored?: Stored | undefined
}

/**
 * What a server says it stored; digests in hexadecimal.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stored extends Hashing.Digests {
  /** How many; absent if the server does not say. */
  readonly bytes?: number | undefined
}

/**
 * A target that makes one request per attempt.
 *
 * - `method`: default `POST`; replaces the one of `request`.
 * - `request`: the request, with `payload.stream` in its body.
 * - `receive`: reads the response. The client has already failed for every status but 2xx.
 * - `client`: sends the requests, with errors mapped.
 * - `operation`: names the call, and says whether sending the item twice is harmless.
 * - `source`: where the item's bytes come from.
 * - `key`: items with the same key never overlap in a batch; default all may.
 * - `digests`: what `receive` compares; default none.
 *
 * @category constructors
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const http = <Item, Receipt, E, R, RS = never, E2 = never, R2 = never, E3 = never, R3 = never>(options: {
  readonly client: HttpClient.HttpClient.With<E, R>
  readonly method?: HttpMethod.HttpMethod | undefined
  readonly operation: (item: Item) => Operation.Operation
  readonly source: (item: Item) => UploadSource.UploadSource<RS>
  readonly key?: ((item: Item) => string) | undefined
  readonly digests?: ReadonlyArray<Hashing.Algorithm> | undefined
  readonly request: (item: Item, payload: Payload) => Effect.Effect<HttpClientRequest.HttpClientRequest, E2, R2>
  readonly receive: (
    response: HttpClientResponse.HttpClientResponse,
    item: Item
  ) => Effect.Effect<Received<Receipt>, E3, R3>
}): UploadTarget<Item, Receipt, E | E2 | E3, R | RS | R2 | R3> => {
  const { client, digests = [], key, method = "POST", operation, receive, request, source } = options
  return {
    method,
    operation,
    source,
    key,
    digests,
    send: Effect.fnUntraced(function*(item, payload) {
      const prepared = HttpClientRequest.setMethod(yield* request(item, payload), method)
      const response = yield* send(client, yield* inWholeBody(prepared, payload), payload.name)
      const received = yield* receive(response, item)
      yield* payload.sent
      return received
    })
  }
}

// A body in memory needs no stream, which costs a transport several times as much as sending the bytes.
const inWholeBody = (
  request: HttpClientRequest.HttpClientRequest,
  payload: Payload
): Effect.Effect<HttpClientRequest.HttpClientRequest, UploadError.UploadError> => {
  const { body } = request
  if (body._tag !== "Stream") return Effect.succeed(request)
  const read = WholeBody.of(body.stream)
  return read === undefined ? Effect.succeed(request) : Effect.mapBoth(read(0, 0), {
    onFailure: (error) => unreadable(payload.name, error),
    onSuccess: (bytes) => HttpClientRequest.setBody(request, HttpBody.uint8Array(bytes, body.contentType))
  })
}
