import * as TcpRelay from "@effect-resilience/chaos/TcpRelay"
import { Recovery } from "@effect-resilience/errors"
import { AttemptBudget, Backoff, RetryPolicy } from "@effect-resilience/retry"
import * as SharedAttemptBudget from "@effect-resilience/retry/SharedAttemptBudget"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { assert, describe, it } from "@effect/vitest"
import { Config, Effect, Layer } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"

const worker = fileURLToPath(new URL("worker.ts", import.meta.url))

/** Runs a process to its end, and gives the numbers that it printed. */
const run = (url: string, name: string) =>
  Effect.callback<ReadonlyArray<number>>((resume) => {
    const child = execFile(
      process.execPath,
      ["--conditions=@effect-resilience/source", worker, url, name],
      (error, stdout, stderr) =>
        resume(error === null ? Effect.succeed(stdout.trim().split(" ").map(Number)) : Effect.die(new Error(stderr)))
    )
    return Effect.sync(() => child.kill())
  })

const storeAt = (url: string) =>
  SharedAttemptBudget.layerStoreRedis().pipe(
    Layer.provide(NodeRedis.layer({ url, socket: { socketTimeout: 3000, reconnectStrategy: () => 100 } }))
  )

const name = (test: string) => `${test}-${process.pid}-${performance.timeOrigin}`

const request: SharedAttemptBudget.Request = {
  name: "",
  member: "a",
  give: 0,
  want: 0,
  burst: 10_000_000,
  perMilli: 0,
  presentMillis: 60_000
}

describe("a budget in Redis", () => {
  it.live("does what the one in memory does", () =>
    Effect.gen(function*() {
      const url = yield* Config.String("REDIS_URL")
      const steps: ReadonlyArray<Partial<SharedAttemptBudget.Request>> = [
        { want: 2_500_000 },
        { member: "b", want: 6_000_001 },
        { member: "c", want: 5_000_000 },
        { member: "a", give: 700_000 },
        { member: "a", want: 200_000, give: 3 },
        { member: "b", give: 99_000_000, want: 1 },
        { member: "c", want: 99_000_000 },
        { member: "c", want: 1 }
      ]
      const play = Effect.gen(function*() {
        const store = yield* SharedAttemptBudget.Store
        return yield* Effect.forEach(steps, (step) => store.ask({ ...request, name: name("table"), ...step }))
      })
      const inRedis = yield* Effect.provide(play, storeAt(url))
      assert.deepStrictEqual(inRedis, yield* Effect.provide(play, SharedAttemptBudget.layerStoreMemory))
      assert.deepStrictEqual(inRedis[1], { granted: 6_000_001, processes: 2 })
    }))

  it.live("is filled by time, to the fraction, and forgets processes that are gone", () =>
    Effect.gen(function*() {
      const url = yield* Config.String("REDIS_URL")
      yield* Effect.gen(function*() {
        const store = yield* SharedAttemptBudget.Store
        const ask = (step: Partial<SharedAttemptBudget.Request>) =>
          store.ask({ ...request, name: name("time"), perMilli: 1000 / 3, presentMillis: 300, ...step })
        yield* ask({ want: 10_000_000 })
        yield* ask({ member: "b" })
        const began = performance.now()
        let granted = 0
        let asked = began
        while (performance.now() - began < 600) {
          asked = performance.now()
          granted += (yield* ask({ want: 10_000_000 })).granted
          yield* Effect.sleep("7 millis")
        }
        // A third of a unit each millisecond, whose fractions are not lost at any of the 80 requests.
        assert.isAtLeast(granted, (asked - began - 10) * 1000 / 3)
        assert.isAtMost(granted, (performance.now() - began + 50) * 1000 / 3)
        assert.strictEqual((yield* ask({})).processes, 1)
      }).pipe(Effect.provide(storeAt(url)))
    }))

  it.live("is one budget for several processes", () =>
    Effect.gen(function*() {
      const url = yield* Config.String("REDIS_URL")
      const results = yield* Effect.all(Array.from({ length: 3 }, () => run(url, name("processes"))), {
        concurrency: 3
      })
      const [granted, began, ended] = [0, 1, 2].map((column) => results.map((numbers) => numbers[column] ?? 0))
      const sum = granted?.reduce((total, count) => total + count, 0)
      const seconds = (Math.max(...ended ?? []) - Math.min(...began ?? [])) / 1000
      assert.isAtLeast(sum ?? 0, 24)
      // 20 that were saved up, and 4 a second; the account is older than the first of them by what a connection takes.
      assert.isAtMost(sum ?? Infinity, 20 + 4 * (seconds + 1))
      for (const count of granted ?? []) assert.isAbove(count, 0)
    }))

  it.live("stops no call and delays none while Redis is silent, and is shared again when it speaks", () =>
    Effect.gen(function*() {
      const url = new URL(yield* Config.String("REDIS_URL"))
      const relay = yield* TcpRelay.make({ port: Number(url.port) })
      yield* Effect.gen(function*() {
        const options = {
          name: name("silent"),
          ratio: 0.5,
          minPerSecond: 0,
          burst: 8,
          renewEvery: "50 millis",
          storeTimeout: "100 millis"
        } as const
        const allow = yield* SharedAttemptBudget.make(options)
        const fail = yield* SharedAttemptBudget.make({ ...options, onStoreError: "fail" })
        const policy = RetryPolicy.make({ times: 1, backoff: Backoff.immediate })
        const attempts = Effect.fnUntraced(function*(budget: AttemptBudget.AttemptBudget, calls: number) {
          let sent = 0
          const failing = Effect.suspend(() => {
            sent++
            return Effect.fail("no response")
          })
          for (let call = 0; call < calls; call++) {
            yield* failing.pipe(
              RetryPolicy.retry(policy, { classify: () => Recovery.retry }),
              AttemptBudget.withAttemptBudget(budget),
              Effect.exit
            )
          }
          return sent
        })
        while ((yield* attempts(allow, 1)) + (yield* attempts(fail, 1)) < 4) yield* Effect.sleep("10 millis")

        yield* relay.silence()
        // Until it notices, it goes on with what it has and earns.
        while ((yield* attempts(fail, 4)) > 4) yield* Effect.sleep("10 millis")
        const began = performance.now()
        // Each second call earns one.
        const [allowed, failed] = [yield* attempts(allow, 500), yield* attempts(fail, 500)]
        assert.isBelow(performance.now() - began, 1000)
        assert.isAtLeast(allowed, 740)
        assert.strictEqual(failed, 500)

        yield* relay.pass
        while ((yield* attempts(fail, 2)) < 3) yield* Effect.sleep("50 millis")
      }).pipe(Effect.provide(storeAt(`redis://127.0.0.1:${relay.port}`)))
    }).pipe(Effect.scoped))
})
