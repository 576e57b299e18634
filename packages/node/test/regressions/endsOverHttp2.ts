/** Sends bodies over HTTP/2 that fail or are interrupted at once, and prints what came of each. */
import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import * as Connections from "@effect-resilience/node/Connections"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Stream from "effect/Stream"
import * as Http2 from "node:http2"
import { certificate, key } from "../loopbackCertificate.ts"

const server = Http2.createSecureServer({ cert: certificate, key }, (request, response) => {
  request.on("end", () => response.end("ok"))
  request.resume()
})

const piece = Stream.make(new Uint8Array(10))
const fails = Stream.fail("cannot be read")

const program = Effect.gen(function*() {
  const { port } = yield* LocalServer.listen(server)
  const send = (stream: Stream.Stream<Uint8Array, unknown>) =>
    Effect.gen(function*() {
      const client = yield* HttpClient.HttpClient
      const request = HttpClientRequest.post(`https://127.0.0.1:${port}/`)
      const response = yield* client.execute(HttpClientRequest.setBody(request, HttpBody.stream(stream)))
      return yield* response.text
    }).pipe(Effect.exit, Effect.map(({ _tag }) => _tag))
  const connections = Connections.layer({ ca: [certificate], http2: true })
  const alone = (stream: Stream.Stream<Uint8Array, unknown>) => Effect.provide(send(stream), connections)
  const results = [yield* alone(fails), yield* alone(Stream.concat(piece, fails)), yield* alone(piece)]
  return yield* Effect.gen(function*() {
    for (let turns = 0; turns < 40; turns++) {
      const call = yield* Effect.forkChild(send(Stream.concat(piece, Stream.never)))
      for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
      yield* Fiber.interrupt(call)
    }
    return [...results, yield* send(fails), yield* send(piece)]
  }).pipe(Effect.provide(connections))
})

console.log((await Effect.runPromise(Effect.scoped(program))).join(" "))
