/**
 * Encodes `multipart/form-data` (RFC 7578) as a stream, in constant memory and with an exact `Content-Length`.
 *
 * **Why**
 *
 * The platform's `FormData` cannot take a stream of known length: a large file is either kept in memory or sent chunked,
 * which many servers and proxies reject.
 *
 * **Details**
 *
 * Names are escaped as browsers do (`"` as `%22`, line breaks as `%0D%0A`) and sent as UTF-8. The boundary contains 144 random
 * bits from the platform's cryptographic source, so the bytes of a part need not be searched for it.
 *
 * **Example** (A field and a file)
 *
 * ```ts import.meta.vitest
 * import { Multipart } from "@effect-resilience/upload"
 * import { Effect, Stream } from "effect"
 *
 * const csv = new TextEncoder().encode("a;b\n1;2\n")
 * const form = Multipart.make([
 *   Multipart.field("force", "true"),
 *   Multipart.file("myfile", { fileName: "gl.csv", contentType: "text/csv", size: csv.length, stream: Stream.make(csv) })
 * ], { boundary: "b" })
 *
 * const text = await Effect.runPromise(Stream.mkString(Stream.decodeText(form.stream)))
 * text.length === form.contentLength // => true
 * text.split("\r\n")[1] // => `Content-Disposition: form-data; name="force"`
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as HttpBody from "effect/http/HttpBody"
import * as Stream from "effect/Stream"
import * as WholeBody from "./internal/wholeBody.ts"

/**
 * One part: a header block and the bytes after it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Part<out E = never> {
  /** Its lines, without the empty line after them. */
  readonly header: string
  /** Of its bytes, without the header; `undefined` if it is not known. */
  readonly size: number | undefined
  /** Its bytes. */
  readonly stream: Stream.Stream<Uint8Array, E>
}

/**
 * An encoded form. `contentLength` is absent where the size of a part is not known; then the body goes out chunked.
 *
 * @category models
 * @since 0.1.0
 */
export interface Multipart<out E = never> {
  /** The header of the request, with the boundary. */
  readonly contentType: string
  readonly contentLength: number | undefined
  /** The bytes of the whole body. */
  readonly stream: Stream.Stream<Uint8Array, E>
}

/**
 * A plain field.
 *
 * @category parts
 * @since 0.1.0
 */
export const field = (name: string, value: string): Part => {
  const bytes = utf8.encode(value)
  return { header: disposition(name), size: bytes.length, stream: WholeBody.fromBytes(bytes) }
}

/**
 * A file.
 *
 * - `contentType`: default `application/octet-stream`.
 * - `size`: of the stream, in bytes.
 * - `fileName`: the name that the server is told; quotes and line breaks in it are escaped.
 * - `stream`: its bytes.
 *
 * Throws `RangeError` where the content type contains a line break.
 *
 * @category parts
 * @since 0.1.0
 */
export const file = <E>(name: string, options: {
  readonly fileName: string
  readonly contentType?: string | undefined
  readonly size?: number | undefined
  readonly stream: Stream.Stream<Uint8Array, E>
}): Part<E> => {
  const { contentType = "application/octet-stream", fileName, size, stream } = options
  requireArgument(
    !/[\r\n]/.test(contentType),
    "Multipart.contentType",
    "a content type",
    JSON.stringify(contentType)
  )
  return {
    header: `${disposition(name)}; filename="${escapeName(fileName)}"\r\nContent-Type: ${contentType}`,
    size,
    stream
  }
}

