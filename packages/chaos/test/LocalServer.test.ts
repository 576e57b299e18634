import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"

it.effect("gives no server the port of an earlier one, to which a client may still keep a connection", () =>
  Effect.gen(function*() {
    const ports = yield* Effect.forEach(Array.from({ length: 1_000 }), () => LocalServer.freePort)
    assert.strictEqual(new Set(ports).size, 1_000)
  }))
