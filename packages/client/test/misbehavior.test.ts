import { Misbehavior, RawHttp } from "@effect-resilience/chaos"
import * as RawServer from "@effect-resilience/chaos/RawServer"
import { AccessLog } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { inspect } from "node:util"
import { inTurns } from "../../chaos/test/turns.ts"
import { brief, faults } from "./misbehavior/faults.ts"
import {
  assertSound,
  makeClient,
  type Method,
  observed,
  request,
  secrets,
  type Transport
} from "./misbehavior/observe.ts"

const methods: ReadonlyArray<Method> = ["GET", "PUT", "POST"]

// The next request takes the connection of the previous one once that has been given back.
const connectionIsFree = Effect.repeat(
  Effect.callback<void>((resume) => {
    setImmediate(() => resume(Effect.void))
  }),
  { times: 10 }
)

describe("a server that misbehaves, through the one-line client", () => {
  // Most of them wait for a limit of time.
  describe("as the table says", { concurrent: true }, () => {
    for (const fault of faults) {
      const { body, description = brief, first, name, over, serve, transports = ["node", "fetch"] } = fault
      for (const transport of transports) {
        const expected = over?.[transport] ?? fault
        for (const method of methods) {
          it.effect(`a server that ${name}, over ${transport}: ${method}`, () =>
            Effect.gen(function*() {
              const { requests, url } = yield* serve
              const client = yield* makeClient(url, transport, description)
              if (first) yield* Effect.andThen(client.get("/first"), connectionIsFree)
              const seen = yield* observed(client, request(method, "/entries/7", body))
              const attempts = seen.entries.length - 1
              assert.strictEqual(
                `${seen.outcome} x${attempts}`,
                method === "POST" ? expected.post ?? expected.got : expected.got,
                seen.entries.map(AccessLog.format).join("\n")
              )
              assert.strictEqual(requests?.(), requests && (fault.requests ?? attempts))
              assertSound(seen, method, expected.judged)
            }).pipe(Effect.scoped, inTurns))
        }
      }
    }
  })

  it.live("leaves no socket behind, whatever the server does", () =>
    Effect.gen(function*() {
      const sockets = () => process.getActiveResourcesInfo().filter((kind) => /TCPSocketWrap|TLSWrap/.test(kind)).length
      const before = sockets()
      yield* Effect.forEach(
        faults.filter(({ transports = ["node"] }) => transports.includes("node")),
        ({ body, description = brief, serve }) =>
          Effect.scoped(Effect.gen(function*() {
            const { url } = yield* serve
            const client = yield* makeClient(url, "node", description)
            yield* observed(client, request("GET", "/entries/7", body))
          })),
        { concurrency: 8 }
      )
      yield* Effect.repeat(Effect.sync(sockets), {
        until: (open) => open <= before,
        schedule: Schedule.spaced("10 millis"),
        times: 500
      })
      assert.isAtMost(sockets(), before)
    }))

  for (const transport of ["node", "fetch"] satisfies ReadonlyArray<Transport>) {
    it.live(`gives responses that can be logged, over ${transport}`, () =>
      Effect.gen(function*() {
        const headers = { "set-cookie": secrets.response, "content-type": "application/json" }
        const long = JSON.stringify("x".repeat(2_000_000))
        const server = yield* RawServer.make(Misbehavior.inTurn([
          Misbehavior.respond(RawHttp.response({ headers, body: "{}" })),
          Misbehavior.respond(RawHttp.response({ headers, body: long }))
        ]))
        for (let n = 0; n < 2; n++) {
          const client = yield* makeClient(server.url, transport)
          const response = yield* client.execute(request("POST", `/${secrets.token}`, undefined))
          const shown = [inspect(response), JSON.stringify(response), String(response)].join("\n")
          for (const secret of Object.values(secrets)) assert.notInclude(shown, secret)
        }
      }).pipe(Effect.scoped))
  }
})
