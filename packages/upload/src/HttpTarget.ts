/**
 * Uploads as the whole body of one plain request: `PUT` to an object store, `POST` to an import endpoint.
 *
 * **Details**
 *
 * HTTP has no header in which a server confirms what it stored: digests in a response describe the response. So `stored`
 * says how this server does it. `etagMd5` reads an `ETag` that is the md5, as Amazon S3 sends it for an object that no foreign
 * key encrypts.
 *
 * **Example** (An object store)
 *
 * ```ts import.meta.vitest
 * import { ErrorMapping } from "@effect-resilience/http"
 * import { HttpTarget, Uploader, UploadSource } from "@effect-resilience/upload"
 * import { Effect, Stream } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const store = HttpClient.make((request) =>
 *   Stream.runDrain(request.body._tag === "Stream" ? request.body.stream : Stream.empty).pipe(
 *     Effect.orDie,
 *     Effect.as(HttpClientResponse.fromWeb(
 *       request,
 *       new Response(null, { headers: { etag: `"5eb63bbbe01eeed093cb22bb8f5acdc3"` } })
 *     ))
 *   )
 * )
 *
 * const objects = HttpTarget.make({
 *   client: ErrorMapping.mapErrors(store, {}),
 *   method: "PUT",
 *   endpoint: "/{object}",
 *   url: (name: string) => `https://bucket.example.com/${encodeURIComponent(name)}`,
 *   source: (name) => UploadSource.bytes(name, "hello world"),
 *   digests: ["md5"],
 *   stored: HttpTarget.etagMd5
 * })
 * const report = await Effect.runPromise(Uploader.upload(objects, "greeting.txt"))
 * report.verified // => true
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as ApiError from "@effect-resilience/errors/ApiError"
import type * as Operation from "@effect-resilience/http/Operation"
import * as Effect from "effect/Effect"
import type * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Result from "effect/Result"
import type * as Hashing from "./Hashing.ts"
import type * as UploadSource from "./UploadSource.ts"
import * as UploadTarget from "./UploadTarget.ts"

/**
 * Where items go, and how their requests look.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in Item, E, R, RS> {
  /** With errors mapped. */
  readonly client: HttpClient.HttpClient.With<E, R>
  /** The method of the request. */
  readonly method: "PUT" | "POST"
  /** The address as a template, for logs and errors. */
  readonly endpoint: string
  /** Where an item goes. If it throws, as `encodeURIComponent` does on half a character, the item's upload fails. */
  readonly url: (item: Item) => string | URL
  /** Where an item's bytes come from. */
  readonly source: (item: Item) => UploadSource.UploadSource<RS>
  /** Of each request; default none. */
  readonly headers?: ((item: Item) => Headers.Input) | undefined
  /** Default `application/octet-stream`. */
  readonly contentType?: ((item: Item) => string) | undefined
  /** Whether sending an item twice is harmless; default for `PUT`. */
  readonly idempotent?: boolean | undefined
  /** Items with the same key never overlap in a batch; default the address for `PUT`, none for `POST`. */
  readonly key?: ((item: Item) => string) | undefined
  /** To compute for `stored`; default none. */
  readonly digests?: ReadonlyArray<Hashing.Algorithm> | undefined
  /** What the server says it stored, in the headers of its response; default nothing. */
  readonly stored?: ((headers: Headers.Headers) => UploadTarget.Stored) | undefined
}

/**
 * What came back.
 *
 * @category models
 * @since 0.1.0
 */
export interface Receipt {
  /** The HTTP status. */
  readonly status: number
  /** The `ETag` header; `undefined` if there is none. */
  readonly etag: string | undefined
  /** The `Location` header; `undefined` if there is none. */
  readonly location: string | undefined
}

/**
 * A target of plain requests.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Item, E, R, RS = never>(
  options: Options<Item, E, R, RS>
): UploadTarget.UploadTarget<Item, Receipt, E | ApiError.ApiError, R | RS> => {
  const { client, contentType, digests, endpoint, headers, method, source, stored, url } = options
  const operation: Operation.Operation = { name: `${method} upload`, endpoint, idempotent: options.idempotent }
  // A name with half of a character in it (a lone surrogate) cannot be encoded: that is one item's failure, not a batch's.
  const addressOf = (item: Item) => Result.getOrUndefined(Result.try(() => String(url(item))))
  return UploadTarget.http({
    client,
    method,
    operation: () => operation,
    source,
    key: options.key ?? (method === "PUT" ? (item) => addressOf(item) ?? "" : undefined),
    digests,
    request: (item, { size, stream }) => {
      const address = addressOf(item)
      if (address === undefined) return Effect.fail(new ApiError.ApiError({ method, endpoint, reason: noAddress }))
      return Effect.succeed(
        HttpClientRequest.make(method)(address, headers === undefined ? {} : { headers: headers(item) }).pipe(
          HttpClientRequest.setBody(HttpBody.stream(stream, contentType?.(item), size))
        )
      )
    },
    receive: ({ headers, status }) =>
      Effect.succeed({
        receipt: { status, etag: headers["etag"], location: headers["location"] },
        stored: stored?.(headers)
      })
  })
}

const noAddress = new ApiError.TransportFailure({ kind: "address", code: undefined, connected: false })

/**
 * Reads an `ETag` of 32 hexadecimal digits as the md5 of what is stored; any other confirms nothing. Nor does one of
 * a response that names an encryption other than with S3's own keys (`AES256`): with keys of KMS or of the customer an `ETag`
 * is no md5, though it looks like one.
 *
 * Source: Amazon S3 API Reference, *Object*, field `ETag`
 * (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html).
 *
 * @category responses
 * @since 0.1.0
 */
export const etagMd5 = (headers: Headers.Headers): UploadTarget.Stored => ({
  md5: Object.entries(headers).some(isForeignKey)
    ? undefined
    : /^"?([0-9a-f]{32})"?$/i.exec(headers["etag"] ?? "")?.[1]
})

// `x-amz-server-side-encryption-customer-algorithm`, `x-goog-encryption-kms-key-name` and their like.
const isForeignKey = ([name, value]: readonly [string, string]): boolean =>
  /^x-[a-z]+-(?:server-side-)?encryption\b/.test(name) && value !== "false" &&
  !(name === "x-amz-server-side-encryption" && value === "AES256")
