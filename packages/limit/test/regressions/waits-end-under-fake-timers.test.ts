import { Bulkhead } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { mock } from "node:test"
import { afterEach } from "vitest"

afterEach(() => mock.timers.reset())

const turn = () => new Promise((resolve) => setImmediate(resolve))

it("stops a call that waits too long for a permit, though the clock stands still", async () => {
  mock.timers.enable({ apis: ["setTimeout"] })
  const program = Effect.gen(function*() {
    const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 1, queueTimeout: "5 seconds" })
    yield* Effect.forkChild(bulkhead.execute(Effect.never), { startImmediately: true })
    return yield* Effect.flip(bulkhead.execute(Effect.void))
  })
  const stopped = Effect.runPromise(program)
  await turn()
  mock.timers.tick(5000)
  assert.strictEqual((await stopped).reason, "QueueTimeout")
})

it("lets a paused call go when the pause is over, though the clock stands still", async () => {
  mock.timers.enable({ apis: ["setTimeout"] })
  const program = Effect.gen(function*() {
    const pacer = yield* Pacer.make({ limit: 1000, window: "1 second", maxPause: "1 minute" })
    const paused = yield* Deferred.make<void>()
    yield* pacer.pause("5 seconds")
    yield* Deferred.succeed(paused, undefined)
    return yield* pacer.execute(Effect.succeed("went"))
  })
  const went = Effect.runPromise(Effect.provide(program, Pacer.layerLimiterMemory))
  await turn()
  mock.timers.tick(5001)
  await turn()
  mock.timers.tick(10)
  assert.strictEqual(await went, "went")
})
