import { RawHttp } from "@effect-resilience/chaos"
import * as RawServer from "@effect-resilience/chaos/RawServer"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { HttpBody, HttpClient } from "effect/http"

describe("a request that is given up while it waits for a connection", () => {
  it.live("leaves the connection to those that wait behind it", () =>
    Effect.gen(function*() {
      const began = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const seen: Array<string> = []
      const server = yield* RawServer.make((connection) => {
        const next = RawHttp.requests(connection)
        const one = Effect.gen(function*() {
          const request = yield* next
          if (request === undefined) return false
          seen.push(request.path)
          yield* Deferred.succeed(began, undefined)
          yield* Deferred.await(goOn)
          yield* connection.send(RawHttp.response({ body: "ok" }))
          return true
        })
        return Effect.asVoid(Effect.repeat(one, { while: (goesOn) => goesOn }))
      })
      const client = yield* HttpClient.HttpClient
      const get = (path: string) => Effect.flatMap(client.get(`${server.url}/${path}`), (response) => response.text)
      const first = yield* Effect.forkChild(get("first"), { startImmediately: true })
      yield* Deferred.await(began)
      for (const body of [HttpBody.empty, HttpBody.text("never sent")]) {
        const waiting = yield* Effect.forkChild(client.post(server.url, { body }), { startImmediately: true })
        yield* Fiber.interrupt(waiting)
      }
      const last = yield* Effect.forkChild(get("last"), { startImmediately: true })
      yield* Deferred.succeed(goOn, undefined)
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(last)], ["ok", "ok"])
      assert.deepStrictEqual(seen, ["/first", "/last"])
      assert.strictEqual(yield* server.accepted, 1)
    }).pipe(Effect.provide(Connections.layer({ connections: 1 })), Effect.scoped))
})
