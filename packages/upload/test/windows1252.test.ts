import { Preflight, UploadSource } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"

const read = (source: UploadSource.UploadSource, range?: UploadSource.Range) =>
  Effect.flatMap(
    source.open,
    ({ bytes }) => Effect.map(Stream.runCollect(bytes(range)), (chunks) => Buffer.concat(chunks))
  )

const inPieces = (content: Uint8Array, size: number) =>
  UploadSource.stream("a.csv", {
    stream: Stream.fromIterable(
      Array.from({ length: Math.ceil(content.length / size) }, (_, i) => content.subarray(i * size, (i + 1) * size))
    )
  })

const defined = Array.from({ length: 256 }, (_, i) => i).filter((byte) =>
  ![0x81, 0x8d, 0x8f, 0x90, 0x9d].includes(byte)
)

describe("UploadSource.fromWindows1252", () => {
  it.effect("hands out every character as the platform decodes it, however the bytes are cut", () =>
    Effect.gen(function*() {
      const content = Uint8Array.from(defined)
      const text = new TextDecoder("windows-1252").decode(content)
      assert.include(text, "€")
      for (const size of [1, 7, 1_000]) {
        const source = UploadSource.fromWindows1252(inPieces(content, size))
        assert.strictEqual((yield* read(source)).toString("utf8"), text)
        const range = { offset: 200, length: 31 }
        assert.deepStrictEqual(yield* read(source, range), Buffer.from(text).subarray(200, 231))
      }
    }))

  it.effect("is replayable, has no size, and has another version than the source", () =>
    Effect.gen(function*() {
      const plain = {
        ...UploadSource.bytes("a.csv", "a\n1\n"),
        open: Effect.map(UploadSource.bytes("a", "a").open, (opened) => ({ ...opened, version: "v" }))
      }
      const source = UploadSource.fromWindows1252(plain)
      const { size, version } = yield* source.open
      assert.deepStrictEqual([source.name, source.replayable, size], ["a.csv", true, undefined])
      assert.notStrictEqual(version, "v")
      assert.isUndefined((yield* UploadSource.fromWindows1252(UploadSource.bytes("a", "a")).open).version)
    }))

  it.effect("rejects text that is UTF-8 already, instead of garbling it, and accepts ASCII", () =>
    Effect.gen(function*() {
      for (const text of ["Müller\n", "\uFEFFa\n", "x€", "é"]) {
        for (const size of [1, 2, 100]) {
          const error = yield* Effect.flip(read(UploadSource.fromWindows1252(inPieces(Buffer.from(text), size))))
          assert.strictEqual(error.message, "a.csv cannot be read: it is UTF-8, not Windows-1252.", text)
        }
      }
      const ascii = UploadSource.bytes("a.csv", "a,b\n1,2\n")
      assert.strictEqual((yield* read(UploadSource.fromWindows1252(ascii))).toString(), "a,b\n1,2\n")
      assert.strictEqual((yield* Preflight.csv(UploadSource.fromWindows1252(ascii))).rows, 1)
    }))

  it.effect("rejects bytes that are no characters", () =>
    Effect.gen(function*() {
      for (const byte of [0x81, 0x8d, 0x8f, 0x90, 0x9d]) {
        const source = UploadSource.bytes("a.csv", Uint8Array.of(0x61, 0xe4, byte))
        const error = yield* Effect.flip(read(UploadSource.fromWindows1252(source)))
        assert.strictEqual(
          error.message,
          `a.csv cannot be read: it has the byte 0x${byte.toString(16)}, so it is not Windows-1252.`
        )
      }
    }))
})
