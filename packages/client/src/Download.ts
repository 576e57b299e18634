/**
 * Downloads that go on where they broke off.
 *
 * **Why**
 *
 * A file of several gigabytes does not come through in one piece every time, and a retry begins with its first byte. HTTP can continue:
 * with `Range`, and with `If-Range`, without which the end of tomorrow's file is glued to the beginning of today's.
 *
 * **Details**
 *
 * - A response that breaks off is continued by `Range: bytes=N-`, if the server named the version: by a strong `ETag`, or by a
 *   `Last-Modified` that is strong (RFC 9110, section 8.8.2.2). Bytes of two versions are never joined.
 * - A download succeeds only if it is whole: as long as `Content-Length` or `Content-Range` says. Without either, the end that HTTP
 *   marks counts.
 * - Each request passes the client: its breaker, its limits, its retries. The first one that fails is not repeated here, since the
 *   client has done that; it also repeats a response that breaks before its first piece is taken.
 * - While nothing was delivered, a download begins anew, in whatever version. Once bytes were delivered and it cannot go on, it fails
 *   with `PartsDelivered`; its `failure` tells why, and `delivered` counts bytes.
 * - The server is asked for the bytes as they are (`Accept-Encoding: identity`). One that encodes them nevertheless cannot be resumed.
 *
 * **Gotchas**
 *
 * The limits of time are those of the client: `idle` ends a response that falls silent, and `total` one that takes long. The download
 * goes on with another. Where the server names no version it cannot: give the operation more time.
 *
 * **Example** (A connection that breaks)
 *
 * ```ts import.meta.vitest
 * import { Download, ResilientClient } from "@effect-resilience/client"
 * import { Effect, Layer, Stream } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const file = new TextEncoder().encode("a report\n".repeat(20_000))
 * const ranges: Array<string> = []
 * const flaky = HttpClient.make((request) =>
 *   Effect.sync(() => {
 *     const from = Number(/\d+/.exec(request.headers["range"] ?? "")?.[0] ?? 0)
 *     ranges.push(request.headers["range"] ?? "all")
 *     const headers = {
 *       etag: `"v1"`,
 *       "content-length": `${file.length - from}`,
 *       "content-range": `bytes ${from}-${file.length - 1}/${file.length}`
 *     }
 *     // Breaks off once.
 *     const body = from === 0 ? file.slice(0, 100_000) : file.slice(from)
 *     return HttpClientResponse.fromWeb(request, new Response(body, { status: from === 0 ? 200 : 206, headers }))
 *   })
 * )
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* ResilientClient.make({ name: "reports", baseUrl: "https://reports.example.com" })
 *   const pieces = yield* Stream.runCollect(Download.stream(client, "/2026.txt"))
 *   return pieces.reduce((size, { length }) => size + length, 0)
 * })
 *
 * await Effect.runPromise(Effect.provide(program, Layer.succeed(HttpClient.HttpClient, flaky))) // => 180000
 * // All of it, then the rest.
 * ranges.length // => 2
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type { PartsDelivered } from "@effect-resilience/errors/PartsDelivered"
import * as Recovery from "@effect-resilience/errors/Recovery"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Bytes from "@effect-resilience/kernel/Bytes"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"
import * as entity from "./internal/entity.ts"
import { executeStream, type Position, requestOf, resuming } from "./internal/resuming.ts"

/**
 * How to resume.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * How often in a row without a byte, and after which waits. `RetryPolicy.noop` never resumes. Default 5 times, with the waits
   * of `RetryPolicy`. Each byte begins the count anew.
   */
  readonly resume?: RetryPolicy.RetryPolicy | undefined
}

/**
 * What a server sent is not what was to come next.
 *
 * - `Changed`: the server has another version by now.
 * - `NoRanges`: the server sends the same version from its beginning: it knows no ranges.
 * - `Unexpected`: a response of another kind. `got` says which.
 * - `Incomplete`: a response ended before its announced length.
 *
 * @category errors
 * @since 0.1.0
 */
export class DownloadError extends ErrorMessage.TaggedError("DownloadError")<{
  /** Which of these happened. */
  readonly reason: "Changed" | "NoRanges" | "Unexpected" | "Incomplete"
  readonly got: string
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return this.reason === "Incomplete" ? Recovery.retry : Recovery.giveUp
  }
  override get message(): string {
    return `${texts[this.reason]} (${this.got}).`
  }
}

const texts: { readonly [R in DownloadError["reason"]]: string } = {
  Changed: "What is downloaded has changed on the server meanwhile",
  NoRanges: "The server cannot continue a download where it broke off",
  Unexpected: "The server's response does not belong to this download",
  Incomplete: "The response ended too early"
}

