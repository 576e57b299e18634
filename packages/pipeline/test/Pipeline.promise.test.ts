import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Recovery } from "@effect-resilience/errors"
import { Pipeline } from "@effect-resilience/pipeline"
import { RetryEvent } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Fiber } from "effect"
import * as Scheduler from "effect/Scheduler"
import { TestClock } from "effect/testing"
import { AsyncLocalStorage } from "node:async_hooks"
import type * as Http from "node:http"
import { vi } from "vitest"

const description = {
  name: "ledger",
  retry: { times: 2, backoff: { base: "1 second", jitter: "none" } },
  attemptTimeout: "10 seconds"
} as const satisfies Pipeline.Description

const immediate = { ...description, retry: { times: 2, backoff: { base: 0 } } } as const

/** A pipeline for promises under the clock of the test, which does not begin at 0. */
const underTest = <D extends Pipeline.Description>(description: D) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(1_900_000_000_000)
    const clock = yield* Clock.Clock
    const context = Context.make(Clock.Clock, clock)
    return Pipeline.promise(yield* Pipeline.make<Pipeline.Description>(description), { context })
  })

const settled = <A>(promise: Promise<A>) =>
  Effect.promise(() => promise.then((value) => ({ value }), (error: unknown) => ({ error })))

// What runs in microtasks has run.
const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

const adjust = (duration: number) => Effect.andThen(turn, Effect.andThen(TestClock.adjust(duration), turn))

const overTime = <A>(promise: Promise<A>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(settled(promise), { startImmediately: true })
    for (let i = 0; i < 6; i++) yield* adjust(10_000)
    return yield* Fiber.join(fiber)
  })

/** Gives these statuses in turn, then 200. */
const script = (...responses: ReadonlyArray<number | [number, HeadersInit] | Error>) => {
  const sent: Array<{ readonly signal: AbortSignal; readonly response: Response | undefined }> = []
  const call = (signal: AbortSignal) => {
    const next = responses[sent.length] ?? 200
    const [status, headers] = Array.isArray(next) ? next : [next, {}]
    const response = typeof status === "number" ? new Response(`body ${sent.length}`, { status, headers }) : undefined
    sent.push({ signal, response })
    return response === undefined ? Promise.reject(next as Error) : Promise.resolve(response)
  }
  return { sent, call }
}

const unconnected = Object.assign(new TypeError("fetch failed"), {
  cause: Object.assign(new Error(), { code: "ECONNREFUSED" })
})
const reset = Object.assign(new TypeError("fetch failed"), {
  cause: Object.assign(new Error(), { code: "ECONNRESET" })
})

/** What is thrown beside the calls of a test, where no caller hears of it. */
const thrownBeside = async (test: () => Promise<void>): Promise<ReadonlyArray<unknown>> => {
  const thrown: Array<unknown> = []
  const hear = (error: unknown) => thrown.push(error)
  process.prependListener("uncaughtException", hear)
  process.prependListener("unhandledRejection", hear)
  await test()
  await new Promise((resolve) => setImmediate(resolve))
  process.removeListener("uncaughtException", hear)
  process.removeListener("unhandledRejection", hear)
  return thrown
}

const wasCancelled = (response: Response | undefined) => response?.bodyUsed

