import { Multipart } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"

const encode = (form: Multipart.Multipart) =>
  Effect.map(Stream.runCollect(form.stream), (chunks) => Buffer.concat(chunks))

// The platform's own parser is the judge.
const decode = (form: Multipart.Multipart) =>
  Effect.flatMap(
    encode(form),
    (body) => Effect.promise(() => new Response(body, { headers: { "content-type": form.contentType } }).formData())
  )

const single = (content: string) => Stream.make(new TextEncoder().encode(content))

describe("Multipart", () => {
  it.effect.prop("is read back by the platform's parser, at exactly the announced length", {
    name: Schema.String,
    fileName: Schema.NonEmptyString,
    value: Schema.String,
    content: Schema.Uint8Array
  }, ({ content, fileName, name, value }) =>
    Effect.gen(function*() {
      const form = Multipart.make([
        Multipart.field(name, value),
        Multipart.file("file", { fileName, size: content.length, stream: Stream.make(content) })
      ])
      assert.strictEqual((yield* encode(form)).length, form.contentLength)
      const parsed = yield* decode(form)
      const normal = (text: string) => Buffer.from(text).toString()
      assert.strictEqual(parsed.get(normal(name)), normal(value))
      const file = parsed.get("file")
      assert.isTrue(file instanceof File)
      if (!(file instanceof File)) return
      assert.deepStrictEqual(new Uint8Array(yield* Effect.promise(() => file.arrayBuffer())), new Uint8Array(content))
    }))

  it.effect("escapes quotes and line breaks in names, and keeps unicode", () =>
    Effect.gen(function*() {
      const form = Multipart.make([
        Multipart.file("f", {
          fileName: "a\"b\r\nX-Evil: 1\nñ表.csv",
          contentType: "text/csv",
          size: 1,
          stream: single("x")
        })
      ], { boundary: "b" })
      assert.strictEqual(
        (yield* encode(form)).toString(),
        "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a%22b%0D%0AX-Evil: 1%0Añ表.csv\"\r\n" +
          "Content-Type: text/csv\r\n\r\nx\r\n--b--\r\n"
      )
    }))

  it("does not know its length where a part does not", () => {
    const form = Multipart.make([
      Multipart.field("a", "b"),
      Multipart.file("f", { fileName: "f", stream: single("x") })
    ])
    assert.isUndefined(form.contentLength)
    assert.isUndefined(Multipart.toBody(form).contentLength)
  })

  it.effect("encodes an empty form and an empty file", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* encode(Multipart.make([], { boundary: "b" }))).toString(), "--b--\r\n")
      const form = Multipart.make([Multipart.file("f", { fileName: "f", size: 0, stream: Stream.empty })])
      assert.strictEqual((yield* encode(form)).length, form.contentLength)
    }))

  it("draws another boundary each time, and quotes one that needs it", () => {
    const boundaries = new Set(Array.from({ length: 1_000 }, () => Multipart.make([]).contentType))
    assert.strictEqual(boundaries.size, 1_000)
    assert.strictEqual(Multipart.make([], { boundary: "a:b" }).contentType, `multipart/form-data; boundary="a:b"`)
  })

  it("rejects what would break out of the headers", () => {
    for (const boundary of ["", "a\r\nb", "a ", "x".repeat(71), "ä"]) {
      assert.throws(() => Multipart.make([], { boundary }), /^Multipart\.boundary must be one by RFC 2046, not "/)
    }
    const contentType = "text/csv\r\nX-Evil: 1"
    assert.throws(
      () => Multipart.file("f", { fileName: "f", contentType, stream: Stream.empty }),
      "Multipart.contentType must be a content type, not \"text/csv\\r\\nX-Evil: 1\""
    )
  })
})