/**
 * The bytes of a GET, continued where responses break off. Throws `RangeError` for a request that is no GET, or has a `Range`.
 *
 * @category streaming
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const stream = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  request: string | URL | HttpClientRequest.HttpClientRequest,
  options: Options = {}
): Stream.Stream<Uint8Array, E | DownloadError | PartsDelivered<E | DownloadError>, R> => {
  const asked = requestOf(request)
  requireArgument(asked.method === "GET", "Download.request.method", "GET", asked.method)
  requireArgument(asked.headers["range"] === undefined, "Download.request.headers", "without range", "one")
  const whole = HttpClientRequest.setHeader(asked, "accept-encoding", "identity")
  return Stream.suspend(() => {
    const download = new Progress(whole)
    const open = Stream.unwrap(
      Effect.suspend(() =>
        Effect.flatMap(executeStream(client, download.next()), (response) => {
          const problem = download.accept(response)
          return problem === undefined
            ? Effect.succeed(download.read<E>(response))
            : Effect.andThen(Bytes.discard(response.stream), Effect.fail(problem))
        })
      )
    )
    return resuming<Uint8Array, E | DownloadError, R>(open, download, {
      policy: options.resume ?? standard,
      resumes: () => download.delivered === 0 || download.version !== undefined
    })
  })
}

const standard = /* @__PURE__ */ RetryPolicy.make({ times: 5 })

class Progress implements Position {
  opened = false
  delivered = 0
  version: entity.Version | undefined = undefined
  private total: number | undefined = undefined
  /** What was announced, also where that may be the length of a packed body. */
  private announced = 0
  private lastByte = 0
  /** Where the present response begins and, if known, ends. */
  private from = 0
  private to: number | undefined = undefined
  private readonly whole: HttpClientRequest.HttpClientRequest

  constructor(whole: HttpClientRequest.HttpClientRequest) {
    this.whole = whole
  }

  next(): HttpClientRequest.HttpClientRequest {
    if (this.delivered === 0 || this.version === undefined) return this.whole
    // Where the length is not known, the last byte comes again: there is a response even if no more are missing.
    this.from = this.total === undefined ? this.delivered - 1 : this.delivered
    return HttpClientRequest.setHeaders(this.whole, { range: `bytes=${this.from}-`, "if-range": this.version.ifRange })
  }

  accept(response: HttpClientResponse.HttpClientResponse): DownloadError | undefined {
    return this.delivered === 0 ? this.begin(response) : this.continue(response)
  }

  private begin(response: HttpClientResponse.HttpClientResponse): DownloadError | undefined {
    const { headers, status } = response
    if (status !== 200) return unexpected(`${status} where 200 was to come`)
    const encoded = entity.isEncoded(headers)
    this.opened = true
    this.version = encoded ? undefined : entity.versionOf(headers)
    const length = encoded ? undefined : entity.lengthOf(headers)
    this.announced = length ?? 0
    this.total = entity.mayBePacked(response) ? undefined : length
    this.from = 0
    this.to = this.total
    return undefined
  }

  private continue({ headers, status }: HttpClientResponse.HttpClientResponse): DownloadError | undefined {
    const { from, total, version } = this
    if (version !== undefined && entity.isOther(version, headers)) {
      return new DownloadError({ reason: "Changed", got: "another version" })
    }
    if (status === 200) {
      return entity.versionOf(headers) === undefined
        ? new DownloadError({ reason: "Changed", got: "all of an unknown version" })
        : new DownloadError({ reason: "NoRanges", got: "200 from the beginning" })
    }
    const range = status === 206 && !entity.isEncoded(headers) ? entity.rangeOf(headers) : undefined
    if (range === undefined) return unexpected(`${status} where a range was to come`)
    if (range.first !== from) return unexpected(`bytes from ${range.first} where ${from} was to come`)
    if (total !== undefined && range.total !== total) {
      return new DownloadError({ reason: "Changed", got: `${range.total} bytes, before ${total}` })
    }
    this.total = range.total
    this.to = range.last + 1
    return undefined
  }

  /** The bytes of a response that was accepted. */
  read<E>(response: HttpClientResponse.HttpClientResponse): Stream.Stream<Uint8Array, E | DownloadError> {
    let at = this.from
    // A mapped client's bodies fail with its own errors, which the type of a response cannot say.
    const body = response.stream as Stream.Stream<Uint8Array, never> as Stream.Stream<Uint8Array, E>
    const fresh = Stream.mapArrayEffect(body, (chunks) => {
      const pieces: Array<Uint8Array> = []
      for (const chunk of chunks) {
        const known = Math.min(Math.max(this.delivered - at, 0), chunk.length)
        if (known > 0 && chunk[known - 1] !== this.lastByte) {
          return Effect.fail(new DownloadError({ reason: "Changed", got: "another byte" }))
        }
        at += chunk.length
        if (this.to !== undefined && at > this.to) return Effect.fail(unexpected("more bytes than announced"))
        if (known < chunk.length) pieces.push(known === 0 ? chunk : chunk.subarray(known))
      }
      return Effect.succeed([pieces] as const)
    })
    return fresh.pipe(
      Stream.flattenIterable,
      Stream.map((piece) => {
        this.delivered += piece.length
        this.lastByte = piece[piece.length - 1] ?? this.lastByte
        return piece
      }),
      // What breaks after its last byte is whole.
      Stream.catch((error) => at === this.total ? Stream.empty : Stream.fail(error)),
      Stream.concat(Stream.suspend(() => {
        // Of a packed body, more has come than was announced. Where less has, it may have broken off.
        const missing = (this.total ?? Math.max(this.announced, at)) - at
        return missing === 0
          ? Stream.empty
          : Stream.fail(new DownloadError({ reason: "Incomplete", got: `${missing} bytes are missing` }))
      }))
    )
  }
}

const unexpected = (got: string) => new DownloadError({ reason: "Unexpected", got })