describe("Pipeline.promise", () => {
  it.effect("is told what was meant by an option that does not exist, and begins nothing", () =>
    Effect.gen(function*() {
      const { call, sent } = script()
      const options: object = { idempotant: true }
      const { error } = (yield* settled(Pipeline.promise(immediate)(call, options))) as { readonly error: unknown }
      assert.instanceOf(error, RangeError)
      assert.include(error.message, "Pipeline.promise has no option idempotant. Did you mean idempotent?")
      assert.lengthOf(sent, 0)
    }))

  it("gives back the value of any promise, and of none", async () => {
    const ledger = Pipeline.promise(immediate)
    assert.strictEqual(await ledger(() => Promise.resolve(17)), 17)
    assert.strictEqual(await ledger(() => "at once"), "at once")
    assert.strictEqual(await ledger(() => undefined), undefined)
  })

  it("repeats an idempotent call, gives back its last response, and cancels the bodies of the others", async () => {
    const ledger = Pipeline.promise(immediate)
    const { call, sent } = script(503, 500)
    const response = await ledger(call, { idempotent: true })
    assert.strictEqual(await response.text(), "body 2")
    assert.deepStrictEqual(sent.slice(0, 2).map(({ response }) => wasCancelled(response)), [true, true])
  })

  it("gives back the response where retries end", async () => {
    const ledger = Pipeline.promise(immediate)
    const { call, sent } = script(503, 503, 503)
    const response = await ledger(call, { idempotent: true })
    assert.strictEqual(response.status, 503)
    assert.strictEqual(await response.text(), "body 2")
    assert.strictEqual(sent.length, 3)
  })

  it("takes a 404 for a success, of the breaker too", async () => {
    const ledger = Pipeline.promise({ ...immediate, circuitBreaker: { tripPolicy: { consecutive: 1 } } })
    for (let i = 0; i < 3; i++) assert.strictEqual((await ledger(script(404).call)).status, 404)
  })

  it("counts a 503 as a failure of the server, and rejects with the error of the breaker that opened", async () => {
    const ledger = Pipeline.promise({ name: "ledger", circuitBreaker: { tripPolicy: { consecutive: 1 } } })
    assert.strictEqual((await ledger(script(503).call)).status, 503)
    const error: unknown = await ledger(script(200).call).catch((error: unknown) => error)
    assert.deepInclude(error, { _tag: "CircuitOpen", policy: "ledger" })
  })

  for (
    const [name, first, attempts] of [
      ["a 503", 503, 1],
      ["a broken connection", reset, 1],
      ["an error that it does not know", new Error("?"), 1],
      ["a 429", 429, 2],
      ["a 408", 408, 2],
      ["a refused connection", unconnected, 2]
    ] as const
  ) {
    it(`makes ${attempts} attempts after ${name} where nothing is said of idempotency`, async () => {
      const ledger = Pipeline.promise(immediate)
      const { call, sent } = script(first)
      const result: unknown = await ledger(call).catch((error: unknown) => error)
      assert.strictEqual(sent.length, attempts)
      if (attempts === 2) assert.strictEqual((result as Response).status, 200)
      else if (typeof first !== "number") assert.strictEqual(result, first)
      else assert.strictEqual((result as Response).status, first)
    })
  }

  for (const [status, attempts] of [[299, 1], [300, 2], [499, 2], [500, 1]] as const) {
    it(`makes ${attempts} attempts after a ${status} that is to be repeated, where nothing is said of idempotency`, async () => {
      const { call, sent } = script(status)
      await Pipeline.promise(immediate)(call, { retryWhen: (response) => response.status === status })
      assert.strictEqual(sent.length, attempts)
    })
  }

  it("is told otherwise about results", async () => {
    const ledger = Pipeline.promise(immediate)
    const { call, sent } = script(503)
    assert.strictEqual((await ledger(call, { idempotent: true, retryWhen: () => false })).status, 503)
    assert.strictEqual(sent.length, 1)
    let looks = 0
    const job = await ledger(() => Promise.resolve({ done: ++looks === 3 }), {
      idempotent: true,
      retryWhen: ({ done }) => !done
    })
    assert.deepStrictEqual([job, looks], [{ done: true }, 3])
    const thrown = new Error("broken")
    const broken: unknown = await ledger(() => 1, {
      retryWhen: () => {
        throw thrown
      }
    }).catch((error: unknown) => error)
    assert.strictEqual(broken, thrown)
  })

  it("counts a result that is told to be a success as one", async () => {
    const ledger = Pipeline.promise({ name: "ledger", circuitBreaker: { tripPolicy: { consecutive: 1 } } })
    const { call } = script(503, 503)
    for (let i = 0; i < 2; i++) assert.strictEqual((await ledger(call, { retryWhen: () => false })).status, 503)
  })

  const lookAlike = { status: 503, ok: false, headers: new Map<string, string>(), body: null }

  for (
    const [name, value, attempts] of [
      ["all of a response", lookAlike, 3],
      ["no status", { ...lookAlike, status: undefined }, 1],
      ["a status that is a text", { ...lookAlike, status: "503" }, 1],
      ["no `ok`", { ...lookAlike, ok: undefined }, 1],
      ["an `ok` that is a text", { ...lookAlike, ok: "no" }, 1],
      ["no headers", { ...lookAlike, headers: undefined }, 1],
      ["headers that are no list", { ...lookAlike, headers: {} }, 1],
      ["nothing but a status", { status: 503 }, 1]
    ] as const
  ) {
    it(`makes ${attempts} attempts for a value that has ${name}`, async () => {
      let calls = 0
      const call = () => {
        calls++
        return Promise.resolve(value)
      }
      assert.strictEqual(await Pipeline.promise(immediate)(call, { idempotent: true }), value)
      assert.strictEqual(calls, attempts)
    })
  }

  it("counts a response for which nothing helps as a failure of the server", async () => {
    const ledger = Pipeline.promise({ name: "ledger", circuitBreaker: { tripPolicy: { consecutive: 1 } } })
    assert.strictEqual((await ledger(script(501).call)).status, 501)
    const error: unknown = await ledger(script(200).call).catch((error: unknown) => error)
    assert.deepInclude(error, { _tag: "CircuitOpen" })
  })

  it("tells the observer of its context of each retry, and cancels the bodies beside it", async () => {
    const heard: Array<number> = []
    const observer: RetryEvent.Observer = ({ attempt }) => Effect.sync(() => heard.push(attempt))
    const ledger = Pipeline.promise(immediate, { context: Context.make(RetryEvent.CurrentObserver, observer) })
    const { call, sent } = script(503, 500)
    assert.strictEqual((await ledger(call, { idempotent: true })).status, 200)
    assert.deepStrictEqual(heard, [1, 2])
    assert.deepStrictEqual(sent.slice(0, 2).map(({ response }) => wasCancelled(response)), [true, true])
  })

  it("cancels the bodies of results that the pipeline itself retries", async () => {
    const ledger = Pipeline.promise({
      ...immediate,
      retry: { ...immediate.retry, retryWhen: (result) => result instanceof Response && result.status === 202 }
    })
    const { call, sent } = script(202, 202)
    assert.strictEqual((await ledger(call, { idempotent: true })).status, 200)
    assert.deepStrictEqual(sent.map(({ response }) => wasCancelled(response)), [true, true, false])
  })

  it("leaves alone what it repeats and is no response: nothing at all, or what has a body of its own", async () => {
    const ledger = Pipeline.promise({ ...immediate, retry: { ...immediate.retry, times: 3 } })
    const cancelled: Array<number> = []
    const page = { body: { cancel: () => Promise.resolve(cancelled.push(1)) } }
    const results = [null, undefined, page, "stored"]
    let calls = 0
    const retryWhen = (result: unknown) => result !== "stored"
    assert.strictEqual(await ledger((): unknown => results[calls++], { idempotent: true, retryWhen }), "stored")
    assert.deepStrictEqual([calls, cancelled], [4, []])
  })

  it("judges a response that is thrown, and rejects with the last one", async () => {
    const ledger = Pipeline.promise(immediate)
    const { call, sent } = script(503, 503, 503)
    const read = async (signal: AbortSignal) => {
      const response = await call(signal)
      if (!response.ok) throw response
      return response.text()
    }
    const error: unknown = await ledger(read, { idempotent: true }).catch((error: unknown) => error)
    assert.strictEqual(error, sent[2]?.response)
    assert.strictEqual(await (error as Response).text(), "body 2")
    assert.isTrue(wasCancelled(sent[0]?.response))
  })

  it("judges what is thrown at once as what is rejected", async () => {
    const ledger = Pipeline.promise(immediate, { classify: () => Recovery.retry })
    let calls = 0
    const value = await ledger(() => {
      if (++calls < 3) throw new Error("broken")
      return "well"
    }, { idempotent: true })
    assert.deepStrictEqual([value, calls], ["well", 3])
  })

  it("is checked as a description is", () => {
    assert.throws(() => Pipeline.promise({ name: "ledger", bulkhead: { permits: 0 } }), RangeError)
    // @ts-expect-error A part with a typo in its name would do nothing.
    assert.throws(() => Pipeline.promise({ name: "ledger", bulkheads: { permits: 1 } }), RangeError)
  })

  it.effect("waits as long as the server says", () =>
    Effect.gen(function*() {
      const ledger = yield* underTest(description)
      const { call, sent } = script([429, { "Retry-After": new Date(1_900_000_030_000).toUTCString() }])
      const fiber = yield* Effect.forkChild(settled(ledger(call)), { startImmediately: true })
      yield* adjust(29_999)
      assert.strictEqual(sent.length, 1)
      assert.isTrue(wasCancelled(sent[0]?.response))
      yield* adjust(1)
      assert.strictEqual(sent.length, 2)
      const result = yield* Fiber.join(fiber)
      assert.strictEqual("value" in result ? result.value.status : undefined, 200)
    }))

  describe("with a clock that does not wait", () => {
    const withoutWaits = <D extends Pipeline.Description>(description: D) =>
      Effect.gen(function*() {
        const clock: Clock.Clock = Object.assign(Object.create(yield* Clock.Clock), { sleep: () => Effect.void })
        const pipeline = yield* Pipeline.make<Pipeline.Description>(description)
        return Pipeline.promise(pipeline, { context: Context.make(Clock.Clock, clock) })
      })

    it.effect("ends an attempt that does not end at once, and gives its permit back", () =>
      Effect.gen(function*() {
        const ledger = yield* withoutWaits({ ...description, bulkhead: { permits: 1 } })
        let attempts = 0
        const hang = () => (attempts++, new Promise<Response>(() => {}))
        const { error } = (yield* settled(ledger(hang, { idempotent: true }))) as { readonly error: object }
        assert.deepInclude(error, { _tag: "TimedOut" })
        assert.strictEqual(attempts, 3)
        assert.strictEqual((yield* ledger.pipeline.snapshot).bulkhead?.running, 0)
      }))

    it.effect("ends no attempt whose time has no limit", () =>
      Effect.gen(function*() {
        const ledger = yield* withoutWaits({ name: "ledger", attemptTimeout: Infinity })
        assert.deepStrictEqual(yield* settled(ledger(() => Promise.resolve("stored"))), { value: "stored" })
      }))
  })

  it.effect("ends an attempt that takes too long, whose outcome is unknown unless it is idempotent", () =>
    Effect.gen(function*() {
      const ledger = yield* underTest(description)
      const signals: Array<AbortSignal> = []
      const hang = (signal: AbortSignal) => {
        signals.push(signal)
        return new Promise<Response>(() => {})
      }
      const once = yield* overTime(ledger(hang))
      assert.deepInclude((once as { error: object }).error, { _tag: "TimedOut", outcomeUnknown: true })
      assert.deepStrictEqual(signals.map(({ aborted }) => aborted), [true])
      const often = yield* overTime(ledger(hang, { idempotent: true }))
      assert.deepInclude((often as { error: object }).error, { _tag: "TimedOut" })
      assert.deepStrictEqual(signals.map(({ aborted }) => aborted), [true, true, true, true])
    }))

  for (const how of ["comes", "is thrown"] as const) {
    it.effect(`cancels the body of a response that ${how} when its attempt has ended`, () =>
      Effect.gen(function*() {
        const ledger = yield* underTest({ ...description, retry: undefined })
        const response = new Response("late")
        let arrive: (response: Response) => void = () => {}
        const result = yield* overTime(
          ledger(() =>
            new Promise<Response>((resolve, reject) => {
              arrive = how === "comes" ? resolve : reject
            })
          )
        )
        assert.deepInclude((result as { error: object }).error, { _tag: "TimedOut" })
        arrive(response)
        yield* turn
        assert.isTrue(wasCancelled(response))
      }))
  }

  describe("with a signal of the caller", () => {
    const reason = new Error("the user has gone")

    it("does nothing where it is aborted before", async () => {
      const ledger = Pipeline.promise(immediate)
      const { call, sent } = script(200)
      const error: unknown = await ledger(call, { signal: AbortSignal.abort(reason) }).catch((error: unknown) => error)
      assert.strictEqual(error, reason)
      assert.strictEqual(sent.length, 0)
    })

    it("rejects where the call itself aborts it, and cancels what comes then", async () => {
      const ledger = Pipeline.promise(immediate)
      const controller = new AbortController()
      const response = new Response("late")
      const error: unknown = await ledger(async () => {
        controller.abort(reason)
        return response
      }, { signal: controller.signal }).catch((error: unknown) => error)
      assert.strictEqual(error, reason)
      await new Promise((resolve) => setImmediate(resolve))
      assert.isTrue(wasCancelled(response))
    })

    it.effect("ends a call that waits in a queue, runs, or waits for its next attempt, with its reason", () =>
      Effect.gen(function*() {
        const ledger = yield* underTest({ ...description, bulkhead: { permits: 1, queue: 5 } })
        const signals: Array<AbortSignal> = []
        let phase: "hang" | "fail" = "hang"
        const call = (signal: AbortSignal) => {
          signals.push(signal)
          return phase === "hang"
            ? new Promise<Response>(() => {})
            : Promise.resolve(new Response(null, { status: 503 }))
        }
        const begin = () => {
          const controller = new AbortController()
          return { controller, result: settled(ledger(call, { idempotent: true, signal: controller.signal })) }
        }
        const running = begin()
        const queued = begin()
        yield* turn
        assert.strictEqual(signals.length, 1)
        queued.controller.abort(reason)
        assert.deepStrictEqual(yield* queued.result, { error: reason })
        running.controller.abort(reason)
        assert.deepStrictEqual(yield* running.result, { error: reason })
        assert.strictEqual(signals[0]?.reason, reason)
        phase = "fail"
        const waiting = begin()
        yield* turn
        assert.strictEqual(signals.length, 2)
        waiting.controller.abort(reason)
        assert.deepStrictEqual(yield* waiting.result, { error: reason })
        yield* adjust(60_000)
        assert.strictEqual(signals.length, 2)
        const { bulkhead } = yield* ledger.pipeline.snapshot
        assert.deepInclude(bulkhead, { running: 0, waiting: 0 })
      }))

    it.effect("cancels a response that comes before a call that cannot stop has ended", () =>
      Effect.gen(function*() {
        const clock = yield* Clock.Clock
        const slow = Pipeline.around("call", "slow", (self) =>
          Effect.uninterruptible(Effect.tap(self, () =>
            Effect.sleep("1 second"))))
        const pipeline = yield* Pipeline.make({ name: "ledger" }, { around: [slow] })
        const ledger = Pipeline.promise(pipeline, { context: Context.make(Clock.Clock, clock) })
        const { call, sent } = script(200)
        const controller = new AbortController()
        const result = settled(ledger(call, { signal: controller.signal }))
        yield* turn
        controller.abort(reason)
        assert.deepStrictEqual(yield* result, { error: reason })
        yield* adjust(1_000)
        assert.isTrue(wasCancelled(sent[0]?.response))
      }))

    it("ends a call whose function takes no signal, and throws nothing beside", async () => {
      const ledger = Pipeline.promise({ name: "ledger" })
      const thrown = await thrownBeside(async () => {
        const controller = new AbortController()
        const result = ledger(() => new Promise(() => {}), { signal: controller.signal }).catch((error: unknown) =>
          error
        )
        controller.abort(reason)
        assert.strictEqual(await result, reason)
      })
      assert.deepStrictEqual(thrown, [])
    })

    it("listens to it no longer than the call runs", async () => {
      const ledger = Pipeline.promise(immediate)
      const controller = new AbortController()
      let listeners = 0
      const { signal } = controller
      const add = signal.addEventListener.bind(signal)
      const remove = signal.removeEventListener.bind(signal)
      const count = (by: number) => ([type]: Parameters<typeof add>) => {
        if (type === "abort") listeners += by
      }
      signal.addEventListener = (...args: Parameters<typeof add>) => (count(1)(args), add(...args))
      signal.removeEventListener = (...args: Parameters<typeof remove>) => (count(-1)(args), remove(...args))
      const response = await ledger(script(503).call, { idempotent: true, signal })
      assert.strictEqual(response.status, 200)
      assert.strictEqual(listeners, 0)
    })
  })

  it.effect("keeps the asynchronous context of its caller in each attempt, and after", () =>
    Effect.gen(function*() {
      const ledger = yield* underTest({ ...description, bulkhead: { permits: 1, queue: 5 } })
      const user = new AsyncLocalStorage<string>()
      const seen: Array<string> = []
      const request = (name: string) =>
        user.run(name, async () => {
          let attempts = 0
          await ledger(async () => {
            const attempt = ++attempts
            seen.push(`${user.getStore()} ${attempt}`)
            // An attempt that times out, so that none of it wakes the next one.
            if (attempt === (name === "bob" ? 1 : 2)) await new Promise(() => {})
            return new Response(null, { status: attempt === 3 ? 200 : 503 })
          }, { idempotent: true })
          seen.push(`${user.getStore()} after`)
        })
      const all = Promise.all([request("ann"), request("bob"), request("cid")])
      yield* overTime(all)
      const users = ["ann", "bob", "cid"]
      assert.deepStrictEqual(
        users.map((name) => seen.filter((line) => line.startsWith(name))),
        users.map((name) => [`${name} 1`, `${name} 2`, `${name} 3`, `${name} after`])
      )
      assert.strictEqual(seen.length, 12)
      assert.isUndefined(user.getStore())
    }))

  it("keeps it in the attempts of a hedge, which a timer starts that calls share", async () => {
    const ledger = Pipeline.promise({ name: "ledger", hedge: { after: "5 millis" } })
    const user = new AsyncLocalStorage<string>()
    const seen: Array<string> = []
    const request = (name: string) =>
      user.run(name, () => {
        let attempts = 0
        return ledger(() => {
          seen.push(`${user.getStore()} ${++attempts}`)
          return attempts === 1 ? new Promise<void>(() => {}) : Promise.resolve()
        }, { idempotent: true })
      })
    await Promise.all([request("ann"), request("bob")])
    assert.sameMembers(seen, ["ann 1", "bob 1", "ann 2", "bob 2"])
  })

  for (const how of ["of promises", "in fibers"] as const) {
    it(`keeps it in the attempts of a retry, which a timer starts that calls share, ${how}`, async () => {
      const pipeline = await Effect.runPromise(
        Pipeline.make({
          name: "ledger",
          retry: { times: 1, backoff: { base: "5 millis", jitter: "none" } },
          attemptTimeout: "1 minute"
        }, { classify: () => Recovery.retry })
      )
      const user = new AsyncLocalStorage<string>()
      const seen: Array<string> = []
      const request = (name: string) =>
        user.run(name, () => {
          let attempts = 0
          const attempt = () => {
            seen.push(`${user.getStore()} makes attempt ${++attempts} of ${name}`)
            return attempts === 1 ? Promise.reject(unconnected) : Promise.resolve()
          }
          return how === "in fibers"
            ? Effect.runPromise(pipeline.execute(Effect.tryPromise({ try: attempt, catch: (error) => error })))
            : Pipeline.promise(pipeline)(attempt)
        })
      await Promise.all([request("ann"), request("bob")])
      assert.sameMembers(
        seen,
        ["ann", "bob"].flatMap((name) => [1, 2].map((attempt) => `${name} makes attempt ${attempt} of ${name}`))
      )
    })
  }

  it("keeps it in what listens to the signal of an attempt, which a timer aborts that calls share", async () => {
    for (const limit of [{ attemptTimeout: "5 millis" }, { deadline: "5 millis" }] as const) {
      const ledger = Pipeline.promise({ name: "ledger", ...limit })
      const user = new AsyncLocalStorage<string>()
      const seen: Array<string> = []
      const request = (name: string) =>
        user.run(name, () =>
          ledger((signal) => {
            signal.addEventListener("abort", () => seen.push(`${user.getStore()} aborts ${name}`))
            return new Promise<void>(() => {})
          }).catch(() => {}))
      await Promise.all([request("ann"), request("bob")])
      // Of two limits that a busy machine notices late, either may end first.
      assert.sameMembers(seen, ["ann aborts ann", "bob aborts bob"])
    }
  })

  it("does without where the platform has none", async () => {
    const { getBuiltinModule } = process
    Object.assign(process, { getBuiltinModule: undefined })
    try {
      vi.resetModules()
      const { Pipeline } = await import("@effect-resilience/pipeline")
      const ledger = Pipeline.promise({ ...immediate, bulkhead: { permits: 1 } })
      const reason = new Error("the user has gone")
      const thrown = await thrownBeside(async () => {
        for (const statuses of [[], [503]]) {
          assert.strictEqual((await ledger(script(...statuses).call, { idempotent: true })).status, 200)
        }
        const controller = new AbortController()
        const hanging = ledger(() => new Promise(() => {}), { signal: controller.signal })
        controller.abort(reason)
        assert.strictEqual(await hanging.catch((error: unknown) => error), reason)
      })
      assert.deepStrictEqual(thrown, [])
      const { bulkhead } = await Effect.runPromise(ledger.pipeline.snapshot)
      assert.strictEqual(bulkhead?.running, 0)
    } finally {
      Object.assign(process, { getBuiltinModule })
      // Other files of this process must not find these.
      vi.resetModules()
    }
  })

  it("needs no fiber until an attempt fails, and one from then on", async () => {
    class Fibers extends Scheduler.MixedScheduler {
      readonly seen = new Set<unknown>()
      override shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
        this.seen.add(fiber)
        return super.shouldYield(fiber)
      }
    }
    const fibers = new Fibers()
    const ledger = Pipeline.promise(immediate, { context: Context.make(Scheduler.Scheduler, fibers) })
    fibers.seen.clear()
    assert.strictEqual(await ledger(() => Promise.resolve("stored")), "stored")
    assert.strictEqual(await ledger(() => "stored"), "stored")
    assert.strictEqual(fibers.seen.size, 0)
    const present: Array<Fiber.Fiber<unknown, unknown> | undefined> = []
    const value = await ledger(() => {
      present.push(Fiber.getCurrent())
      return present.length < 3 ? Promise.reject(unconnected) : Promise.resolve("stored")
    })
    assert.strictEqual(value, "stored")
    assert.isUndefined(present[0])
    assert.isDefined(present[1])
    assert.strictEqual(present[2], present[1])
  })

  it.effect("hedges what is idempotent, and nothing else", () =>
    Effect.gen(function*() {
      const ledger = yield* underTest({ name: "ledger", hedge: { after: "1 second", idempotent: true } })
      const signals: Array<AbortSignal> = []
      const call = (signal: AbortSignal) => {
        signals.push(signal)
        return signals.length % 2 === 1 ? new Promise<string>(() => {}) : Promise.resolve("second")
      }
      assert.deepStrictEqual(yield* overTime(ledger(call, { idempotent: true })), { value: "second" })
      assert.deepStrictEqual(signals.map(({ aborted }) => aborted), [true, false])
      const controller = new AbortController()
      const fiber = yield* Effect.forkChild(settled(ledger(call, { signal: controller.signal })), {
        startImmediately: true
      })
      yield* adjust(60_000)
      assert.strictEqual(signals.length, 3)
      controller.abort(new Error("enough"))
      yield* Fiber.join(fiber)
    }))

  it.effect("cancels the body of an attempt that failed where a hedge of it succeeds", () =>
    Effect.gen(function*() {
      const ledger = yield* underTest({ name: "ledger", hedge: { after: "1 second" } })
      const { call, sent } = script(503)
      const result = yield* overTime(ledger(call, { idempotent: true }))
      assert.strictEqual("value" in result ? result.value : undefined, sent[1]?.response)
      assert.deepStrictEqual(sent.map(({ response }) => wasCancelled(response)), [true, false])
    }))

  describe("where a part holds a response longer than its caller waits", () => {
    const slowly = Effect.sleep("3 seconds")
    const held = Pipeline.around("attempt", "slow", (self) => Effect.tap(self, () => slowly))
    const heldForGood = Pipeline.around(
      "attempt",
      "slow",
      (self) => Effect.uninterruptible(Effect.tap(self, () => slowly))
    )

    for (
      const [name, description, around] of [
        ["a retry", { attemptTimeout: "1 second", retry: { times: 1, backoff: { base: 0 } } }, held],
        ["a deadline", { deadline: "1 second" }, held],
        ["a hedge", { hedge: { after: "1 second" } }, held],
        ["a hedge whose other attempt cannot be interrupted", { hedge: { after: "1 second" } }, heldForGood]
      ] as const
    ) {
      it.effect(`cancels all but what the caller gets: ${name}`, () =>
        Effect.gen(function*() {
          const clock = yield* Clock.Clock
          const pipeline = yield* Pipeline.make<Pipeline.Description>({ name: "ledger", ...description }, {
            around: [around]
          })
          const ledger = Pipeline.promise(pipeline, { context: Context.make(Clock.Clock, clock) })
          const { call, sent } = script()
          const result = yield* overTime(ledger(call, { idempotent: true }))
          const got = "value" in result ? result.value : undefined
          assert.strictEqual(got, name.startsWith("a hedge") ? sent[0]?.response : undefined)
          assert.lengthOf(sent, name === "a deadline" ? 1 : 2)
          for (const { response } of sent) assert.strictEqual(wasCancelled(response), response !== got)
        }))
    }

    it.effect("cancels one that comes when a hedge has won, of an attempt that cannot be interrupted", () =>
      Effect.gen(function*() {
        const clock = yield* Clock.Clock
        const pipeline = yield* Pipeline.make({ name: "ledger", hedge: { after: "1 second" } }, {
          around: [Pipeline.around("attempt", "stubborn", Effect.uninterruptible)]
        })
        const ledger = Pipeline.promise(pipeline, { context: Context.make(Clock.Clock, clock) })
        const [late, first] = [new Response("late"), new Response("first")]
        const arrive: Array<(response: Response) => void> = []
        const call = () => new Promise<Response>((resolve) => arrive.push(resolve))
        const result = settled(ledger(call, { idempotent: true }))
        yield* adjust(1_000)
        arrive[1]?.(first)
        assert.deepStrictEqual(yield* result, { value: first })
        arrive[0]?.(late)
        yield* turn
        assert.deepStrictEqual([late, first].map(wasCancelled), [true, false])
      }))

    it.effect("cancels one that the rule of the call breaks at", () =>
      Effect.gen(function*() {
        const ledger = yield* underTest({ name: "ledger" })
        const { call, sent } = script()
        const retryWhen = () => {
          throw new Error("a bug of the rule")
        }
        const result = yield* overTime(ledger(call, { retryWhen }))
        assert.include(String("error" in result && result.error), "a bug of the rule")
        assert.isTrue(wasCancelled(sent[0]?.response))
      }))
  })

  it.live("runs fetch against a server, and frees the connections of what it repeats", () =>
    Effect.gen(function*() {
      let requests = 0
      const open = new Set<Http.ServerResponse>()
      const { url } = yield* LocalServer.http((_, response) => {
        requests++
        response.writeHead(requests < 3 ? 503 : 200)
        response.write(`response ${requests}`)
        if (requests === 3) response.end()
        else {
          // A body without end: only its cancellation closes it.
          open.add(response)
          response.on("close", () => open.delete(response))
        }
      })
      const ledger = Pipeline.promise(immediate)
      const response = yield* Effect.promise(() => ledger((signal) => fetch(url, { signal }), { idempotent: true }))
      assert.strictEqual(yield* Effect.promise(() => response.text()), "response 3")
      yield* Effect.promise(() =>
        Promise.all([...open].map((response) => new Promise((resolve) => response.on("close", resolve))))
      )
      assert.strictEqual(requests, 3)
    }).pipe(Effect.scoped))
  it.effect("a promise in place of a function is rejected with what to write", () =>
    Effect.gen(function*() {
      const ledger = Pipeline.promise(immediate)
      const given: unknown = Promise.resolve(17)
      const { error } = (yield* settled(ledger(given as () => Promise<number>))) as { readonly error: TypeError }
      assert.strictEqual(
        error.message,
        "A call must be a function that returns a promise, such as () => load(17), not a promise"
      )
    }))

  it.effect("a function that returns an effect is rejected, since nothing would run it", () =>
    Effect.gen(function*() {
      const ledger = Pipeline.promise(immediate)
      let runs = 0
      const effect: unknown = Effect.sync(() => runs++)
      const { error } = (yield* settled(ledger(() => effect, { idempotent: true }))) as { readonly error: TypeError }
      assert.strictEqual(
        error.message,
        "A call returned an effect, which nothing runs. Give effects to the pipeline's execute"
      )
      assert.strictEqual(runs, 0)
    }))

  it("nothing in place of a description is told as any other mistake in one", () => {
    assert.throws(() => Pipeline.promise(JSON.parse("null")), /^Pipeline must be /)
  })
})
