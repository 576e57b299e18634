import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as UploadError from "../UploadError.ts"
import { builtin } from "./builtin.ts"

/** The part of `node:zlib` that this uses; Deno and Bun have it too. */
interface Zlib {
  readonly createGunzip: () => Gunzip
}

interface Gunzip {
  readonly on: (event: "data" | "end" | "error", listener: (value: Uint8Array & Error) => void) => void
  readonly write: (chunk: Uint8Array, done: (error?: Error | null) => void) => void
  readonly end: () => void
  readonly destroy: () => void
}

/**
 * Decompresses all members of a gzip file, as `gzip -d` does: tools that compress in parallel, and `cat a.gz b.gz`, write
 * several. Where the runtime has no `node:zlib`, a second member fails, since the web's `DecompressionStream` reads one only.
 */
export const transform = (): ReadableWritablePair<Uint8Array, Uint8Array<ArrayBuffer>> => {
  const gunzip = zlib()?.createGunzip()
  if (gunzip === undefined) return new DecompressionStream("gzip")
  // What follows the last member, such as the zeros that pad a file, ends it. Later writes never call back.
  let ended = false
  let proceed = () => {}
  gunzip.on("end", () => {
    ended = true
    proceed()
  })
  // `cancel` is too new for the types.
  const transformer = {
    start: (controller: TransformStreamDefaultController<Uint8Array>) => {
      gunzip.on("data", (chunk) => controller.enqueue(chunk))
      gunzip.on("error", (error) => controller.error(error))
    },
    transform: (chunk: Uint8Array) =>
      new Promise<void>((resolve, reject) => {
        proceed = resolve
        if (ended) resolve()
        else gunzip.write(chunk, (error) => error === undefined || error === null ? resolve() : reject(error))
      }),
    flush: () =>
      new Promise<void>((resolve, reject) => {
        proceed = resolve
        if (ended) return resolve()
        gunzip.on("error", reject)
        gunzip.end()
      }),
    cancel: () => gunzip.destroy()
  }
  return new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array>(transformer)
}

/** Cuts pieces small enough to be decompressed, which at worst makes them a thousand times as large. */
export const rechunk = <E>(self: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
  Stream.flatMap(self, (chunk) =>
    chunk.length <= piece
      ? Stream.succeed(chunk)
      : Stream.range(0, Math.ceil(chunk.length / piece) - 1).pipe(
        Stream.map((i) => chunk.subarray(i * piece, (i + 1) * piece))
      ))

/** Describes what is wrong with the compressed data. */
export const damaged = (source: string, error: unknown): UploadError.UploadError => {
  if (error instanceof UploadError.UploadError) return error
  const code = Predicate.hasProperty(error, "code") ? error.code : undefined
  const description = code === "Z_BUF_ERROR"
    ? "its gzip data ends in the middle"
    : code === "ERR_TRAILING_JUNK_AFTER_STREAM_END"
    ? "something follows its gzip data, which this runtime cannot read"
    : "it is not gzip, or damaged"
  return new UploadError.UploadError({
    source,
    reason: new UploadError.SourceUnreadable({ problem: "failed", description })
  })
}

const piece = 65_536

const zlib = (): Zlib | undefined => {
  const found = builtin("node:zlib")
  return isZlib(found) ? found : undefined
}

const isZlib = (u: unknown): u is Zlib =>
  Predicate.hasProperty(u, "createGunzip") && typeof u.createGunzip === "function"
