/**
 * Where the bytes of an upload come from.
 *
 * **Why**
 *
 * A body that was half sent is gone. An upload that is retried needs to open its source again, to know that it is still
 * the same, and to say so where either is impossible.
 *
 * **Details**
 *
 * `open` looks at the source once per upload and tells its size and version. Each attempt then reads `bytes` anew. The
 * source fails with `SourceChanged` where it is no longer the version that was opened.
 *
 * **Example** (A source in memory)
 *
 * ```ts import.meta.vitest
 * import { UploadSource } from "@effect-resilience/upload"
 * import { Effect, Stream } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const { bytes, size } = yield* UploadSource.bytes("gl.csv", "a;b\n1;2\n").open
 *   const text = yield* Stream.mkString(Stream.decodeText(bytes()))
 *   return { size, text }
 * })
 * await Effect.runPromise(program) // => { size: 8, text: "a;b\n1;2\n" }
 * ```
 *
 * @since 0.1.0
 */
import * as ChunkLifetime from "@effect-resilience/http/ChunkLifetime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { largestPiece } from "./internal/transmission.ts"
import { unreadable } from "./internal/unreadable.ts"
import * as UploadError from "./UploadError.ts"

/**
 * - `name`: the file name that the server is told.
 * - `replayable`: false where the bytes can be read only once.
 * - `open`: looks at the source; reads nothing yet.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploadSource<out R = never> {
  readonly name: string
  readonly replayable: boolean
  readonly open: Effect.Effect<Opened, UploadError.UploadError, R>
}

/**
 * - `size`: in bytes, where it is known beforehand.
 * - `version`: differs when the content does; absent where that cannot be told.
 * - `atHand`: whether reading waits for nobody, as with a file; then a small body leaves in one go.
 * - `bytes`: reads from the beginning, or from `offset`, to the end or for `length` bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Opened {
  readonly size: number | undefined
  readonly version: string | undefined
  readonly atHand: boolean
  readonly bytes: (range?: Range) => Stream.Stream<Uint8Array, UploadError.UploadError>
}

/**
 * A part of a source, in bytes. `length` reaches to the end by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Range {
  readonly offset: number
  readonly length?: number | undefined
}

/**
 * A file, read in pieces of 1 MiB, of 3 MiB where it is larger than 32 MiB.
 *
 * **Details**
 *
 * A change is noticed by device, inode, size and time of modification, when an attempt opens the file and again before its
 * last bytes are handed out: a file that changes while it is sent never arrives whole.
 *
 * - `name`: default the last segment of the path.
 *
 * @category constructors
 * @since 0.1.0
 */
export const file = (
  path: string,
  options: { readonly name?: string | undefined } = {}
): UploadSource<FileSystem.FileSystem> => {
  const name = options.name ?? path.replace(/^.*[\\/](?=[^\\/]*$)/, "")
  return {
    name,
    replayable: true,
    open: Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const info = yield* Effect.mapError(fs.stat(path), (error) => unreadable(name, error))
      if (info.type !== "File") {
        return yield* fail(
          name,
          new UploadError.SourceUnreadable(
            info.type === "Directory"
              ? { problem: "directory", description: "it is a directory" }
              : { problem: "notAFile", description: "it is not a regular file" }
          )
        )
      }
      return {
        size: Number(info.size),
        version: versionOf(info),
        atHand: true,
        bytes: (range) => readFile({ fs, path, name, info, range })
      }
    })
  }
}

/**
 * Bytes, or text as UTF-8, in memory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const bytes = (name: string, content: Uint8Array | string): UploadSource => {
  const whole = typeof content === "string" ? new TextEncoder().encode(content) : content
  return {
    name,
    replayable: true,
    open: Effect.succeed({
      size: whole.length,
      version: undefined,
      atHand: true,
      bytes: ({ length, offset } = beginning) => {
        const part = whole.subarray(offset, length === undefined ? undefined : offset + length)
        return part.length === 0 ? Stream.empty : Stream.succeed(part)
      }
    })
  }
}

/**
 * A stream that yields the same bytes whenever it is run.
 *
 * - `size`: the number of bytes, if known. A stream that yields another number fails with `SourceChanged`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const stream = <E, R>(name: string, options: {
  readonly size?: number | undefined
  readonly stream: Stream.Stream<Uint8Array, E, R>
}): UploadSource<R> => fromStream(name, true, options)

/**
 * A stream that can be run only once, such as standard input. An attempt that fails after the first byte was read is not
 * repeated: the upload fails with `NotReplayable`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const oneShot = <E, R>(name: string, options: {
  readonly size?: number | undefined
  readonly stream: Stream.Stream<Uint8Array, E, R>
}): UploadSource<R> => fromStream(name, false, options)

/**
 * Compresses a source on the way, and adds `.gz` to its name. The size is no longer known, so the body goes out chunked.
 *
 * @category combinators
 * @since 0.1.0
 */
