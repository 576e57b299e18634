/**
 * Where the bytes of an upload come from.
 *
 * **Why**
 *
 * A body that was half sent is gone. A retry has to open its source again, to know that it is still the same, and to fail
 * where either is impossible.
 *
 * **Details**
 *
 * `open` looks at the source once per upload and returns its size and version. Each attempt then reads `bytes` from the
 * beginning. The source fails with `SourceChanged` where it is no longer the version that was opened.
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
 * @stability stable
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as File from "./internal/file.ts"
import * as Gunzip from "./internal/gunzip.ts"
import { unreadable } from "./internal/unreadable.ts"
import * as WholeBody from "./internal/wholeBody.ts"
import * as Windows1252 from "./internal/windows1252.ts"
import * as UploadError from "./UploadError.ts"

/**
 * Where the bytes of an upload come from.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploadSource<out R = never> {
  /** The file name that is sent to the server. */
  readonly name: string
  /** False where the bytes can be read only once. */
  readonly replayable: boolean
  /** Looks at the source without reading it. */
  readonly open: Effect.Effect<Opened, UploadError.UploadError, R>
}

/**
 * A source that was looked at.
 *
 * @category models
 * @since 0.1.0
 */
export interface Opened {
  /** In bytes, where it is known in advance. */
  readonly size: number | undefined
  /** Differs when the content does; absent where that is unknown. */
  readonly version: string | undefined
  /**
   * Reads from the beginning, or from `offset`, to the end or for `length` bytes. Nothing is opened or read before the stream
   * runs.
   */
  readonly bytes: (range?: Range) => Stream.Stream<Uint8Array, UploadError.UploadError>
}

/**
 * A part of a source, in bytes. `length` reaches to the end by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Range {
  /** The first byte; 0 is the beginning. */
  readonly offset: number
  readonly length?: number | undefined
}

/**
 * A file, read in pieces of 1 MiB, or of 3 MiB where it is larger than 32 MiB.
 *
 * **Details**
 *
 * Device, inode, size and time of modification show a change. They are compared when an attempt opens the file, and again
 * before it hands out its last bytes: a file that changes while it is sent never arrives whole.
 *
 * - `name`: default the last segment of the path.
 *
 * @category constructors
 * @stability rests on effect/FileSystem
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
    open: openFile(path, name)
  }
}

/**
 * A file that is open already, in the pieces of `file`. All attempts read through the one descriptor, at positions of their own.
 *
 * **Details**
 *
 * What was looked at is what is sent, whatever another process puts under the file's path meanwhile. A file that is written into
 * still fails with `SourceChanged`. The caller closes it, after the upload.
 *
 * @category constructors
 * @stability rests on effect/FileSystem
 * @since 0.1.0
 */
export const openedFile = (name: string, file: FileSystem.File): UploadSource => ({
  name,
  replayable: true,
  open: Effect.flatMap(
    Effect.mapError(file.stat, (error) => unreadable(name, error)),
    (info) => inspected(name, info, Effect.succeed(file))
  )
})

/**
 * The version of a file: device, inode, size and time of modification.
 *
 * @category accessors
 * @stability rests on effect/FileSystem
 * @since 0.1.0
 */
export const versionOf: (info: FileSystem.File.Info) => string = File.versionOf

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
      bytes: ({ length, offset } = beginning) => {
        const part = whole.subarray(offset, length === undefined ? undefined : offset + length)
        if (part.length === 0) return nothing
        return part.length <= WholeBody.largest
          ? WholeBody.fromBytes(part)
          : WholeBody.inParts(Effect.succeed([part]), () => Stream.succeed(part))
      }
    })
  }
}

/**
 * A `Blob`: a `File` that a user chose in a browser, or `openAsBlob` of Node.js. Its bytes are never all in memory, unless it is
 * small.
 *
 * **Details**
 *
 * Browsers cannot send streams over HTTP/1.1. There, the body of a request is made of the blob itself, and the browser reads it.
 * Digests are computed before, which reads it once more. It has no version, since nothing about a blob shows that another has the
 * same content.
 *
 * **Gotchas**
 *
 * `gzip`, `gunzip` and sources of streams remain streams. Chromium sends those over HTTP/2 only, other browsers not at all.
 *
 * @category constructors
 * @since 0.1.0
 */
export const blob = (name: string, content: Blob): UploadSource => ({
  name,
  replayable: true,
  open: Effect.succeed({
    size: content.size,
    version: undefined,
    bytes: ({ length, offset } = beginning) => {
      const part = content.slice(offset, length === undefined ? undefined : offset + length)
      if (part.size === 0) return nothing
      return part.size <= WholeBody.largest
        ? WholeBody.make((before, after) =>
          Effect.map(
            Effect.tryPromise({ try: () => part.arrayBuffer(), catch: (error) => unreadable(name, error) }),
            (bytes) => WholeBody.joined([new Uint8Array(bytes)], before, after)
          )
        )
        : WholeBody.inParts(
          Effect.succeed([part]),
          () =>
            Stream.fromReadableStream<Uint8Array, UploadError.UploadError>({
              evaluate: () => part.stream(),
              onError: (error) => unreadable(name, error)
            })
        )
    }
  })
})

