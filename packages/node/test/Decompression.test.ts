import { Recovery } from "@effect-resilience/errors"
import { ErrorMapping, ResponseBody, SendProgress } from "@effect-resilience/http"
import * as Decompression from "@effect-resilience/node/Decompression"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { HttpClient, type HttpClientRequest, HttpClientResponse } from "effect/http"
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib"

const responding = (
  body: Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
  status = 200,
  piece = body.length
) => {
  const requests: Array<HttpClientRequest.HttpClientRequest> = []
  let pieces = 0
  const client = HttpClient.make((request) =>
    Effect.sync(() => {
      requests.push(request)
      let offset = 0
      const stream = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          if (offset >= body.length) return controller.close()
          pieces++
          controller.enqueue(body.slice(offset, offset + piece))
          offset += piece
        }
      }, { highWaterMark: 0 })
      return HttpClientResponse.fromWeb(request, new Response(stream, { headers, status }))
    })
  )
  return { client, requests, pieces: () => pieces }
}

/** A gibibyte of zeros in a mebibyte: 64 members of 16 KiB. */
const bomb = () => {
  const member = gzipSync(new Uint8Array(16 * 1_048_576))
  return { body: packed(Buffer.concat(Array.from({ length: 64 }, () => member))), piece: member.length }
}

const packed = (buffer: Buffer): Uint8Array<ArrayBuffer> => new Uint8Array(buffer)
const gzip = { "content-encoding": "gzip" }

describe("Decompression", () => {
  it("says how far a request came where the transport does, and as surely", () => {
    const { client } = responding(packed(gzipSync("a")), gzip)
    assert.isFalse(SendProgress.isReporting(Decompression.decompress(client)))
    const aborts = () => true
    const reporting = Decompression.decompress(SendProgress.reporting(client, { aborts }))
    assert.strictEqual(SendProgress.promisesOf(reporting)?.aborts, aborts)
  })

  it.effect("unpacks gzip and deflate, in pieces of any size", () =>
    Effect.gen(function*() {
      const text = "Konto;Betrag\r\n".repeat(500)
      const bodies = [
        [packed(gzipSync(text)), "gzip"],
        [packed(gzipSync(text)), "x-gzip"],
        [packed(deflateSync(text)), "Deflate"],
        [packed(deflateRawSync(text)), "deflate"],
        [packed(Buffer.concat([gzipSync(text.slice(0, 100)), gzipSync(text.slice(100))])), "gzip"],
        [packed(gzipSync(brotliCompressSync(text))), "br, gzip"],
        [packed(gzipSync(text)), "identity, gzip"],
        [packed(brotliCompressSync(text)), "br"]
      ] as const
      for (const [body, coding] of bodies) {
        for (const piece of [1, 7, body.length]) {
          const { client } = responding(
            body,
            { "content-encoding": coding, "x-request-id": "r", "content-length": "9" },
            200,
            piece
          )
          const response = yield* Decompression.decompress(client).get("https://a.example/")
          assert.strictEqual(yield* response.text, text)
          assert.strictEqual(response.status, 200)
          assert.strictEqual(response.headers["x-request-id"], "r")
          assert.notProperty(response.headers, "content-encoding")
          assert.notProperty(response.headers, "content-length")
        }
      }
    }))

  it.effect("finds an empty body empty, whatever coding it names", () =>
    Effect.gen(function*() {
      for (const coding of ["gzip", "deflate", "br", "gzip, br"]) {
        const { client } = responding(new Uint8Array(0), { "content-encoding": coding })
        assert.strictEqual(yield* (yield* Decompression.decompress(client).head("https://a.example/")).text, "")
      }
    }))

  it.effect("fails on a body that ends in the middle", () =>
    Effect.gen(function*() {
      for (const pack of [gzipSync, deflateSync, deflateRawSync, brotliCompressSync]) {
        const whole = packed(pack("Konto;Betrag\r\n".repeat(500)))
        const coding = pack === gzipSync ? "gzip" : pack === brotliCompressSync ? "br" : "deflate"
        const { client } = responding(whole.slice(0, whole.length - 5), { "content-encoding": coding })
        const response = yield* Decompression.decompress(client).get("https://a.example/")
        assert.strictEqual((yield* Effect.flip(response.text)).reason._tag, "DecodeError", coding)
      }
    }))

  it.effect("leaves alone what it does not know", () =>
    Effect.gen(function*() {
      const plain = new TextEncoder().encode("<html>")
      for (
        const headers of [{}, { "content-encoding": "identity" }, { "content-encoding": "compress" }, {
          "content-encoding": "gzip, compress"
        }, { "content-encoding": "gzip, gzip, gzip, gzip" }]
      ) {
        const response = yield* Decompression.decompress(responding(plain, headers).client).get("https://a.example/")
        assert.strictEqual(yield* response.text, "<html>")
      }
    }))

  it.effect("asks for what it can unpack, unless the request says otherwise", () =>
    Effect.gen(function*() {
      const { client, requests } = responding(new Uint8Array(0), {})
      yield* Decompression.decompress(client).get("https://a.example/")
      yield* Decompression.decompress(client).get("https://a.example/", { headers: { "accept-encoding": "identity" } })
      assert.deepStrictEqual(requests.map((request) => request.headers["accept-encoding"]), [
        "gzip, deflate, br",
        "identity"
      ])
    }))

  it.effect("stops unpacking a bomb at the bound", () =>
    Effect.gen(function*() {
      const { body, piece } = bomb()
      const { client, pieces } = responding(body, gzip, 200, piece)
      const bounded = Decompression.decompress(client, { maxBytes: 100_000 })
      const response = yield* bounded.get("https://a.example/")
      const error = yield* Effect.flip(Stream.runDrain(response.stream))
      assert.strictEqual(error.reason._tag, "DecodeError")
      assert.isBelow(pieces(), 10)
    }))

  it.effect("gives an error's message, and no more than the beginning of a bomb", () =>
    Effect.gen(function*() {
      const failing = (body: Uint8Array<ArrayBuffer>, piece = body.length) => {
        const { client, pieces } = responding(body, gzip, 400, piece)
        const mapped = ErrorMapping.mapErrors(Decompression.decompress(client), {})
        return Effect.map(Effect.flip(mapped.get("https://a.example/")), (error) => [error.message, pieces()] as const)
      }
      const [message] = yield* failing(packed(gzipSync(`{"message":"Table not found"}`)))
      assert.include(message, "Table not found")
      const large = bomb()
      const [_, pieces] = yield* failing(large.body, large.piece)
      assert.isBelow(pieces, 10)
    }))

  it.effect("fails typed if a body does not unpack", () =>
    Effect.gen(function*() {
      const broken = packed(gzipSync(`{"id":1}`)).fill(7, 12)
      const mapped = ErrorMapping.mapErrors(Decompression.decompress(responding(broken, gzip).client), {})
      const error = yield* mapped.get("https://a.example/").pipe(
        Effect.flatMap(ResponseBody.json(Schema.Unknown)),
        Effect.flip
      )
      assert.strictEqual(error.reason._tag, "UndecodableAnswer")
      assert.deepStrictEqual(Recovery.of(error), Recovery.giveUp)
    }))

  it("rejects a bound that is not one", () => {
    assert.throws(() => Decompression.decompress({ maxBytes: 0 })(responding(new Uint8Array(0), {}).client), RangeError)
  })
})
