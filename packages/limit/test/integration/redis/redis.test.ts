import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { CircuitBreaker } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import * as SharedCircuitBreaker from "@effect-resilience/limit/SharedCircuitBreaker"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer } from "effect"
import { CircuitBreaker as BreakerStore, RateLimiter } from "effect/persistence"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

// Named here, where knip does not take it for a package.
const binary = "redis-server"

const worker = fileURLToPath(new URL("worker.ts", import.meta.url))

/** Runs a worker to its end, and gives the lines that it printed. */
const run = (role: string, port: number) =>
  Effect.callback<ReadonlyArray<string>>((resume) => {
    const child = execFile(
      process.execPath,
      ["--conditions=@effect-resilience/source", worker, role, `redis://127.0.0.1:${port}`],
      (error, stdout, stderr) =>
        resume(error === null ? Effect.succeed(stdout.trim().split("\n")) : Effect.die(new Error(stderr)))
    )
    return Effect.sync(() => child.kill())
  })

/** A Redis of our own, since this one gets killed. */
const startRedis = (port: number) =>
  Effect.promise(async () => {
    const child = spawn(binary, [
      "--port",
      `${port}`,
      "--bind",
      "127.0.0.1",
      "--save",
      "",
      "--appendonly",
      "no"
    ], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    for await (const chunk of child.stdout) {
      if (String(chunk).includes("Ready to accept connections")) break
    }
    return child
  })

const killRedis = (child: Effect.Success<ReturnType<typeof startRedis>>) =>
  Effect.promise(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill("SIGKILL")
    await once(child, "exit")
  })

const redisServer = (port: number) => Effect.acquireRelease(startRedis(port), killRedis)

// Without the offline queue a command fails while the connection is down, rather than waiting for it.
const stores = (port: number) => {
  const redis = NodeRedis.layer({ url: `redis://127.0.0.1:${port}`, disableOfflineQueue: true })
  return Layer.merge(
    BreakerStore.layerStoreRedis(),
    RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreRedis()))
  ).pipe(Layer.provideMerge(redis))
}

const options: SharedCircuitBreaker.Options = {
  name: "ledger",
  tripPolicy: CircuitBreaker.consecutive(3),
  openDuration: "1 second"
}