/**
 * Encodes parts.
 *
 * - `boundary`: default random. Throws `RangeError` where it is not one by RFC 2046.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <E = never>(
  parts: ReadonlyArray<Part<E>>,
  options: { readonly boundary?: string | undefined } = {}
): Multipart<E> => {
  const boundary = options.boundary ?? randomBoundary()
  requireArgument(
    options.boundary === undefined ||
      /^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$/.test(boundary),
    "Multipart.boundary",
    "one by RFC 2046",
    JSON.stringify(boundary)
  )
  const framed = parts.map(({ header, size, stream }, i): Framed<E> => ({
    head: utf8.encode(`${i === 0 ? "" : "\r\n"}--${boundary}\r\n${header}\r\n\r\n`),
    size,
    stream
  }))
  const tail = utf8.encode(`${parts.length === 0 ? "" : "\r\n"}--${boundary}--\r\n`)
  const contentLength = lengthOf(framed, tail)
  const stream = () => streamed(framed, tail)
  const read = contentLength !== undefined && contentLength <= WholeBody.largest ? inWholeBody(framed, tail) : undefined
  const inParts = read === undefined ? partsOf(framed, tail) : undefined
  return {
    contentType: `multipart/form-data; boundary=${/^[0-9A-Za-z+_\-.]+$/.test(boundary) ? boundary : `"${boundary}"`}`,
    contentLength,
    stream: read !== undefined
      ? WholeBody.make(read, stream)
      : inParts !== undefined
      ? WholeBody.inParts(inParts, stream)
      : stream()
  }
}

/**
 * The form as the body of a request.
 *
 * @category converting
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const toBody = <E>(self: Multipart<E>): HttpBody.Stream =>
  HttpBody.stream(self.stream, self.contentType, self.contentLength)

const utf8 = new TextEncoder()

interface Framed<out E> {
  readonly head: Uint8Array
  readonly size: number | undefined
  readonly stream: Stream.Stream<Uint8Array, E>
}

const lengthOf = (parts: ReadonlyArray<Framed<unknown>>, tail: Uint8Array): number | undefined => {
  let length = tail.length
  for (const { head, size } of parts) {
    if (size === undefined) return undefined
    length += head.length + size
  }
  return length
}

const inWholeBody = <E>(parts: ReadonlyArray<Framed<E>>, tail: Uint8Array): WholeBody.Read<E> | undefined => {
  const reads: Array<WholeBody.Read<E>> = []
  for (const { head, stream } of parts) {
    const read = WholeBody.of(stream)
    if (read === undefined) return undefined
    reads.push(enclosed(head, read, reads.length === parts.length - 1 ? tail : nothing))
  }
  const [only] = reads
  if (reads.length === 1) return only
  return (before, after) =>
    Effect.map(
      Effect.forEach(reads, (read) => read(0, 0)),
      (pieces) => WholeBody.joined(pieces, before, after)
    )
}

const partsOf = <E>(parts: ReadonlyArray<Framed<E>>, tail: Uint8Array): WholeBody.Parts<E> | undefined => {
  const all: Array<WholeBody.Parts<E>> = []
  for (const { head, stream } of parts) {
    const own = WholeBody.partsOf(stream)
    if (own === undefined) return undefined
    all.push(Effect.map(own, (own) => [head, ...own]))
  }
  return Effect.map(Effect.all(all), (parts) => [...parts.flat(), tail])
}

const nothing = new Uint8Array(0)

const enclosed =
  <E>(head: Uint8Array, read: WholeBody.Read<E>, tail: Uint8Array): WholeBody.Read<E> => (before, after) =>
    Effect.map(read(before + head.length, tail.length + after), (bytes) => {
      bytes.set(head, before)
      bytes.set(tail, bytes.length - after - tail.length)
      return bytes
    })

const streamed = <E>(parts: ReadonlyArray<Framed<E>>, tail: Uint8Array): Stream.Stream<Uint8Array, E> =>
  Stream.flatten(
    Stream.fromIterable([
      ...parts.flatMap(({ head, stream }) => [Stream.succeed(head), stream]),
      Stream.succeed(tail)
    ])
  )

// 18 bytes, drawn for 64 boundaries at once: between other work, asking the system costs 30 micros, as much as a row in a journal.
const boundaryBytes = 18
let drawn: Uint8Array = new Uint8Array(0)
let used = 0

const randomBoundary = (): string => {
  if (used === drawn.length) {
    drawn = SecureRandom.randomBytesUnsafe(boundaryBytes * 64)
    used = 0
  }
  return `----${Base64Url.encode(drawn.subarray(used, used += boundaryBytes))}`
}

const disposition = (name: string): string => `Content-Disposition: form-data; name="${escapeName(name)}"`

// The HTML standard's "multipart/form-data encoding algorithm"; RFC 7578, section 4.2, forbids `filename*`.
const escapeName = (name: string): string => name.replaceAll("\r", "%0D").replaceAll("\n", "%0A").replaceAll(`"`, "%22")
