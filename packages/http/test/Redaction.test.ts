import { SpanRecorder } from "@effect-resilience/chaos"
import { Deadline } from "@effect-resilience/deadline"
import { Pseudonym, Redaction } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Mac, SecureRandom } from "effect/crypto"
import { Headers, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"

const redaction = Redaction.make({ headers: ["X-Shown"], query: ["page"], fields: ["id"] })

describe("Redaction", () => {
  it("shows nothing that is not allowed", () => {
    assert.deepStrictEqual(
      Redaction.headers(redaction, {
        "content-type": "text/csv",
        "X-Shown": "yes",
        "acme-token": "t",
        authorization: "Bearer t",
        absent: undefined
      }),
      { "content-type": "text/csv", "X-Shown": "yes", "acme-token": "<redacted>", authorization: "<redacted>" }
    )
  })

  it("takes names literally and whole", () => {
    const dots = Redaction.make({ query: ["a.b"] })
    assert.strictEqual(
      Redaction.url(dots, "https://a.example/?a.b=1&axb=2&a.bc=3&A.B=4"),
      "https://a.example/?a.b=1&axb=REDACTED&a.bc=REDACTED&A.B=REDACTED"
    )
  })

  it("hides parameters with encoded names, user info, fragments, and what is no URL", () => {
    assert.strictEqual(
      Redaction.url(redaction, "https://u:p@a.example:8443/x%20y?p%61ge=2&%74oken=t#frag"),
      "https://a.example:8443/x%20y?p%61ge=2&%74oken=REDACTED"
    )
    assert.strictEqual(Redaction.url(redaction, "/relative?token=t"), "<redacted>")
  })

  it("keeps the shape and the types of JSON", () => {
    assert.deepStrictEqual(
      Redaction.json(redaction, { id: { a: "shown" }, on: true, list: ["x", 1, null], n: { id: 2 } }),
      {
        id: { a: "shown" },
        on: false,
        list: ["<redacted>", 0, null],
        n: { id: 2 }
      }
    )
    assert.strictEqual(Redaction.json(redaction, "text"), "<redacted>")
  })

  it.effect("closes Effect's own printing and spans to custom token headers", () =>
    Effect.gen(function*() {
      const { record, spans } = SpanRecorder.make()
      const client = HttpClient.make((request) => Effect.succeed(HttpClientResponse.fromWeb(request, new Response())))
      const request = HttpClientRequest.get("https://a.example/?token=t0ken", {
        headers: { "acme-token": "t0ken", "x-shown": "yes" }
      })
      const printed = yield* Effect.gen(function*() {
        yield* client.execute(request)
        const names = yield* Headers.CurrentRedactedNames
        return JSON.stringify(Headers.redact(request.headers, names)) + JSON.stringify(request.headers)
      }).pipe(Effect.provide(Redaction.layer(redaction)), record)
      const traced = JSON.stringify(spans.map((span) => [...span.attributes]))
      assert.notInclude(printed + traced, "t0ken")
      assert.include(traced, `["http.request.header.x-shown","yes"]`)
      assert.notInclude(traced, "acme-token")
    }))
})

describe("Pseudonym", () => {
  const Crypto = Layer.provide(Mac.layerWebCrypto, SecureRandom.layerWebCrypto)
  const under = (key: string) => Layer.provide(Pseudonym.layer(Redacted.make(key)), Crypto)
  const of = (text: string, key = "0123456789abcdef") => Effect.provide(Pseudonym.of(text), under(key))

  it.effect("is the same for the same text and key, and only then", () =>
    Effect.gen(function*() {
      const jo = yield* of("jo@example.com")
      assert.match(jo, /^pii_[0-9a-f]{16}$/)
      assert.strictEqual(yield* of("jo@example.com"), jo)
      assert.notStrictEqual(yield* of("Jo@example.com"), jo)
      assert.notStrictEqual(yield* of("jo@example.com", "fedcba9876543210"), jo)
    }))

  it("rejects a key that can be guessed", () => {
    assert.throws(() => Pseudonym.layer(Redacted.make("short")), RangeError)
  })

  it.effect("distinguishes nothing without a key", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.provide(Pseudonym.of("jo"), Pseudonym.layerConstant), "pii_")
    }))

  it("hides the content of an address without a host", () => {
    for (const address of ["javascript:alert(s3cr3t)", "data:text/plain,s3cr3t", "mailto:s3cr3t@a.example"]) {
      assert.notInclude(Redaction.url(Redaction.make(), address), "s3cr3t")
    }
  })

  it.effect("is the innermost one, however many are around it", () =>
    Effect.gen(function*() {
      const current = Effect.map(Redaction.Current, ({ query }) => [...query])
      let nested = Redaction.provide(redaction)(current)
      for (let i = 0; i < 10_000; i++) nested = Redaction.provide(Redaction.make({ query: [`other${i}`] }))(nested)
      // A deadline begins what is inside it without a fiber.
      assert.deepStrictEqual(yield* Deadline.withDeadline(nested, "1 second"), ["page"])
      assert.deepStrictEqual(yield* nested, ["page"])
    }))

  it("takes JSON of any depth", () => {
    const deep: unknown = JSON.parse(`${"[".repeat(200_000)}"s3cr3t"${"]".repeat(200_000)}`)
    assert.notInclude(JSON.stringify(Redaction.json(Redaction.make(), deep)), "s3cr3t")
  })
})
