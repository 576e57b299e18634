import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import * as Transport from "@effect-resilience/errors/Transport"
import * as Connections from "@effect-resilience/node/Connections"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Stream } from "effect"
import { HttpClient, HttpClientError } from "effect/http"
import * as Http2 from "node:http2"
import { certificate, key } from "./loopbackCertificate.ts"

const options: Connections.Options = { ca: [certificate], http2: true }

/** Begins a response, and sends no more. */
const half = Effect.gen(function*() {
  const server = Http2.createSecureServer({ cert: certificate, key }, (request, response) => {
    request.resume()
    if (request.url !== "/silent") response.write("half")
  })
  const { port } = yield* LocalServer.listen(server)
  return `https://127.0.0.1:${port}`
})

const uncaught = Effect.gen(function*() {
  const errors: Array<unknown> = []
  const add = (error: unknown) => errors.push(error)
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("uncaughtException", add)),
    () => Effect.sync(() => process.off("uncaughtException", add))
  )
  return errors
})

const kindOf = (exit: Exit.Exit<unknown, unknown>) => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  return HttpClientError.isHttpClientError(error) ? Transport.diagnose(error.reason.cause).kind : error
}

describe("Connections that are closed", () => {
  const layers: { readonly [name: string]: Layer.Layer<HttpClient.HttpClient, Connections.InvalidConnection> } = {
    "of its own client": Connections.layer(options),
    "of the platform's client": Layer.provide(
      NodeHttpClient.layerUndiciNoDispatcher,
      Connections.layerDispatcher(options)
    )
  }
  for (const [name, layer] of Object.entries(layers)) {
    for (const count of [1, 2, 3]) {
      it.live(`end the ${count} responses over HTTP/2 that are not read, ${name}`, () =>
        Effect.gen(function*() {
          const url = yield* half
          const errors = yield* uncaught
          yield* Effect.gen(function*() {
            for (let i = 0; i < count; i++) yield* HttpClient.get(url)
          }).pipe(Effect.provide(layer))
          assert.deepStrictEqual(errors, [])
        }).pipe(Effect.scoped))
    }

    it.live(`fail what still runs over HTTP/2, ${name}`, () =>
      Effect.gen(function*() {
        const url = yield* half
        const errors = yield* uncaught
        const running = yield* Effect.gen(function*() {
          const response = yield* HttpClient.get(url)
          const silent = yield* Effect.forkDetach(Effect.asVoid(HttpClient.get(`${url}/silent`)), {
            startImmediately: true
          })
          const read = yield* Effect.forkDetach(Stream.runDrain(response.stream), { startImmediately: true })
          // So that the silent request is on its way.
          yield* HttpClient.get(url)
          return [silent, read]
        }).pipe(Effect.provide(layer))
        const exits = yield* Effect.forEach(running, Fiber.await)
        assert.deepStrictEqual(exits.map(kindOf), ["closed", "closed"])
        assert.deepStrictEqual(errors, [])
      }).pipe(Effect.scoped))
  }
})
