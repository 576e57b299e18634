import { BufferReuse } from "@effect-resilience/http"
import { UploadError, UploadSource } from "@effect-resilience/upload"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, FileSystem, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import { gunzipSync } from "node:zlib"

const text = (chunks: ReadonlyArray<Uint8Array>): string => Buffer.concat(chunks).toString()

const read = (source: UploadSource.UploadSource, range?: UploadSource.Range) =>
  Effect.gen(function*() {
    const opened = yield* source.open
    return Buffer.concat(yield* Stream.runCollect(opened.bytes(range)))
  })

const problemOf = ({ reason }: UploadError.UploadError): string =>
  reason instanceof UploadError.SourceUnreadable ? reason.problem : reason._tag

const pieces = (...parts: ReadonlyArray<string>) => Stream.fromIterable(parts.map((part) => Buffer.from(part)))

layer(NodeFileSystem.layer)("UploadSource.file", (it) => {
  it.effect("returns size and version, and reads the same bytes again and again", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* fs.makeTempFileScoped()
      const content = Buffer.alloc(7_500_000, "0123456789")
      yield* fs.writeFile(path, content)
      const opened = yield* UploadSource.file(path).open
      assert.strictEqual(opened.size, content.length)
      const chunks = yield* Stream.runCollect(opened.bytes())
      assert.deepStrictEqual(chunks.map((chunk) => chunk.length), [...Array<number>(7).fill(1_048_576), 159_968])
      assert.isTrue(Buffer.concat(chunks).equals(content))
      assert.isTrue(Buffer.concat(yield* Stream.runCollect(opened.bytes())).equals(content))
      assert.strictEqual(text(yield* Stream.runCollect(opened.bytes({ offset: 1_999_995, length: 10 }))), "5678901234")
      assert.strictEqual(text(yield* Stream.runCollect(opened.bytes({ offset: content.length }))), "")
      assert.strictEqual((yield* UploadSource.file(path).open).version, opened.version)
    }))

  it.effect("reads into a few buffers that take turns where the transport allows it, short reads included", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* fs.makeTempFileScoped()
      const content = Buffer.alloc(35_000_000, "0123456789")
      yield* fs.writeFile(path, content)
      const stingy = FileSystem.FileSystem.of({
        ...fs,
        open: (path, options) =>
          Effect.map(fs.open(path, options), (file) => ({
            ...file,
            stat: file.stat,
            read: (buffer, options) => file.read(buffer.subarray(0, 400_000), options)
          }))
      })
      const buffers = new Set<ArrayBufferLike>()
      const hash = createHash("md5")
      const sizes: Array<number> = []
      const opened = yield* UploadSource.file(path).open.pipe(Effect.provideService(FileSystem.FileSystem, stingy))
      yield* opened.bytes().pipe(
        Stream.runForEach((chunk) =>
          Effect.sync(() => {
            buffers.add(chunk.buffer)
            hash.update(chunk)
            sizes.push(chunk.length)
          })
        ),
        Effect.provideService(BufferReuse.Current, 2)
      )
      assert.strictEqual(buffers.size, 3)
      assert.strictEqual(hash.digest("hex"), createHash("md5").update(content).digest("hex"))
      assert.deepStrictEqual([...new Set(sizes.slice(0, -1))], [3_145_728])
    }))

  it.effect("names a file by the last segment of its path, or as requested", () =>
    Effect.sync(() => {
      assert.strictEqual(UploadSource.file("/data/2024/gl.csv").name, "gl.csv")
      assert.strictEqual(UploadSource.file("C:\\data\\gl.csv").name, "gl.csv")
      assert.strictEqual(UploadSource.file("gl.csv").name, "gl.csv")
      assert.strictEqual(UploadSource.file("/data/gl.csv", { name: "x.csv" }).name, "x.csv")
    }))

  it.effect("says why it cannot be read", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const problem = (path: string) => Effect.map(Effect.flip(UploadSource.file(path).open), problemOf)
      assert.strictEqual(yield* problem(`${directory}/none.csv`), "missing")
      assert.strictEqual(yield* problem(directory), "directory")
      assert.strictEqual(yield* problem("/dev/null"), "notAFile")
    }))

  it.effect("never hands out the last bytes of a file that changes while it is read", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* fs.makeTempFileScoped()
      const size = 9 * 1_048_576
      for (
        const change of [
          fs.writeFile(path, new Uint8Array(100)),
          fs.writeFile(path, new Uint8Array(size + 1)),
          fs.utimes(path, 1, 1)
        ]
      ) {
        yield* fs.writeFile(path, new Uint8Array(size))
        const opened = yield* UploadSource.file(path).open
        let bytes = 0
        const error = yield* opened.bytes().pipe(
          Stream.runForEach((chunk) => {
            bytes += chunk.length
            return bytes === chunk.length ? change : Effect.void
          }),
          Effect.flip
        )
        assert.strictEqual(error._tag === "UploadError" && error.reason._tag, "SourceChanged")
        assert.isBelow(bytes, size)
      }
    }))
})