/**
 * A stream that yields the same bytes whenever it is run.
 *
 * - `size`: the number of bytes, if known. A stream that yields another number fails with `SourceChanged`.
 * - `stream`: the bytes. It is run once for each attempt.
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
 * retried: the upload fails with `NotReplayable`.
 *
 * - `size`: the number of bytes, if known. A stream that yields another number fails with `SourceChanged`.
 * - `stream`: the bytes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const oneShot = <E, R>(name: string, options: {
  readonly size?: number | undefined
  readonly stream: Stream.Stream<Uint8Array, E, R>
}): UploadSource<R> => fromStream(name, false, options)

/**
 * Compresses a source while it is read, and adds `.gz` to its name. Its size is then unknown, so the body is sent chunked.
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
    bytes: (range) =>
      slice(
        through(opened.bytes(), () => new CompressionStream("gzip"), (error) => unreadable(self.name, error)),
        range
      )
  }))
})

/**
 * Decompresses a source while it is read, and removes `.gz` from its name. Where the runtime has `node:zlib`, it reads all
 * members of a gzip file. A browser reads the first only, and fails where another follows.
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
      bytes: (range) =>
        slice(
          through(Gunzip.rechunk(opened.bytes()), Gunzip.transform, (error) => Gunzip.damaged(self.name, error)),
          range
        )
    }))
  }
}

/**
 * Reads text in Windows-1252, which spreadsheets save on Windows, and hands it out as UTF-8. Its size is then unknown, so the body
 * is sent chunked. Text that is UTF-8 already, and is not only ASCII, fails instead of being garbled, and so do bytes that
 * Windows-1252 does not define.
 *
 * @category combinators
 * @since 0.1.0
 */
export const fromWindows1252 = <R>(self: UploadSource<R>): UploadSource<R> => ({
  name: self.name,
  replayable: self.replayable,
  open: Effect.map(self.open, ({ bytes, version }) => ({
    size: undefined,
    version: version === undefined ? undefined : `${version} as UTF-8`,
    bytes: (range) => slice(Windows1252.toUtf8(bytes(), self.name), range)
  }))
})

const beginning: Range = { offset: 0 }

const nothing = /* @__PURE__ */ WholeBody.inParts(/* @__PURE__ */ Effect.succeed([]), () => Stream.empty)

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
      return { size, version: undefined, bytes: (range) => slice(checked, range) }
    })
  }
}

const failing = (source: string, reason: UploadError.Reason): Stream.Stream<never, UploadError.UploadError> =>
  Stream.fail(new UploadError.UploadError({ source, reason }))

const changed = (name: string, description: string): Effect.Effect<never, UploadError.UploadError> =>
  Effect.fail(
    new UploadError.UploadError({ source: name, reason: new UploadError.SourceChanged({ description }) })
  )

// Looks for more before it hands out the last chunk, so that a stream of another length never arrives whole.
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
  self: Stream.Stream<Uint8Array, UploadError.UploadError>,
  transform: () => ReadableWritablePair<Uint8Array, Uint8Array<ArrayBuffer>>,
  onError: (error: unknown) => UploadError.UploadError
): Stream.Stream<Uint8Array, UploadError.UploadError> =>
  Stream.fromReadableStream({
    // No source shares its memory with another thread.
    evaluate: () => (Stream.toReadableStream(self) as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(transform()),
    onError
  })

const openFile = Effect.fnUntraced(
  function*(path: string, name: string): Effect.fn.Return<Opened, UploadError.UploadError, FileSystem.FileSystem> {
    const fs = yield* FileSystem.FileSystem
    const info = yield* Effect.mapError(fs.stat(path), (error) => unreadable(name, error))
    return yield* inspected(name, info, fs.open(path))
  }
)

const inspected = (
  name: string,
  info: FileSystem.File.Info,
  open: Effect.Effect<FileSystem.File, PlatformError.PlatformError, Scope.Scope>
): Effect.Effect<Opened, UploadError.UploadError> => {
  if (info.type !== "File") {
    return fail(
      name,
      new UploadError.SourceUnreadable(
        info.type === "Directory"
          ? { problem: "directory", description: "it is a directory" }
          : { problem: "notAFile", description: "it is not a regular file" }
      )
    )
  }
  const size = Number(info.size)
  return Effect.succeed({
    size,
    version: versionOf(info),
    bytes: ({ length = size, offset } = beginning) =>
      File.read({ open, name, info, begin: offset, end: Math.min(size, offset + length) })
  })
}
