import * as BufferReuse from "@effect-resilience/http/BufferReuse"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as UploadError from "../UploadError.ts"
import { largestPiece } from "./rechunk.ts"
import { unreadable, whenFree } from "./unreadable.ts"
import * as WholeBody from "./wholeBody.ts"

/** The bytes of a file. Where it is no longer the one that was opened, the stream fails before its last bytes. */
export const read = (options: {
  readonly open: Effect.Effect<FileSystem.File, PlatformError.PlatformError, Scope.Scope>
  readonly name: string
  readonly info: FileSystem.File.Info
  readonly begin: number
  readonly end: number
}): Stream.Stream<Uint8Array, UploadError.UploadError> => {
  const { begin, end, info, name, open } = options

  const changed = (description: string): Effect.Effect<never, UploadError.UploadError> =>
    Effect.fail(new UploadError.UploadError({ source: name, reason: new UploadError.SourceChanged({ description }) }))
  const unchanged = (handle: FileSystem.File) =>
    Effect.flatMap(handle.stat, (now) => {
      const description = difference(info, now)
      return description === undefined ? Effect.void : changed(description)
    })
  const next = (reader: Reader): Effect.Effect<Uint8Array, UploadError.UploadError | PlatformError.PlatformError> =>
    Effect.flatMap(reader.next, (piece) => {
      if (piece.length === 0) return changed(`it ends after ${reader.position()} of ${info.size} bytes`)
      return reader.position() < end ? Effect.succeed(piece) : Effect.as(unchanged(reader.handle), piece)
    })
  const lift = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.mapError(self, (error) => unreadable(name, error))

  if (begin < end && end - begin <= WholeBody.largest) {
    return WholeBody.make((before, after) =>
      lift(Effect.scoped(Effect.flatMap(whenFree(open), (handle) => {
        const bytes = new Uint8Array(before + end - begin + after)
        const own = bytes.subarray(before, bytes.length - after)
        return Effect.as(next(readerOf({ handle, begin, end, buffer: () => own })), bytes)
      })))
    )
  }
  const pull = lift(Effect.gen(function*() {
    const handle = yield* whenFree(open)
    yield* unchanged(handle)
    const buffer = takingTurns(pieceOf(end - begin), yield* BufferReuse.Current)
    const reader = readerOf({ handle, begin, end, buffer })
    const piece = lift(Effect.map(next(reader), (piece) => [piece] as const))
    return Effect.suspend((): Pull.Pull<readonly [Uint8Array], UploadError.UploadError> =>
      reader.position() < end ? piece : Cause.done()
    )
  }))
  return Stream.unwrap(Effect.map(pull, (pull) => Stream.fromPull(Effect.succeed(pull))))
}

/** Identifies a file's content as far as that is possible without reading it. */
export const versionOf = (info: FileSystem.File.Info): string =>
  `${info.dev}:${inodeOf(info)}:${info.size}:${modifiedOf(info)}`

const difference = (then: FileSystem.File.Info, now: FileSystem.File.Info): string | undefined => {
  if (then.size !== now.size) return `its size went from ${then.size} to ${now.size} bytes`
  const same = then.dev === now.dev && inodeOf(then) === inodeOf(now) && modifiedOf(then) === modifiedOf(now)
  return same ? undefined : "it was written or replaced"
}

const inodeOf = ({ ino }: FileSystem.File.Info): bigint => Option.getOrElse(ino, () => 0n)

const modifiedOf = ({ mtime }: FileSystem.File.Info): number => Option.match(mtime, { onNone: () => 0, onSome: Number })

const nothing: Uint8Array = new Uint8Array(0)

/** `next` returns no bytes where the file ends too early. */
interface Reader {
  readonly handle: FileSystem.File
  readonly next: Effect.Effect<Uint8Array, PlatformError.PlatformError>
  readonly position: () => number
}

// Short reads are continued: otherwise many small pieces would be in transit at once. What a piece needs is made once for all
// of them: a large file has thousands, and their garbage occupies memory until it is collected.
const readerOf = ({ begin, buffer, end, handle }: {
  readonly handle: FileSystem.File
  readonly begin: number
  readonly end: number
  readonly buffer: (left: number) => Uint8Array
}): Reader => {
  let position = begin
  let piece = nothing
  let filled = 0

  const read = Effect.suspend(() =>
    handle.read(filled === 0 ? piece : piece.subarray(filled), { position: BigInt(position) })
  )
  const fill: Effect.Effect<Uint8Array, PlatformError.PlatformError> = Effect.flatMap(read, (bytes) => {
    position += bytes
    filled += bytes
    if (filled === piece.length) return Effect.succeed(piece)
    return bytes === 0 ? Effect.succeed(nothing) : fill
  })
  const next = Effect.suspend(() => {
    const left = end - position
    const whole = buffer(left)
    piece = left < whole.length ? whole.subarray(0, left) : whole
    filled = 0
    return fill
  })
  return { handle, next, position: () => position }
}

// hack: buffer-reuse. Where the lifetime of a chunk is known, a few buffers take turns.
const takingTurns = (size: number, lifetime: number): (left: number) => Uint8Array => {
  const buffers: Array<Uint8Array> = []
  let turn = 0
  return (left) => {
    const length = Math.min(size, left)
    if (lifetime === Infinity) return new Uint8Array(length)
    const buffer = buffers[turn] ??= new Uint8Array(length)
    turn = turn === lifetime ? 0 : turn + 1
    return buffer
  }
}

// Few pieces of a large file leave little garbage. Many of its parts are read at once, each into buffers of its own.
const pieceOf = (length: number): number => length > largeBytes ? largestPiece : smallPiece

const largeBytes = 33_554_432
const smallPiece = 1_048_576
