import { assert, describe, it } from "@effect/vitest"
import { Config, Effect } from "effect"
import * as RelayFault from "../../../src/RelayFault.ts"
import * as TcpRelay from "../../../src/TcpRelay.ts"
import { type Client, connect } from "../../client.ts"

const ping = (client: Client) =>
  Effect.andThen(
    Effect.sync(() => client.received = ""),
    Effect.andThen(client.send("PING\r\n"), client.until("+PONG\r\n"))
  )

const relayed = (faults: ReadonlyArray<RelayFault.RelayFault> = []) =>
  Effect.flatMap(Config.String("REDIS_URL"), (text) => {
    const url = new URL(text)
    return TcpRelay.make({ host: url.hostname, port: Number(url.port), faults, seed: 1 })
  })

describe("a relay before Redis", () => {
  it.live("passes commands on, late, silently or not at all, and again", () =>
    Effect.gen(function*() {
      const relay = yield* relayed([RelayFault.latency("100 millis", { enabled: false, direction: "down" })])
      const client = yield* connect(relay.port)
      yield* ping(client)
      yield* relay.faults.on("latency")
      const began = performance.now()
      yield* ping(client)
      assert.isAtLeast(performance.now() - began, 90)
      yield* relay.faults.off()
      yield* relay.silence("down")
      assert.strictEqual((yield* Effect.timeoutOption(ping(client), "100 millis"))._tag, "None")
      yield* relay.pass
      yield* ping(yield* connect(relay.port))
    }))

  it.live("cuts a response at a byte, which Redis does not hear of, or both sides at once", () =>
    Effect.gen(function*() {
      const relay = yield* relayed([RelayFault.reset({ after: 3, direction: "down", times: 1 })])
      const cut = yield* connect(relay.port)
      yield* cut.send("PING\r\n")
      assert.strictEqual(yield* cut.ended, "ECONNRESET")
      const whole = yield* connect(relay.port)
      yield* ping(whole)
      yield* relay.end
      assert.strictEqual(yield* whole.ended, "end")
    }))
})
