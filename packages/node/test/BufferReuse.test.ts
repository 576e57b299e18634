import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { BufferReuse } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { HttpBody, HttpClient } from "effect/http"
import { createHash, type Hash } from "node:crypto"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Https from "node:https"
import type { Server } from "node:net"
import { certificate, key } from "./loopbackCertificate.ts"

const count = 60

const fill = (buffer: Uint8Array, index: number): Uint8Array => {
  buffer.fill(index + 1)
  new DataView(buffer.buffer, buffer.byteOffset).setUint32(0, index * 2_654_435_761 >>> 0)
  return buffer
}

const expected = (size: number) => {
  const hash = createHash("sha256")
  const buffer = new Uint8Array(size)
  for (let i = 0; i < count; i++) hash.update(fill(buffer, i))
  return hash.digest("hex")
}

/** Overwrites a chunk as soon as its transport allows it: at once, or a turn of the event loop later, as a file does. */
const reusing = (size: number, turn: Effect.Effect<void>) =>
  Stream.unwrap(Effect.map(BufferReuse.Current, (reuse) => {
    assert.isBelow(reuse, 10)
    const buffers = Array.from({ length: reuse + 1 }, () => new Uint8Array(size))
    return Stream.fromIterable(Array.from({ length: count }, (_, i) => i)).pipe(
      Stream.rechunk(1),
      Stream.mapEffect((i) => Effect.map(turn, () => fill(buffers[i % buffers.length] ?? new Uint8Array(size), i)))
    )
  }))

/** Reads in bursts, so that the client's buffers are full most of the time. */
const slowly = (
  request: Http.IncomingMessage | Http2.Http2ServerRequest,
  respond: (hash: string) => void,
  hash: Hash = createHash("sha256")
) => {
  let chunks = 0
  request.on("data", (chunk: Buffer) => {
    hash.update(chunk)
    if (++chunks % 40 === 0) {
      request.pause()
      setTimeout(() => request.resume(), 1)
    }
  })
  request.on("end", () => respond(hash.digest("hex")))
}

const servers: { readonly [name: string]: () => Server } = {
  "HTTP/1.1": () => Http.createServer((request, response) => slowly(request, (hash) => response.end(hash))),
  "HTTP/1.1 over TLS": () =>
    Https.createServer(
      { cert: certificate, key },
      (request, response) => slowly(request, (hash) => response.end(hash))
    ),
  "HTTP/2": () =>
    Http2.createSecureServer(
      { cert: certificate, key },
      (request, response) => slowly(request, (hash) => response.end(hash))
    )
}

const turns = [
  ["at once", Effect.void],
  ["later", Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))]
] as const

describe("Connections", () => {
  for (
    const [protocol, create, size, [when, turn]] of Object.entries(servers).flatMap(([protocol, create]) =>
      [BufferReuse.minChunkBytes, 700_001].flatMap((size) =>
        turns.map((turn) => [protocol, create, size, turn] as const)
      )
    )
  ) {
    it.live(
      `is done with each chunk of ${size} bytes that comes ${when} as early as it says, over ${protocol}`,
      () =>
        Effect.gen(function*() {
          const { url } = yield* LocalServer.listen(create())
          const hash = yield* HttpClient.post(url, {
            body: HttpBody.stream(reusing(size, turn), "application/octet-stream", count * size)
          }).pipe(
            Effect.flatMap((response) => response.text),
            Effect.provide(Connections.layer({ ca: [certificate], http2: protocol === "HTTP/2" }))
          )
          assert.strictEqual(hash, expected(size))
        })
    )
  }

  it.effect("never overwrites chunks with any other transport", () =>
    Effect.map(BufferReuse.Current, (reuse) => assert.strictEqual(reuse, Infinity)))
})