export const gzip = <R>(self: UploadSource<R>): UploadSource<R> => ({
  name: `${self.name}.gz`,
  replayable: self.replayable,
  open: Effect.map(self.open, (opened) => ({
    size: undefined,
    version: opened.version,
    atHand: false,
    bytes: (range) => slice(through(self.name, opened.bytes(), () => new CompressionStream("gzip")), range)
  }))
})

/**
 * Decompresses a source on the way, and takes `.gz` off its name.
 *
 * @category combinators
 * @since 0.1.0
 */
export const gunzip = <R>(self: UploadSource<R>): UploadSource<R> => {
  const name = self.name.replace(/\.gz$/i, "")
  return {
    name,
    replayable: self.replayable,
    open: Effect.map(self.open, (opened) => ({
      size: undefined,
      version: opened.version,
      atHand: false,
      bytes: (range) => slice(through(self.name, opened.bytes(), () => new DecompressionStream("gzip")), range)
    }))
  }
}

const beginning: Range = { offset: 0 }

const fail = (source: string, reason: UploadError.Reason): Effect.Effect<never, UploadError.UploadError> =>
  Effect.fail(new UploadError.UploadError({ source, reason }))

const fromStream = <E, R>(name: string, replayable: boolean, options: {
  readonly size?: number | undefined
  readonly stream: Stream.Stream<Uint8Array, E, R>
}): UploadSource<R> => {
  const { size } = options
  let used = false
  return {
    name,
    replayable,
    open: Effect.map(Effect.context<R>(), (context) => {
      const whole = Stream.suspend(() => {
        if (used && !replayable) return failing(name, new UploadError.NotReplayable({ failure: undefined }))
        used = true
        return options.stream.pipe(
          Stream.provideContext(context),
          Stream.mapError((error) => unreadable(name, error))
        )
      })
      const checked = size === undefined ? whole : exactly(name, whole, size)
      return { size, version: undefined, atHand: false, bytes: (range) => slice(checked, range) }
    })
  }
}

const failing = (source: string, reason: UploadError.Reason): Stream.Stream<never, UploadError.UploadError> =>
  Stream.fail(new UploadError.UploadError({ source, reason }))

const changed = (name: string, description: string): Effect.Effect<never, UploadError.UploadError> =>
  Effect.fail(
    new UploadError.UploadError({ source: name, reason: new UploadError.SourceChanged({ description }) })
  )

const readFile = (options: {
  readonly fs: FileSystem.FileSystem
  readonly path: string
  readonly name: string
  readonly info: FileSystem.File.Info
  readonly range: Range | undefined
}): Stream.Stream<Uint8Array, UploadError.UploadError> => {
  const { fs, info, name, path, range } = options
  const size = Number(info.size)
  const end = range?.length === undefined ? size : Math.min(size, range.offset + range.length)
  const lift = <A, R>(self: Effect.Effect<A, PlatformError.PlatformError, R>) =>
    Effect.mapError(self, (error) => unreadable(name, error))

  const pull = Effect.gen(function*() {
    const handle = yield* lift(fs.open(path))
    const unchanged = Effect.flatMap(lift(handle.stat), (now) => {
      const description = difference(info, now)
      return description === undefined ? Effect.void : changed(name, description)
    })
    // One piece is looked after when it has been read.
    const begin = range?.offset ?? 0
    if (end - begin > pieceOf(end - begin)) yield* unchanged
    const { next, position } = reader(handle, yield* ChunkLifetime.Current, begin, end)
    const piece = Effect.flatMap(lift(next), (piece): Pull.Pull<readonly [Uint8Array], UploadError.UploadError> => {
      if (piece.length === 0) return changed(name, `it ends after ${position()} of ${size} bytes`)
      const chunk = [piece] as const
      return position() < end ? Effect.succeed(chunk) : Effect.as(unchanged, chunk)
    })
    return Effect.suspend(() => position() < end ? piece : Cause.done())
  })
  return Stream.unwrap(Effect.map(pull, (pull) => Stream.fromPull(Effect.succeed(pull))))
}

