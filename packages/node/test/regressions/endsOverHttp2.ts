/** Ends requests over HTTP/2 in every state, and prints what came of each. */
import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import * as Connections from "@effect-resilience/node/Connections"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as Stream from "effect/Stream"
import * as Http2 from "node:http2"
import { certificate, key } from "../loopbackCertificate.ts"

const listen = Effect.suspend(() => {
  const server = Http2.createSecureServer({ cert: certificate, key }, (request, response) => {
    request.on("error", () => {})
    if (request.url === "/early") return void response.write("half")
    request.on("end", () => request.url === "/silent" || response.end("ok"))
    request.resume()
  })
  server.on("session", (session) => session.on("error", () => {}))
  return Effect.map(LocalServer.listen(server), ({ url }) => url.replace("http:", "https:"))
})

const piece = Stream.make(new Uint8Array(10))
const fails = Stream.fail("cannot be read")
const pieceAndNoMore = HttpBody.stream(Stream.concat(piece, Stream.never))
const small = HttpBody.uint8Array(new Uint8Array(10))
const large = HttpBody.uint8Array(new Uint8Array(300_000))

const program = Effect.gen(function*() {
  const url = yield* listen
  const other = yield* listen
  const respond = (path: string | URL, body: HttpBody.HttpBody) => HttpClient.post(new URL(path, url), { body })
  const send = (body: HttpBody.HttpBody, path: string | URL = "/") =>
    Effect.flatMap(respond(path, body), ({ text }) => text).pipe(Effect.exit, Effect.map(({ _tag }) => _tag))
  const connections = Connections.layer({ ca: [certificate], http2: true })
  const alone = (stream: Stream.Stream<Uint8Array, unknown>) =>
    Effect.provide(send(HttpBody.stream(stream)), connections)
  const interrupted = (body: HttpBody.HttpBody, turns: number) =>
    Effect.gen(function*() {
      const call = yield* Effect.forkChild(send(body, "/silent"))
      for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
      yield* Fiber.interrupt(call)
    })
  // The caller of a response goes on within nghttp2's callback, and gives it up there.
  const givenUp = (body: HttpBody.HttpBody) =>
    Effect.flatMap(respond("/early", body), ({ stream }) => Stream.runDrain(Stream.take(stream, 1)))

  const results = [yield* alone(fails), yield* alone(Stream.concat(piece, fails)), yield* alone(piece)]
  return yield* Effect.gen(function*() {
    for (const body of [pieceAndNoMore, small, large]) {
      for (let turns = 0; turns < 40; turns++) yield* interrupted(body, turns)
      results.push(yield* send(small))
    }
    for (let calls = 0; calls < 10; calls++) {
      yield* Effect.all([send(HttpBody.stream(fails)), givenUp(small), givenUp(large)], { concurrency: 3 })
    }
    const sendToOther = send(small, new URL(other)).pipe(
      Effect.provideService(HttpClient.HttpClient, yield* HttpClient.HttpClient)
    )
    yield* sendToOther
    // undici begins to read a body while it begins a stream, and this one begins another.
    const withinBegins = HttpBody.stream(Stream.unwrap(Effect.as(
      Effect.forkChild(sendToOther, { startImmediately: true }),
      Stream.forever(Stream.make(new Uint8Array(65_536)))
    )))
    for (let turns = 0; turns < 40; turns++) {
      yield* Effect.all([givenUp(withinBegins), interrupted(withinBegins, turns)], { concurrency: 2 })
    }
    return [...results, yield* send(HttpBody.stream(fails)), yield* send(HttpBody.stream(piece))]
  }).pipe(Effect.provide(connections))
})

console.log((await Effect.runPromise(Effect.scoped(program))).join(" "))
