import { TokenCache } from "@effect-resilience/auth"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as fakes from "./fakes.ts"

it.live(
  "serves 100,000 concurrent cold callers with one login, within 1.5 s of processor time and 400 MB",
  () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ millis: 500 })
      const cache = yield* TokenCache.make(source)
      const before = { cpu: process.cpuUsage(), rss: process.memoryUsage().rss }
      const callers = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 100_000 }), () => cache.get, { concurrency: "unbounded" })
      )
      const tokens = yield* Fiber.join(callers)
      const { system, user } = process.cpuUsage(before.cpu)
      const seconds = (system + user) / 1e6
      const megabytes = (process.memoryUsage().rss - before.rss) / 1e6
      assert.strictEqual(record.started, 1)
      assert.isTrue(tokens.every((token) => token.generation === 1))
      assert.isAtMost(seconds, 1.5)
      assert.isAtMost(megabytes, 400)
    })
)

it.live("lets 100,000 waiters go without a cost that grows with their square", () =>
  Effect.gen(function*() {
    const { record, source } = fakes.login({ millis: 60_000 })
    const cache = yield* TokenCache.make(source)
    const callers = yield* Effect.forEach(Array.from({ length: 100_000 }), () => Effect.forkChild(cache.get))
    yield* Effect.yieldNow
    const before = process.cpuUsage()
    yield* Fiber.interruptAll(callers)
    const { system, user } = process.cpuUsage(before)
    assert.strictEqual(record.interrupted, 1)
    assert.isAtMost((system + user) / 1e6, 1.5)
  }))