// Where the transport says when it is done with a chunk, a few buffers take turns. A short read is gone on with: many small
// pieces would be in transit at once. What a piece needs is made once for all of them: a large file has thousands, and what
// they leave behind occupies memory until it is collected.
const reader = (handle: FileSystem.File, lifetime: number, begin: number, end: number) => {
  const buffers: Array<Uint8Array> = []
  let turn = 0
  const size = pieceOf(end - begin)
  let position = begin
  let piece: Uint8Array = new Uint8Array(0)
  let filled = 0

  const read = Effect.suspend(() =>
    handle.read(filled === 0 ? piece : piece.subarray(filled), { position: BigInt(position) })
  )
  const fill: Effect.Effect<Uint8Array, PlatformError.PlatformError> = Effect.flatMap(read, (bytes) => {
    position += bytes
    filled += bytes
    if (filled === piece.length) return Effect.succeed(piece)
    return bytes === 0 ? Effect.succeed(piece.subarray(0, filled)) : fill
  })
  const next = Effect.suspend(() => {
    const length = Math.min(size, end - position)
    const buffer = lifetime === Infinity ? new Uint8Array(length) : buffers[turn] ??= new Uint8Array(length)
    turn = turn === lifetime ? 0 : turn + 1
    piece = length === buffer.length ? buffer : buffer.subarray(0, length)
    filled = 0
    return fill
  })
  return { next, position: () => position }
}

// Of a large file few pieces leave little garbage. Of its parts many are read at once, each into buffers of its own.
const pieceOf = (length: number): number => length > largeBytes ? largestPiece : smallPiece

const largeBytes = 33_554_432
const smallPiece = 1_048_576

const difference = (then: FileSystem.File.Info, now: FileSystem.File.Info): string | undefined => {
  if (then.size !== now.size) return `its size went from ${then.size} to ${now.size} bytes`
  if (versionOf(then) !== versionOf(now)) return "it was written or replaced"
  return undefined
}

const versionOf = ({ dev, ino, mtime, size }: FileSystem.File.Info): string =>
  [dev, Option.getOrElse(ino, () => 0n), size, Option.match(mtime, { onNone: () => 0, onSome: Number })].join(":")

// Looks behind the last chunk before it hands it out, so that a stream of another length never arrives whole.
const exactly = (
  name: string,
  self: Stream.Stream<Uint8Array, UploadError.UploadError>,
  size: number
): Stream.Stream<Uint8Array, UploadError.UploadError> =>
  Stream.transformPull(self, (pull) =>
    Effect.sync(() => {
      let count = 0
      const atEnd = Effect.suspend(() => changed(name, `it has ${count} bytes where ${size} were announced`))
      const tooLong = changed(name, `it has more than the ${size} bytes that were announced`)
      const nothingMore: Effect.Effect<void, UploadError.UploadError> = Effect.suspend(() =>
        pull.pipe(
          Effect.flatMap((chunks) => chunks.every((chunk) => chunk.length === 0) ? nothingMore : tooLong),
          Pull.catchDone(() => Effect.void)
        )
      )
      let checked = false
      const end = Effect.suspend((): Pull.Pull<never, UploadError.UploadError> => count === size ? Cause.done() : atEnd)
      return Effect.suspend(() =>
        checked ? Cause.done() : pull.pipe(
          Pull.catchDone(() => end),
          Effect.flatMap((chunks) => {
            for (const chunk of chunks) count += chunk.length
            if (count < size) return Effect.succeed(chunks)
            if (count > size) return tooLong
            checked = true
            return Effect.as(nothingMore, chunks)
          })
        )
      )
    }))

const slice = <E>(
  self: Stream.Stream<Uint8Array, E>,
  range: Range | undefined
): Stream.Stream<Uint8Array, E> => {
  if (range === undefined) return self
  const { length = Infinity, offset } = range
  const end = offset + length
  return Stream.suspend(() => {
    let taken = 0
    let position = 0
    return self.pipe(
      Stream.takeUntil((chunk) => (taken += chunk.length) >= end),
      Stream.map((chunk) => {
        const part = chunk.subarray(Math.max(0, offset - position), Math.max(0, end - position))
        position += chunk.length
        return part
      }),
      Stream.filter((part) => part.length > 0)
    )
  })
}

const through = (
  name: string,
  self: Stream.Stream<Uint8Array, UploadError.UploadError>,
  transform: () => CompressionStream | DecompressionStream
): Stream.Stream<Uint8Array, UploadError.UploadError> =>
  Stream.fromReadableStream({
    // No source shares its memory with another thread.
    evaluate: () => (Stream.toReadableStream(self) as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(transform()),
    onError: (error) => unreadable(name, error)
  })
