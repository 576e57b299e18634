/**
 * Effect's `FileSystem`, quicker on small files of a local disk.
 *
 * **Why**
 *
 * Node hands each file operation to a thread and waits for the result. If the disk has the data in memory, the way there and back
 * costs ten times the operation and more. Sending a small file takes five operations, and finding out which of a hundred
 * thousand files have changed takes a hundred thousand.
 *
 * **Details**
 *
 * `stat`, opening for reading, `stat` of an open file, reads and files of up to 64 KiB, and closing happen in the calling
 * thread. The file system below does everything else: larger reads, writes, directories, anything but regular files, and every
 * operation that fails, so that errors are the same. With `noFollow`, a file for reading is opened without waiting: Node's file
 * system would wait for a writer where the path is a pipe.
 *
 * A slow disk does not block the process for long. When one operation, or about ten together, took 20 ms, all operations go
 * through threads for a second. Then they are tried in the calling thread again.
 *
 * **Gotchas**
 *
 * If the server of a network share hangs, the first operation on it blocks the whole process. Keep `NodeFileSystem.layer` for
 * files on a network share.
 *
 * **Example** (A layer in place of another)
 *
 * ```ts import.meta.vitest
 * import * as LocalFileSystem from "@effect-resilience/node/LocalFileSystem"
 * import { Effect, FileSystem } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const fs = yield* FileSystem.FileSystem
 *   const path = yield* fs.makeTempFileScoped({ suffix: ".csv" })
 *   yield* fs.writeFileString(path, "a;b\n")
 *   return Number((yield* fs.stat(path)).size)
 * })
 *
 * await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(LocalFileSystem.layer))) // => 4
 * ```
 *
 * @stability rests on effect/FileSystem
 * @since 0.1.0
 */
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as ByteSize from "effect/ByteSize"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PlatformError from "effect/PlatformError"
import * as fs from "node:fs"

/**
 * Makes it over another file system of the same machine. The current `Clock` measures which operations were slow.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<FileSystem.FileSystem, never, FileSystem.FileSystem> = Effect.gen(function*() {
  const base = yield* FileSystem.FileSystem
  const disk = new Disk(yield* Clock.Clock)

  // `stat` comes first, since opening a pipe is visible at its other end.
  const open = (path: string): LocalFile | undefined =>
    fs.statSync(path).isFile()
      ? new LocalFile(disk, fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK))
      : undefined

  const readSmall = (path: string): Uint8Array | undefined => {
    const stats = fs.statSync(path)
    return stats.isFile() && stats.size <= smallBytes ? fs.readFileSync(path) : undefined
  }

  // Not even a pipe that takes the place of a file makes it wait.
  const openNoFollow = (path: string) => {
    const flags = fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOFOLLOW
    const usually = () => byThread<number>("open", (done) => fs.open(path, flags, done))
    const open = Effect.map(
      disk.atOnce(() => fs.openSync(path, flags), usually),
      (descriptor) => new LocalFile(disk, descriptor)
    )
    return Effect.catch(Effect.acquireRelease(open, ({ close }) => close), () => base.open(path, { noFollow: true }))
  }

  return FileSystem.make({
    ...base,
    readFile: (path) =>
      Effect.flatMap(
        disk.atOnce(() => readSmall(path), () => Effect.undefined),
        (bytes) => bytes === undefined ? base.readFile(path) : Effect.succeed(bytes)
      ),
    stat: (path) => disk.atOnce(() => infoOf(fs.statSync(path, { bigint: true })), () => base.stat(path)),
    open: (path, options) => {
      if ((options?.flag ?? "r") !== "r") return base.open(path, options)
      if (options?.noFollow === true) return hasNoFollow ? openNoFollow(path) : base.open(path, options)
      return Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(disk.atOnce(() => open(path), () => Effect.undefined), (file) =>
          file === undefined
            ? restore(base.open(path, options))
            : Effect.as(Effect.addFinalizer(() => file.close), file))
      )
    }
  })
})

/**
 * Provides it over Node's file system.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<FileSystem.FileSystem> = /* @__PURE__ */ Layer.effect(FileSystem.FileSystem, make).pipe(
  Layer.provide(NodeFileSystem.layer)
)

// Windows has none.
const hasNoFollow = "O_NOFOLLOW" in fs.constants

// Shorter ones may only have lost their processor meanwhile.
const slowMillis = 20
const patienceMillis = 1_000
const memory = 0.9
const smallBytes = 65_536

// hack: local-files
class Disk {
  private readonly clock: Clock.Clock
  private spent = 0
  private slowUntil = -Infinity

  constructor(clock: Clock.Clock) {
    this.clock = clock
  }

  /** Runs the operation in this thread; if it fails, or the disk has been slow, does what is usual. */
  atOnce<A, B, E, R>(operation: () => A, usually: () => Effect.Effect<B, E, R>): Effect.Effect<A | B, E, R> {
    return Effect.suspend((): Effect.Effect<A | B, E, R> => {
      const begun = this.now()
      if (begun < this.slowUntil) return usually()
      try {
        return Effect.succeed(operation())
      } catch {
        return usually()
      } finally {
        const ended = this.now()
        this.spent = this.spent * memory + ended - begun
        if (this.spent > slowMillis) {
          this.spent = 0
          this.slowUntil = ended + patienceMillis
        }
      }
    })
  }

  private now(): number {
    return monotonicMillis(this.clock)
  }
}

/** A regular file, open for reading. */
class LocalFile implements FileSystem.File {
  readonly [FileSystem.FileTypeId]: typeof FileSystem.FileTypeId = FileSystem.FileTypeId
  private readonly disk: Disk
  private readonly descriptor: number
  private position = 0n

