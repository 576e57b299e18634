import { assert, describe, it } from "@effect/vitest"
import { Config, Effect } from "effect"
import * as RelayFault from "../../../src/RelayFault.ts"
import * as TcpRelay from "../../../src/TcpRelay.ts"
import { type Client, connect } from "../../client.ts"

/** The end of a response: ReadyForQuery, idle. */
const ready = "Z\0\0\0\u0005I"

const framed = (type: string, body: string) => {
  const bytes = Buffer.alloc(type.length + 4 + body.length)
  bytes.write(type, "latin1")
  bytes.writeUInt32BE(4 + body.length, type.length)
  bytes.write(body, type.length + 4, "latin1")
  return bytes
}

/** A connection of the user postgres, after its handshake. */
const session = (port: number) =>
  Effect.gen(function*() {
    const client = yield* connect(port)
    yield* client.send(framed("", "\0\u0003\0\0user\0postgres\0database\0postgres\0\0"))
    yield* client.until(ready)
    return client
  })

const query = (client: Client, sql: string) =>
  Effect.gen(function*() {
    client.received = ""
    yield* client.send(framed("Q", `${sql}\0`))
    yield* client.until(ready)
    return client.received
  })

describe("a relay before Postgres", () => {
  it.live("passes queries on, few bytes a second, and leaves a connection half-open", () =>
    Effect.gen(function*() {
      const url = new URL(yield* Config.String("DATABASE_URL"))
      const relay = yield* TcpRelay.make({
        host: url.hostname,
        port: Number(url.port),
        seed: 1,
        faults: [RelayFault.bandwidth(5000, { enabled: false, direction: "down" })]
      })
      const client = yield* session(relay.port)
      const [, pid] = /process (\d+)/.exec(yield* query(client, "SELECT 'process ' || pg_backend_pid()")) ?? []
      yield* relay.faults.on("bandwidth")
      const began = performance.now()
      assert.include(yield* query(client, "SELECT repeat('x', 1000)"), "x".repeat(1000))
      assert.isAtLeast(performance.now() - began, 150)
      yield* relay.faults.off("bandwidth")
      yield* relay.halfOpen()
      assert.strictEqual((yield* Effect.timeoutOption(query(client, "SELECT 1"), "100 millis"))._tag, "None")
      const other = yield* session(relay.port)
      // Postgres has heard of the reset, and ends the first session.
      const open = query(other, `SELECT count(*) || ' open' FROM pg_stat_activity WHERE pid = ${pid}`)
      yield* Effect.repeat(open, { until: (rows) => rows.includes("0 open") })
    }))
})
