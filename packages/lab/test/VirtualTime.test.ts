import { Timeout } from "@effect-resilience/deadline"
import { Lab, VirtualTime } from "@effect-resilience/lab"
import { RetryPolicy } from "@effect-resilience/retry"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

type Program =
  | { readonly sleep: number; readonly label: number }
  | { readonly yields: number; readonly label: number }
  | { readonly inTurn: ReadonlyArray<Program> }
  | { readonly atOnce: ReadonlyArray<Program> }
  | { readonly race: ReadonlyArray<Program> }
  | { readonly within: number; readonly program: Program }
  | { readonly retried: number; readonly program: Program }

const times = fc.constantFrom(0, 1, 5, 10, 10, 50, 1_000)

const { program: programs } = fc.letrec<{ program: Program }>((tie) => ({
  program: fc.oneof(
    { maxDepth: 4 },
    fc.record({ sleep: times, label: fc.nat(9) }),
    fc.record({ yields: fc.constantFrom(-1, 0, 0, 2), label: fc.nat(9) }),
    fc.record({ inTurn: fc.array(tie("program"), { maxLength: 3 }) }),
    fc.record({ atOnce: fc.array(tie("program"), { maxLength: 3 }) }),
    fc.record({ race: fc.array(tie("program"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ within: times, program: tie("program") }),
    fc.record({ retried: fc.integer({ min: 1, max: 3 }), program: tie("program") })
  )
}))

const interpret = (program: Program, log: Array<string>): Effect.Effect<unknown> => {
  const note = (label: number) =>
    Effect.clockWith((clock) => Effect.sync(() => log.push(`${clock.currentTimeMillisUnsafe()} ${label}`)))
  const go = (program: Program): Effect.Effect<unknown> => {
    if ("sleep" in program) {
      return Effect.sleep(program.sleep).pipe(Effect.andThen(note(program.label)), Effect.onInterrupt(() => note(-1)))
    }
    if ("yields" in program) return Effect.andThen(Effect.yieldNowWith(program.yields), note(program.label))
    if ("inTurn" in program) return Effect.forEach(program.inTurn, go)
    if ("atOnce" in program) return Effect.forEach(program.atOnce, go, { concurrency: "unbounded" })
    if ("race" in program) return Effect.raceAllFirst(program.race.map(go))
    if ("within" in program) return Effect.ignore(Timeout.withTimeout(go(program.program), program.within))
    let left = program.retried
    const once = Effect.andThen(
      go(program.program),
      Effect.suspend(() => --left > 0 ? Effect.fail("again") : Effect.void)
    )
    return Effect.ignore(
      RetryPolicy.retry(once, RetryPolicy.make({ backoff: { base: 10 } }), {
        classify: () => ({ _tag: "Retry" }) as never
      })
    )
  }
  return go(program)
}

describe("VirtualTime", () => {
  it("does what TestClock does, in the same order", () =>
    fc.assert(
      fc.asyncProperty(programs, async (program) => {
        const virtual: Array<string> = []
        const exit = VirtualTime.runSyncExit(interpret(program, virtual), { seed: 7 })
        const tested: Array<string> = []
        await Effect.runPromise(
          Effect.gen(function*() {
            const fiber = yield* Effect.forkChild(interpret(program, tested))
            yield* TestClock.adjust("1 minute")
            yield* Fiber.await(fiber)
          }).pipe(Effect.provide(TestClock.layer()), Effect.provideService(Random.Random, VirtualTime.random(7)))
        )
        expect(exit._tag).toBe("Success")
        expect(virtual).toEqual(tested)
      }),
      { numRuns: 300, seed: 2026 }
    ))

  it("lets events happen in the order of their time, and of their beginning", () => {
    const time = VirtualTime.make()
    const happened: Array<string> = []
    time.at(2, () => happened.push("late"))
    time.at(1, () => happened.push("first"))
    time.at(1, () => happened.push("second")).cancel()
    time.at(1, () => {
      happened.push("third")
      time.at(0, () => happened.push("fourth"))
    })
    time.advance(1.5)
    expect([happened, time.nowMillis()]).toEqual([["first", "third", "fourth"], 1.5])
    time.advance("1 second")
    expect(happened.at(-1)).toBe("late")
  })

  it("keeps the order of 10,000 events", () => {
    const time = VirtualTime.make()
    const random = VirtualTime.random(1)
    const times = Array.from({ length: 10_000 }, () => Math.floor(random.nextDoubleUnsafe() * 100))
    const happened: Array<readonly [number, number]> = []
    times.forEach((at, index) => time.at(at, () => happened.push([at, index])))
    time.advance(100)
    expect(happened).toEqual(times.map((at, index) => [at, index] as const).sort(([a, i], [b, j]) => a - b || i - j))
  })

  it("has a date, and measures durations from zero", () => {
    const program = Effect.delay(Effect.all([Clock.currentTimeMillis, Clock.monotonicTimeNanos]), "1 second")
    expect(VirtualTime.runSync(program, { startMillis: 1_700_000_000_000 })).toEqual([
      1_700_000_001_000,
      1_000_000_000n
    ])
  })

  it("draws the same numbers for the same seed", () => {
    const draw = (seed: number) => VirtualTime.runSync(Effect.all([Random.next, Random.nextInt]), { seed })
    expect(draw(1)).toEqual(draw(1))
    expect(draw(1)).not.toEqual(draw(2))
  })

  it("never goes back", () => {
    const time = VirtualTime.make()
    time.advance(100)
    const times: Array<number> = []
    for (const millis of [-50, 0, 5]) time.at(millis, () => times.push(time.nowMillis()))
    while (time.next());
    expect(times).toEqual([100, 100, 105])
  })

  it("has ended a wait as soon as its time has passed, whatever fraction of a nanosecond it began at", () => {
    fc.assert(fc.property(fc.double({ min: 0, max: 1000, noNaN: true }), fc.nat(1000), (from, wait) => {
      const time = VirtualTime.make()
      const ended: Array<string> = []
      time.at(from, () => {})
      time.next()
      const now = time.nowMillis()
      time.at(wait, () => ended.push("wait"))
      time.at(wait + 1e-3, () => ended.push("later"))
      time.advance(wait)
      expect(ended).toEqual(["wait"])
      expect(Math.abs(time.nowMillis() - now - wait)).toBeLessThan(1e-6)
    }))
  })

  it("says so where an effect waits for what cannot happen", () => {
    const program = Effect.sleep("2 seconds").pipe(
      Effect.andThen(Deferred.make<void>()),
      Effect.flatMap(Deferred.await)
    )
    const exit = VirtualTime.runSyncExit(program)
    expect(Exit.isFailure(exit) && String(exit.cause)).toContain("still waits after 2000 ms")
  })
})

describe("Lab", () => {
  const server = { workers: 1, serviceTime: { exponential: "10 millis" } } as const

  it("gives the same for the same seed, and else other numbers", () => {
    const run = (seed: number) =>
      Lab.simulate({
        seed,
        duration: "20 seconds",
        arrivals: { open: { perSecond: 50 } },
        server,
        outages: [{ from: "5 seconds", for: "2 seconds", fault: "down" }],
        processes: 3,
        policy: { name: "ledger", attemptTimeout: "1 second", retry: {}, circuitBreaker: {} }
      })
    expect(run(1)).toEqual(run(1))
    expect(run(1).total).not.toEqual(run(2).total)
  })

  it("lets two policies face the same calls", () => {
    const run = (policy: Lab.Options["policy"]) =>
      Lab.simulate({ duration: "1 minute", arrivals: { open: { perSecond: 50 } }, server, policy })
    expect(run(undefined).seconds.map(({ offered }) => offered)).toEqual(
      run({ name: "ledger", retry: {} }).seconds.map(({ offered }) => offered)
    )
  })

  it("ends each call once", () => {
    const { total } = Lab.simulate({
      duration: "2 minutes",
      arrivals: { closed: { clients: 100, thinkTime: "1 second" } },
      server: { ...server, queue: "lifo", abandoned: "drop" },
      outages: [
        { from: "10 seconds", for: "10 seconds", fault: "down" },
        { from: "30 seconds", for: "10 seconds", fault: { failing: 0.5 } },
        { from: "50 seconds", for: "10 seconds", fault: { slow: 10 } }
      ],
      policy: {
        name: "ledger",
        deadline: "5 seconds",
        attemptTimeout: "500 millis",
        retry: {},
        budget: {},
        bulkhead: { permits: 50 },
        circuitBreaker: {},
        throttle: {},
        concurrencyLimit: {}
      }
    })
    expect(total.good + total.failed + total.rejected).toBe(total.offered)
    expect(total.rejected).toBeGreaterThan(0)
  })

  it("tells what makes no sense", () => {
    expect(() => Lab.simulate({ duration: 0, arrivals: { open: { perSecond: 1 } }, server })).toThrow(
      "Lab.simulate.duration"
    )
    // As an empty line of YAML has it.
    const empty = JSON.parse("null")
    const world = { duration: "1 second", arrivals: { open: { perSecond: 1 } }, server } as const
    const tier = { name: "database", server }
    for (
      const [written, message] of [
        [{ tiers: empty }, "tiers[0] must be an object, not null"],
        [{ tiers: [tier, empty] }, "tiers[1] must be an object, not null"],
        [{ tiers: { ...tier, policy: empty } }, "policy must be a description or an effect, not null"],
        [{ others: empty }, "others must be an object, not null"],
        [{ others: { batch: empty } }, "others.batch must be an object, not null"]
      ] as const
    ) {
      expect(() => Lab.simulate({ ...world, ...written })).toThrow(new RangeError(`Lab.simulate.${message}`))
    }
  })
})
