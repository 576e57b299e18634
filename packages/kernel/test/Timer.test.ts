import { Time, Timer } from "@effect-resilience/kernel"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { spawnSync } from "node:child_process"

const live = Context.empty()
const run = (program: string) =>
  spawnSync(process.execPath, [
    "--conditions=@effect-resilience/source",
    "--input-type=module",
    "--expose-gc",
    "--eval",
    `import * as Timer from "@effect-resilience/kernel/Timer"
     import * as Context from "effect/Context"
     const live = Context.empty()
     ${program}`
  ], { cwd: import.meta.dirname, encoding: "utf8", timeout: 100_000 })

describe("Timer", () => {
  it.live("ends waits in the order of their length and start, and never too early", () =>
    Effect.gen(function*() {
      const ended: Array<string> = []
      const start = Time.nowUnsafe(live)
      const end = (name: string, millis: number) =>
        Effect.sync(() => {
          ended.push(name)
          assert.isAtLeast(Time.nowUnsafe(live) - start, millis - 1)
        })
      const wait = (name: string, millis: number) => Timer.delay(end(name, millis), millis)
      yield* Effect.all([wait("b", 200), wait("a", 20), wait("c", 200), wait("d", 400)], { concurrency: "unbounded" })
      assert.deepStrictEqual(ended, ["a", "b", "c", "d"])
    }))

  it.live("ends time limits never too early", () =>
    Effect.gen(function*() {
      const start = Time.nowUnsafe(live)
      // One that the program itself made late is granted some more, so those of one length may end in another order.
      const limit = (millis: number) =>
        Effect.callback<number>((resume) => {
          Timer.startUnsafe(live, millis, () => resume(Effect.succeed(Time.nowUnsafe(live) - start - millis)))
        })
      for (const late of yield* Effect.all([limit(40), limit(10), limit(40)], { concurrency: "unbounded" })) {
        assert.isAtLeast(late, -1)
      }
    }))

  it.live("goes on without the waits that are cancelled: the first, one between, the last", () =>
    Effect.gen(function*() {
      const ended: Array<number> = []
      const waits: Array<Timer.Wait> = []
      yield* Effect.callback<void>((resume) => {
        for (let index = 0; index < 7; index++) {
          waits.push(Timer.startUnsafe(live, 10, () => {
            ended.push(index)
            if (ended.length === 4) resume(Effect.void)
          }))
        }
        for (const index of [0, 3, 6, 3]) waits[index]?.cancel()
      })
      yield* Timer.delay(Effect.void, 20)
      assert.deepStrictEqual(ended.toSorted(), [1, 2, 4, 5])
      waits[1]?.cancel()
    }))

  it.live("survives a callback that starts and cancels waits itself", () =>
    Effect.gen(function*() {
      const ended: Array<string> = []
      yield* Effect.callback<void>((resume) => {
        Timer.startUnsafe(live, 10, () => {
          ended.push("first")
          doomed.cancel()
          Timer.startUnsafe(live, 10, () => {
            ended.push("again")
            resume(Effect.void)
          })
        })
        // Of the same length, so that it is due after the first however late that one is.
        const doomed = Timer.startUnsafe(live, 10, () => ended.push("doomed"))
      })
      assert.deepStrictEqual(ended, ["first", "again"])
    }))

  it("keeps the process alive for a wait, and not for a cancelled one", () => {
    const waiting = run(`Timer.startUnsafe(live, 50, () => console.log("elapsed"))`)
    assert.strictEqual(waiting.stdout, "elapsed\n", waiting.stderr)
    const cancelled = run(`
      const wait = Timer.startUnsafe(live, 600_000, () => {})
      wait.cancel()
      Timer.startUnsafe(live, 600_000, () => {}).cancel()`)
    assert.strictEqual(cancelled.status, 0, cancelled.stderr)
    assert.isNull(cancelled.signal)
  })

  it("holds nothing of a million waits that were cancelled", () => {
    const { stdout, stderr } = run(`
      for (let i = 0; i < 1e6; i++) Timer.startUnsafe(live, 30_000 + i % 2, () => {}).cancel()
      globalThis.gc()
      const before = process.memoryUsage().heapUsed
      for (let i = 0; i < 1e6; i++) Timer.startUnsafe(live, 30_000 + i % 2, () => {}).cancel()
      globalThis.gc()
      console.log(process.memoryUsage().heapUsed - before, process.getActiveResourcesInfo().filter((name) => name === "Timeout").length)
    `)
    const [grown, timers] = stdout.trim().split(" ").map(Number)
    assert.isBelow(grown ?? Infinity, 100_000, stderr)
    assert.strictEqual(timers, 0)
  })

  it.effect("waits on the test's clock, and can be cancelled there", () =>
    Effect.gen(function*() {
      const ended: Array<string> = []
      const context = yield* Effect.context()
      Timer.startUnsafe(context, 1000, () => ended.push("kept"))
      Timer.startUnsafe(context, 500, () => ended.push("cancelled")).cancel()
      const fiber = yield* Effect.forkChild(Timer.delay(Effect.sync(() => ended.push("before")), 1500))
      yield* TestClock.adjust(999)
      assert.deepStrictEqual(ended, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(ended, ["kept"])
      yield* TestClock.adjust(500)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(ended, ["kept", "before"])
    }))

  it.live("stops a wait with the fiber that waits", () =>
    Effect.gen(function*() {
      let went = false
      const fiber = yield* Effect.forkChild(Timer.delay(Effect.sync(() => went = true), 10), {
        startImmediately: true
      })
      yield* Fiber.interrupt(fiber)
      yield* Effect.sleep(25)
      assert.isFalse(went)
    }))
})
