import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Https from "node:https"
import { nginx } from "../../../../node/test/integration/nginx/nginx.ts"
import * as RelayFault from "../../../src/RelayFault.ts"
import * as TcpRelay from "../../../src/TcpRelay.ts"
import { connect } from "../../client.ts"

/** What a GET over TLS gives: the body, or the code of its failure. */
const get = (port: number, ca: string) =>
  Effect.callback<string>((resume) => {
    const failed = (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? error.message))
    const request = Https.get({ host: "127.0.0.1", port, ca, agent: false, path: "/" }, (response) => {
      let body = ""
      response.on("data", (bytes) => body += String(bytes)).on("end", () => resume(Effect.succeed(body))).on(
        "error",
        failed
      )
    }).on("error", failed)
    return Effect.sync(() => request.destroy())
  })

describe("a relay before nginx", () => {
  it.live("leaves TLS untouched, breaks its handshake, and delays the end of a connection", () =>
    Effect.gen(function*() {
      const { pem, ports } = yield* nginx
      const relay = yield* TcpRelay.make({
        port: ports.good,
        seed: 1,
        faults: [RelayFault.reset({ after: 100, direction: "up", enabled: false })]
      })
      assert.strictEqual(yield* get(relay.port, pem.ca), `{"id":"tls"}`)
      yield* relay.faults.on()
      assert.strictEqual(yield* get(relay.port, pem.ca), "ECONNRESET")
      yield* relay.faults.off()
      assert.strictEqual(yield* get(relay.port, pem.ca), `{"id":"tls"}`)

      const plain = yield* TcpRelay.make({
        port: ports.http,
        faults: [RelayFault.slowClose("150 millis", { direction: "down" })]
      })
      const client = yield* connect(plain.port)
      yield* client.send("GET /ok HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
      yield* client.until(`{"id":"7"}`)
      const began = performance.now()
      assert.strictEqual(yield* client.ended, "end")
      assert.isAtLeast(performance.now() - began, 100)
    }))
})