describe("two processes and Redis", () => {
  it.live("share a circuit: what one process trips rejects the other, and one of two probes runs", () =>
    Effect.gen(function*() {
      const port = yield* LocalServer.freePort
      yield* redisServer(port)
      yield* Effect.gen(function*() {
        const breaker = yield* SharedCircuitBreaker.make({ ...options, openDuration: "3 seconds" })
        yield* breaker.execute(Effect.void)
        assert.deepStrictEqual(yield* run("trip", port), ["Open"])
        assert.strictEqual((yield* Effect.flip(breaker.execute(Effect.void))).state, "Open")
        const open = yield* breaker.snapshot
        if (open._tag === "Open") yield* Effect.sleep(open.retryAfter)
        const outcomes = yield* Effect.all([run("probe", port), run("probe", port)], { concurrency: 2 })
        const [first, second] = outcomes.flat().toSorted()
        // The second may come after the first has closed the circuit.
        assert.strictEqual(second, "ran")
        assert.include(["HalfOpen", "ran"], first)
        assert.strictEqual((yield* breaker.snapshot)._tag, "Closed")
      }).pipe(Effect.provide(stores(port)))
    }).pipe(Effect.scoped))

  it.live("share a rate, and a pause that only one of them was told of", () =>
    Effect.gen(function*() {
      const port = yield* LocalServer.freePort
      yield* redisServer(port)
      const [one, two] = yield* Effect.all([run("pace-and-429", port), run("pace", port)], { concurrency: 2 })
      const pausedAt = Number(one.find((line) => line.startsWith("paused"))?.slice(7))
      const calls = [...one.filter((line) => !line.startsWith("paused")), ...two].map(Number).toSorted((a, b) => a - b)
      assert.isAbove(pausedAt, 0)
      // 50 ms between calls, from any caller: never more than fit into any second, but for what timers and Redis add.
      for (const at of calls) {
        assert.isAtMost(calls.filter((other) => other >= at && other < at + 1000).length, 23)
      }
      // Each process can have let one call go that it had reserved before.
      const during = calls.filter((at) => at > pausedAt + 20 && at < pausedAt + 950)
      assert.isAtMost(during.length, 2)
      const after = calls.filter((at) => at >= pausedAt + 950)
      assert.isAbove(after.length, 5)
      assert.isAtMost(after.filter((at) => at < pausedAt + 1450).length, 12)
    }).pipe(Effect.scoped))

  it.live("share two rates, and what each of them gives back", () =>
    Effect.gen(function*() {
      const port = yield* LocalServer.freePort
      yield* redisServer(port)
      const lines = yield* Effect.all([run("tokens", port), run("tokens", port)], { concurrency: 2 })
      const calls = lines.flat().map(Number).toSorted((a, b) => a - b)
      for (const at of calls) {
        const used = 5 * calls.filter((other) => other >= at && other < at + 1000).length
        // The burst, what the rate allows, and what timers, Redis and the estimates of two calls under way add.
        assert.isAtMost(used, 20 + 100 + 20)
      }
      // Without refunds, ten tokens for each, these would be 32.
      const from = calls.find((at) => at > (calls[0] ?? 0) + 500) ?? 0
      assert.isAbove(calls.filter((at) => at >= from && at < from + 2000).length, 30)
    }).pipe(Effect.scoped))

  it.live("leak nothing of one rate when another one rejects, when a call is interrupted, or when it gives back", () =>
    Effect.gen(function*() {
      const port = yield* LocalServer.freePort
      yield* redisServer(port)
      yield* Effect.gen(function*() {
        const make = Pacer.make({
          name: "frozen",
          limit: 10,
          window: "1 day",
          burst: 10,
          maxWait: "1 second",
          onStoreError: "fail",
          rates: { tokens: { limit: 100, window: "1 day", burst: 100 } }
        })
        const pacer = yield* make
        yield* pacer.execute(Pacer.settle({ tokens: 90 }), { calls: 1, tokens: 100 })
        for (let i = 0; i < 10; i++) {
          // Each is new, and has to ask.
          const error = yield* Effect.flip((yield* make).execute(Effect.void, { calls: 1, tokens: 20 }))
          assert.deepStrictEqual([error.reason, error.rate], ["Wait", "tokens"])
        }
        const call = Effect.onInterrupt(Effect.never, () => Pacer.settle({ calls: 0, tokens: 0 }))
        for (let i = 0; i < 30; i++) {
          const caller = yield* Effect.forkChild((yield* make).execute(call, { calls: 2, tokens: 10 }))
          for (let turn = 0; turn < i; turn++) yield* Effect.yieldNow
          yield* Fiber.interrupt(caller)
        }
        yield* Effect.sleep("200 millis")
        yield* (yield* make).execute(Effect.void, { calls: 9, tokens: 10 })
      }).pipe(Effect.provide(stores(port)))
    }).pipe(Effect.scoped))

  it.live("go on without Redis or reject, as told, and share again when it is back", () =>
    Effect.gen(function*() {
      const port = yield* LocalServer.freePort
      const redis = yield* redisServer(port)
      yield* Effect.gen(function*() {
        const pace = { name: "ledger", limit: 1000, window: "1 second" } as const
        const open = {
          breaker: yield* SharedCircuitBreaker.make({ ...options, onStoreError: "allow" }),
          pacer: yield* Pacer.make({ ...pace, onStoreError: "allow" })
        }
        const closed = {
          breaker: yield* SharedCircuitBreaker.make({ ...options, onStoreError: "fail" }),
          pacer: yield* Pacer.make({ ...pace, onStoreError: "fail" })
        }
        const call = (policies: typeof open) =>
          Effect.exit(
            Effect.succeed("ran").pipe(
              policies.pacer.execute.bind(policies.pacer),
              policies.breaker.execute.bind(policies.breaker),
              Effect.timeout("10 seconds")
            )
          )
        assert.deepStrictEqual(yield* call(open), Exit.succeed("ran"))
        assert.deepStrictEqual(yield* call(closed), Exit.succeed("ran"))

        yield* killRedis(redis)
        for (let i = 0; i < 5; i++) {
          assert.deepStrictEqual(yield* call(open), Exit.succeed("ran"))
          const rejected = yield* Effect.flip(closed.breaker.execute(Effect.void))
          assert.strictEqual(rejected.state, "Unknown")
          assert.strictEqual((yield* Effect.flip(closed.pacer.execute(Effect.void))).reason, "Store")
        }

        yield* redisServer(port)
        while (Exit.isFailure(yield* call(closed))) yield* Effect.sleep("50 millis")
        for (let i = 0; i < 3; i++) yield* Effect.exit(open.breaker.execute(Effect.fail("no response")))
        assert.strictEqual((yield* Effect.flip(closed.breaker.execute(Effect.void))).state, "Open")
      }).pipe(Effect.provide(stores(port)))
    }).pipe(Effect.scoped))
})