  constructor(disk: Disk, descriptor: number) {
    this.disk = disk
    this.descriptor = descriptor
  }

  get stat(): Effect.Effect<FileSystem.File.Info, PlatformError.PlatformError> {
    const usually = byThread<fs.BigIntStats>("stat", (done) => fs.fstat(this.descriptor, { bigint: true }, done))
    return Effect.map(
      this.disk.atOnce(() => fs.fstatSync(this.descriptor, { bigint: true }), () => usually),
      infoOf
    )
  }

  seek(offset: bigint, from: FileSystem.SeekMode): Effect.Effect<bigint, PlatformError.PlatformError> {
    return Effect.suspend(() => {
      const position = from === "start" ? offset : this.position + offset
      if (position < 0n) return rejected("seek", "Cannot seek before the start of the file")
      this.position = position
      return Effect.succeed(position)
    })
  }

  read(
    buffer: Uint8Array,
    options?: FileSystem.File.ReadOptions
  ): Effect.Effect<number, PlatformError.PlatformError> {
    return Effect.suspend(() => {
      const position = options?.position ?? this.position
      if (position < 0n) return rejected("read", "Cannot read before the start of the file")
      const usually = () =>
        byThread<number>("read", (done) => fs.read(this.descriptor, buffer, 0, buffer.length, position, done))
      const read = buffer.length > smallBytes
        ? usually()
        : this.disk.atOnce(() => fs.readSync(this.descriptor, buffer, 0, buffer.length, position), usually)
      return options?.position !== undefined ? read : Effect.map(read, (bytes) => {
        this.position = position + BigInt(bytes)
        return bytes
      })
    })
  }

  readAlloc(
    size: number,
    options?: FileSystem.File.ReadOptions
  ): Effect.Effect<Option.Option<Uint8Array>, PlatformError.PlatformError> {
    return Effect.suspend(() => {
      if (!Number.isInteger(size) || size < 0) return rejected("readAlloc", "size must be a non-negative integer")
      return Effect.flatMap(
        tried("readAlloc", () => new Uint8Array(size)),
        (buffer) =>
          Effect.map(this.read(buffer, options), (bytes) => {
            if (bytes === 0) return Option.none()
            return Option.some(bytes === size ? buffer : buffer.slice(0, bytes))
          })
      )
    })
  }

  readonly close: Effect.Effect<void> = Effect.sync(() => fs.closeSync(this.descriptor))
  readonly sync: Effect.Effect<void> = Effect.void
  readonly truncate = () => rejected("truncate", forReading)
  readonly write = () => rejected("write", forReading)
  readonly writeAll = () => rejected("writeAll", forReading)
}

const forReading = "The file is open for reading only"

const rejected = (method: string, description: string): Effect.Effect<never, PlatformError.PlatformError> =>
  Effect.fail(PlatformError.badArgument({ module: "FileSystem", method, description }))

// Sizes and positions that make no sense throw.
const tried = <A>(method: string, evaluate: () => A): Exit.Exit<A, PlatformError.PlatformError> => {
  try {
    return Exit.succeed(evaluate())
  } catch (cause) {
    return Exit.fail(PlatformError.badArgument({ module: "FileSystem", method, description: String(cause) }))
  }
}

// A read in a thread cannot be cancelled, and the file must stay open until it ends.
const byThread = <A>(
  method: string,
  start: (done: (error: NodeJS.ErrnoException | null, value: A) => void) => void
): Effect.Effect<A, PlatformError.PlatformError> =>
  Effect.uninterruptible(Effect.callback((resume) => {
    const begun = tried(method, () =>
      start((cause, value) =>
        resume(
          cause === null ? Effect.succeed(value) : Effect.fail(
            PlatformError.systemError({
              _tag: cause.code === "EISDIR" ? "BadResource" : "Unknown",
              module: "FileSystem",
              method,
              syscall: cause.syscall,
              cause
            })
          )
        )
      ))
    if (Exit.isFailure(begun)) resume(Exit.failCause(begun.cause))
  }))

// The same as NodeFileSystem, so that both report the same version of a file.
const infoOf = (stats: fs.BigIntStats): FileSystem.File.Info => ({
  type: typeOf(stats),
  mtime: Option.some(dateOf(stats.mtimeMs)),
  atime: Option.some(dateOf(stats.atimeMs)),
  birthtime: Option.some(dateOf(stats.birthtimeMs)),
  dev: unsigned(stats.dev),
  rdev: Option.some(unsigned(stats.rdev)),
  ino: Option.some(unsigned(stats.ino)),
  mode: Number(stats.mode),
  nlink: Option.some(unsigned(stats.nlink)),
  uid: Option.some(Number(stats.uid)),
  gid: Option.some(Number(stats.gid)),
  size: ByteSize.bytes(stats.size),
  blksize: Option.some(ByteSize.bytes(stats.blksize)),
  blocks: Option.some(stats.blocks)
})

// The same as `stats.mtime`, which Node computes with a property definition: that costs a quarter of the whole `stat`.
const dateOf = (millis: bigint): Date => new Date(Number(millis))

const unsigned = (value: bigint): bigint => BigInt.asUintN(64, value)

const typeOf = (stats: fs.BigIntStats): FileSystem.File.Type => {
  if (stats.isFile()) return "File"
  if (stats.isDirectory()) return "Directory"
  if (stats.isBlockDevice()) return "BlockDevice"
  if (stats.isCharacterDevice()) return "CharacterDevice"
  if (stats.isFIFO()) return "FIFO"
  return stats.isSocket() ? "Socket" : "Unknown"
}