describe("UploadSource", () => {
  it.effect.prop("reads any range of any source as slicing does", {
    parts: Schema.Array(Schema.String.check(Schema.isMaxLength(9))),
    offset: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 })),
    length: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 })),
    known: Schema.Boolean
  }, ({ known, length, offset, parts }) =>
    Effect.gen(function*() {
      const stream = pieces(...parts)
      const expected = Buffer.concat(parts.map((part) => Buffer.from(part)))
      const size = known ? expected.length : undefined
      for (const source of [UploadSource.stream("s", { size, stream }), UploadSource.bytes("b", expected)]) {
        const part = yield* read(source, { offset, length })
        assert.deepStrictEqual(part, Buffer.from(expected.subarray(offset, offset + length)))
        assert.deepStrictEqual(yield* read(source, { offset }), Buffer.from(expected.subarray(offset)))
      }
    }))

  for (const [size, actual] of [[3, "four"], [5, "four"], [0, "x"], [1, ""]] as const) {
    it.effect(`never completes a stream of ${actual.length} bytes that announced ${size}`, () =>
      Effect.gen(function*() {
        const opened = yield* UploadSource.stream("s", { size, stream: pieces(...actual) }).open
        let bytes = 0
        const error = yield* opened.bytes().pipe(
          Stream.runForEach((chunk) => Effect.sync(() => bytes += chunk.length)),
          Effect.flip
        )
        assert.strictEqual(error.reason._tag, "SourceChanged")
        assert.isTrue(bytes < size || size === 0)
      }))
  }

  it.effect("reads a stream no further than a part of it needs", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const stream = Stream.fromIterable([0, 1, 2, 3, 4], { chunkSize: 1 }).pipe(
        Stream.map((n) => {
          seen.push(n)
          return new Uint8Array([n])
        })
      )
      const part = yield* read(UploadSource.stream("s", { stream }), { offset: 1, length: 2 })
      assert.deepStrictEqual([...part], [1, 2])
      assert.deepStrictEqual(seen, [0, 1, 2])
    }))

  it.effect("runs a one-shot stream once, however often it is opened", () =>
    Effect.gen(function*() {
      const source = UploadSource.oneShot("stdin", { stream: pieces("a", "b") })
      assert.strictEqual((yield* read(source)).toString(), "ab")
      const error = yield* Effect.flip(read(source))
      assert.strictEqual(error.reason._tag, "NotReplayable")
    }))

  it.effect("passes the failure of a stream on as an unreadable source", () =>
    Effect.gen(function*() {
      const broken = UploadSource.stream("s", {
        stream: Stream.concat(pieces("a"), Stream.fail(new Error("disk died")))
      })
      const error = yield* Effect.flip(read(broken))
      assert.strictEqual(error.message, "s cannot be read: disk died.")
    }))

  for (const nothing of ["", " ", 5, undefined]) {
    it.effect(`says that it knows no reason where a stream fails with ${JSON.stringify(nothing)}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(read(UploadSource.stream("s", { stream: Stream.fail(nothing) })))
        assert.strictEqual(error.message, "s cannot be read: for an unknown reason.")
      }))
  }

  it.effect("compresses on the way, the same each time", () =>
    Effect.gen(function*() {
      const source = UploadSource.gzip(UploadSource.bytes("gl.csv", "a;b\n".repeat(10_000)))
      assert.strictEqual(source.name, "gl.csv.gz")
      const [first, second] = [yield* read(source), yield* read(source)]
      assert.strictEqual(gunzipSync(first).toString(), "a;b\n".repeat(10_000))
      assert.deepStrictEqual(first, second)
      assert.isUndefined((yield* source.open).size)
    }))

  it.effect("keeps the failure of what it compresses", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        read(UploadSource.gzip(UploadSource.stream("s", { stream: Stream.fail("gone") })))
      )
      assert.strictEqual(error.message, "s cannot be read: gone.")
    }))
})

layer(NodeFileSystem.layer)("UploadSource.openedFile", (it) => {
  it.effect("reads what was opened, whatever takes the path's place, and notices what is written into it", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* fs.makeTempFileScoped()
      yield* fs.writeFileString(path, "first")
      const file = yield* fs.open(path)
      const source = UploadSource.openedFile("a.csv", file)
      const { version } = yield* UploadSource.file(path).open
      yield* fs.remove(path)
      yield* fs.writeFileString(path, "second, which is longer")
      assert.strictEqual((yield* source.open).version, version)
      assert.strictEqual(version, UploadSource.versionOf(yield* file.stat))
      assert.strictEqual(String(yield* read(source)), "first")
      assert.strictEqual(String(yield* read(source, { offset: 1, length: 3 })), "irs")

      const still = UploadSource.openedFile("b.csv", yield* fs.open(path))
      const opened = yield* still.open
      yield* fs.writeFileString(path, "third")
      assert.strictEqual(problemOf(yield* Effect.flip(Stream.runDrain(opened.bytes()))), "SourceChanged")
    }))

  it.effect("says where a file ended that is shorter than it was", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* fs.makeTempFileScoped()
      yield* fs.writeFileString(path, "12345")
      const file = yield* fs.open(path)
      const opened = yield* UploadSource.openedFile("a.csv", file).open
      yield* fs.writeFileString(path, "123")
      const error = yield* Effect.flip(Stream.runDrain(opened.bytes()))
      assert.include(error.message, "a.csv changed while it was uploaded: it ends after 3 of 5 bytes.")
    }))

  it.effect("is no file where a directory was opened", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const file = yield* fs.open(yield* fs.makeTempDirectoryScoped())
      assert.strictEqual(problemOf(yield* Effect.flip(UploadSource.openedFile("a", file).open)), "directory")
    }))
})
