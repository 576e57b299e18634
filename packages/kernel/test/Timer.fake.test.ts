import { Deadline, Timeout } from "@effect-resilience/deadline"
import { Time, Timer } from "@effect-resilience/kernel"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit } from "effect"
import { mock } from "node:test"
import { setImmediate } from "node:timers/promises"
import { afterEach, vi } from "vitest"

const live = Context.empty()

// What each runner calls fake time, and how a test moves it.
const runners = [
  {
    name: "vi.useFakeTimers",
    fake: () => vi.useFakeTimers(),
    real: () => vi.useRealTimers(),
    tick: (millis: number) => vi.advanceTimersByTime(millis)
  },
  {
    name: "mock.timers of node:test",
    fake: () => mock.timers.enable({ apis: ["setTimeout", "Date"] }),
    real: () => mock.timers.reset(),
    tick: (millis: number) => mock.timers.tick(millis)
  }
]

for (const { fake, name, real, tick } of runners) {
  describe(`with ${name}`, () => {
    afterEach(() => {
      real()
      // Other files of this process load modules that know the platform's timer.
      vi.resetModules()
    })

    const exitsAfter = async (millis: number, effect: Effect.Effect<unknown, unknown>) => {
      fake()
      const exits: Array<string> = []
      const done = Effect.runPromiseExit(effect).then((exit) => exits.push(exit._tag))
      tick(millis - 1)
      await setImmediate()
      assert.deepStrictEqual(exits, [])
      tick(1)
      await done
      return exits
    }

    it("ends a wait when the test says so", async () => {
      assert.deepStrictEqual(await exitsAfter(5000, Timer.delay(Effect.void, 5000)), ["Success"])
    })

    it("ends a timeout when the test says so", async () => {
      assert.deepStrictEqual(await exitsAfter(5000, Effect.never.pipe(Timeout.withTimeout("5 seconds"))), ["Failure"])
    })

    it("ends a deadline when the test says so", async () => {
      assert.deepStrictEqual(await exitsAfter(5000, Effect.never.pipe(Deadline.withDeadline("5 seconds"))), ["Failure"])
    })

    it("ends waits of one length that began apart each in its own time", () => {
      fake()
      const ended: Array<string> = []
      Timer.startUnsafe(live, 1000, () => ended.push("first"))
      tick(400)
      Timer.startUnsafe(live, 1000, () => ended.push("second"))
      tick(600)
      assert.deepStrictEqual(ended, ["first"])
      tick(400)
      assert.deepStrictEqual(ended, ["first", "second"])
    })

    it("leaves waits alone that began before and that begin after", async () => {
      const ended: Array<string> = []
      const wait = (name: string) =>
        new Promise<void>((resolve) =>
          // Not a time limit: of two that come late, the second can be the first to end.
          Timer.waitUnsafe(live, 30, () => {
            ended.push(name)
            resolve()
          })
        )
      const before = wait("before")
      fake()
      const abandoned = Timer.waitUnsafe(live, 30, () => ended.push("meanwhile"))
      real()
      await Promise.all([before, wait("after")])
      assert.deepStrictEqual(ended, ["before", "after"])
      abandoned.cancel()
    })

    it("hangs nothing where the module was loaded meanwhile", async () => {
      fake()
      vi.resetModules()
      const fresh = await import("@effect-resilience/kernel/Timer")
      const ended: Array<string> = []
      fresh.startUnsafe(live, 1000, () => ended.push("fake"))
      tick(1000)
      // The process was busy since the time was read.
      fresh.startUnsafe(live, 1000, () => ended.push("busy"), Time.nowUnsafe(live) - 50)
      tick(1000)
      assert.deepStrictEqual(ended, ["fake", "busy"])
      fresh.startUnsafe(live, 20, () => ended.push("abandoned"))
      real()
      await new Promise<void>((resolve) => fresh.startUnsafe(live, 20, resolve))
      assert.deepStrictEqual(ended, ["fake", "busy"])
    })
  })
}

describe("a length that is none", () => {
  for (const millis of [Number.NaN, -1, -Infinity, 0]) {
    it(`is no wait: ${millis}`, async () => {
      assert.isTrue(Exit.isSuccess(await Effect.runPromiseExit(Timer.delay(Effect.void, millis))))
      await new Promise<void>((resolve) => Timer.startUnsafe(live, millis, resolve))
    })
  }
})
