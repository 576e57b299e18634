import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as Lab from "@effect-resilience/lab/Lab"
import * as VirtualTime from "@effect-resilience/lab/VirtualTime"
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

const description = {
  name: "ledger",
  deadline: "1 minute",
  budget: { burst: 100 },
  bulkhead: { permits: 1 },
  circuitBreaker: { tripPolicy: { consecutive: 50_000 } },
  attemptTimeout: "1 second"
} as const

const retryAll = { classify: () => Recovery.retry }

/** A call that begins in a time of its own. */
const began = (retry: object, call: Effect.Effect<string, string>, classify = retryAll.classify) => {
  const time = VirtualTime.make()
  const pipeline = Effect.runSyncWith(time.context)(
    Pipeline.make({ ...description, retry, budget: undefined }, { classify })
  )
  const running = Direct.startUnsafe(pipeline.execute(call), time.context)
  const bulkhead = () => Effect.runSyncWith(time.context)(pipeline.snapshot).bulkhead
  return { time, running, bulkhead }
}

describe("a call in simulated time", () => {
  it("needs no fiber for its waits and its later attempts", () => {
    let attempts = 0
    const call = Effect.suspend(() => ++attempts < 3 ? Effect.fail("unwell") : Effect.succeed("stored"))
    const { running, time } = began({ times: 3, backoff: { base: "10 seconds", jitter: "none" } }, call)
    assert.isFalse(Fiber.isFiber(running))
    time.advance("9 seconds")
    assert.strictEqual(attempts, 1)
    time.advance("21 seconds")
    assert.deepStrictEqual(running.pollUnsafe(), Exit.succeed("stored"))
  })

  it("gives back its permits where it is interrupted in a wait, and where in an attempt", () => {
    for (const call of [Effect.fail("unwell"), Effect.never]) {
      const { bulkhead, running, time } = began({ backoff: { base: "10 seconds" } }, call)
      time.advance("10 millis")
      assert.strictEqual(bulkhead()?.running, 1)
      running.interruptUnsafe()
      assert.strictEqual(bulkhead()?.running, 0)
      const exit = running.pollUnsafe()
      assert.isTrue(exit !== undefined && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    }
  })

  it("makes attempts without waits in one stack", () => {
    let attempts = 0
    const call = Effect.suspend(() => {
      attempts++
      return Effect.fail("unwell")
    })
    const { running } = began({ times: 20_000, backoff: { base: 0, factor: 1, cap: 0, jitter: "none" } }, call)
    assert.deepStrictEqual(running.pollUnsafe(), Exit.fail("unwell"))
    assert.strictEqual(attempts, 20_001)
  })

  it("ends with what a classifier throws, and keeps no permit", () => {
    const { bulkhead, running } = began({}, Effect.fail("unwell"), () => {
      throw new Error("no such code")
    })
    const exit = running.pollUnsafe()
    assert.isTrue(exit !== undefined && Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    assert.strictEqual(bulkhead()?.running, 0)
  })

  it("lets those who wait begin in their own time, also where a fiber of another time simulates", () => {
    const simulate = () =>
      Lab.simulate({
        duration: "10 seconds",
        arrivals: { open: { perSecond: 90 } },
        server: { workers: 5, serviceTime: { exponential: "100 millis" } },
        policy: { name: "ledger", bulkhead: { permits: 5, queue: 5 } }
      }).total
    const total = simulate()
    assert.isAbove(total.good, 400)
    assert.deepStrictEqual(Effect.runSync(Effect.sync(simulate)), total)
  })

  it("holds its permits until a second attempt that interrupts it has cleaned up", () => {
    let attempts = 0
    const { bulkhead, running, time } = began(
      { backoff: { base: "1 second", jitter: "none" } },
      Effect.suspend(() => {
        if (++attempts === 1) return Effect.fail("unwell")
        running.interruptUnsafe()
        return Effect.onInterrupt(Effect.never, () => Effect.sleep("500 millis"))
      })
    )
    time.advance("1 second")
    assert.strictEqual(attempts, 2)
    assert.isUndefined(running.pollUnsafe())
    assert.strictEqual(bulkhead()?.running, 1)
    time.advance("500 millis")
    assert.isDefined(running.pollUnsafe())
    assert.strictEqual(bulkhead()?.running, 0)
  })

  it("ends when what has a say in its retry, and interrupted it, has ended", () => {
    let heard = 0
    const { bulkhead, running, time } = began(
      {
        backoff: { base: "1 second" },
        when: () =>
          Effect.suspend(() => {
            running.interruptUnsafe()
            return Effect.onInterrupt(Effect.never, () => Effect.andThen(Effect.sleep(10), Effect.sync(() => heard++)))
          })
      },
      Effect.andThen(Effect.sleep(1), Effect.fail("unwell"))
    )
    time.advance("5 millis")
    assert.isUndefined(running.pollUnsafe())
    time.advance("10 millis")
    assert.isDefined(running.pollUnsafe())
    assert.deepStrictEqual([heard, bulkhead()?.running], [1, 0])
  })
})
