/**
 * Unpacks compressed responses within bounds.
 *
 * **Why**
 *
 * A megabyte of gzip holds a gigabyte of zeros. A client that unpacks a response before it measures it can be driven out of
 * memory by any server. A client that cannot unpack at all reads an error page as garbage.
 *
 * **Details**
 *
 * `decompress` asks for gzip, deflate and Brotli unless the request names codings of its own. It unpacks piece by piece while the
 * response is read, and fails once more than `maxBytes` have come out. It undoes up to three codings, one after the other, and
 * reads deflate with or without the header of zlib. An empty body stays empty whatever coding it names. A reader that stops
 * early, as `ResponseBody` and `ErrorMapping` do, unpacks no more than it reads.
 *
 * This module is not in `http`, since the web's `DecompressionStream` runs ahead of its reader in Node.js, by hundreds of
 * megabytes.
 *
 * **When to use**
 *
 * Use it directly around a transport that does not unpack: `Connections`, `NodeHttpClient.layerUndici` or `layerNodeHttp`. Do not
 * use it around `fetch`, which unpacks and yet keeps the `content-encoding` header.
 *
 * **Example** (A response that grows too large)
 *
 * ```ts import.meta.vitest
 * import * as Decompression from "@effect-resilience/node/Decompression"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const zeros = new Blob([new Uint8Array(1_000_000)]).stream().pipeThrough(new CompressionStream("gzip"))
 * const bomb = HttpClient.make((request) =>
 *   Effect.succeed(
 *     HttpClientResponse.fromWeb(request, new Response(zeros, { headers: { "content-encoding": "gzip" } }))
 *   )
 * )
 * const client = Decompression.decompress(bomb, { maxBytes: 10_000 })
 *
 * const size = client.get("https://api.example.com/").pipe(
 *   Effect.flatMap((response) => response.arrayBuffer),
 *   Effect.flip
 * )
 * const error = await Effect.runPromise(size)
 * error.reason._tag // => "DecodeError"
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as ResponseBody from "@effect-resilience/http/ResponseBody"
import * as SendProgress from "@effect-resilience/http/SendProgress"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { Duplex } from "node:stream"
import * as Zlib from "node:zlib"

/**
 * How far a response may unpack.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The most that a response may unpack to; 64 MiB by default. */
  readonly maxBytes?: number | undefined
}

/**
 * Unpacks the responses of a client. It says how far a request came if the client does.
 *
 * @category middleware
 * @since 0.1.0
 */
export const decompress: {
  (options?: Options): <E, R>(client: HttpClient.HttpClient.With<E, R>) => HttpClient.HttpClient.With<E, R>
  <E, R>(client: HttpClient.HttpClient.With<E, R>, options?: Options): HttpClient.HttpClient.With<E, R>
} = dual(
  (args) => HttpClient.isHttpClient(args[0]),
  <E, R>(client: HttpClient.HttpClient.With<E, R>, options: Options = {}): HttpClient.HttpClient.With<E, R> => {
    const maxBytes = options.maxBytes ?? 67_108_864
    requireArgument(maxBytes > 0, "Decompression.maxBytes", "above 0", maxBytes)
    const unpacking = client.pipe(
      HttpClient.mapRequest((request) =>
        request.headers["accept-encoding"] === undefined
          ? HttpClientRequest.setHeader(request, "accept-encoding", "gzip, deflate, br")
          : request
      ),
      HttpClient.transformResponse(Effect.map((response) => unpack(response, maxBytes)))
    )
    return SendProgress.asIn(unpacking, client)
  }
)

const codings: { readonly [coding: string]: ((head: Uint8Array) => Duplex) | undefined } = {
  gzip: () => Zlib.createGunzip(),
  "x-gzip": () => Zlib.createGunzip(),
  // RFC 9110 demands the header of zlib, but some servers leave it out.
  deflate: (head) => hasZlibHeader(head) ? Zlib.createInflate() : Zlib.createInflateRaw(),
  br: () => Zlib.createBrotliDecompress()
}

const hasZlibHeader = ([method = 0, flags = 0]: Uint8Array): boolean =>
  (method & 15) === 8 && ((method << 8) | flags) % 31 === 0

const unpack = (
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): HttpClientResponse.HttpClientResponse => {
  const applied = (response.headers["content-encoding"] ?? "").toLowerCase().split(",").map((coding) => coding.trim())
    .filter((coding) => coding !== "" && coding !== "identity")
  const known = applied.flatMap((coding) => codings[coding] ?? [])
  if (known.length === 0 || known.length < applied.length || known.length > mostCodings) return response
  const unpacked = Stream.suspend(() => {
    let size = 0
    return known.reduceRight<Stream.Stream<Uint8Array, unknown>>(through, response.stream).pipe(
      Stream.mapEffect((chunk) => {
        size += chunk.byteLength
        return size > maxBytes
          ? Effect.fail(new TooLarge({ message: `The response unpacks to more than ${maxBytes} bytes` }))
          : Effect.succeed(chunk)
      })
    )
  })
  return ResponseBody.replace(
    response,
    unpacked,
    Headers.removeMany(response.headers, ["content-encoding", "content-length"])
  )
}

/** More are an attack. */
const mostCodings = 3

// A response without a body, such as one to HEAD, may still name a coding.
const through = Effect.fnUntraced(
  function*(packed: Stream.Stream<Uint8Array, unknown>, decoder: (head: Uint8Array) => Duplex) {
    const pull = yield* Stream.toPull(packed)
    const head: Array<Uint8Array> = []
    let size = 0
    while (size < 2) {
      const chunks = yield* Pull.catchDone(pull, () => Effect.succeed([]))
      if (chunks.length === 0) break
      for (const chunk of chunks) {
        head.push(chunk)
        size += chunk.length
      }
    }
    if (size === 0) return Stream.empty
    return Stream.concat(Stream.fromIterable(head), Stream.fromPull(Effect.succeed(pull))).pipe(
      NodeStream.pipeThroughDuplex<Uint8Array, unknown>({
        evaluate: () => decoder(Buffer.concat(head)),
        onError: (error) => error
      })
    )
  },
  (begun) => Stream.unwrap(begun)
)

class TooLarge extends Data.Error<{ readonly message: string }> {}
