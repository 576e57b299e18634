import { SpanRecorder } from "@effect-resilience/chaos"
import type { Deadline } from "@effect-resilience/deadline"
import { ApiError, LibraryErrors } from "@effect-resilience/errors"
import { Direct, Policy } from "@effect-resilience/kernel"
import { Bulkhead, CircuitBreaker, Fallback, Rejection } from "@effect-resilience/limit"
import { Pipeline, PipelineDescription, PipelineRegistry } from "@effect-resilience/pipeline"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Metric, Option } from "effect"
import { TestClock } from "effect/testing"

const unavailable = ApiError.reasonFromStatus(503, {})

/** Fails with each of `errors` in turn, then succeeds with the number of the attempt; notes when each began. */
const script = (errors: ReadonlyArray<unknown>) => {
  const began: Array<number> = []
  const effect = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    began.push(now)
    const error = errors[began.length - 1]
    return error === undefined ? Effect.succeed(began.length) : Effect.fail(error)
  })
  return { began, effect }
}

const overTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.exit(effect), { startImmediately: true })
    yield* TestClock.adjust("1 day")
    return yield* Fiber.join(fiber)
  })

const backoff = { base: "1 second", jitter: "none" } as const

describe("Pipeline", () => {
  it.effect("adds the errors of the parts that are named, and no others", () =>
    Effect.gen(function*() {
      const bare = yield* Pipeline.make({ name: "bare" })
      expectTypeOf(bare.execute(Effect.succeed(1))).toEqualTypeOf<Effect.Effect<number>>()
      const some = yield* Pipeline.make({ name: "some", bulkhead: { permits: 1 }, deadline: "1 second" })
      expectTypeOf(some.execute(Effect.succeed(1))).toEqualTypeOf<
        Effect.Effect<number, Bulkhead.BulkheadFull | Deadline.DeadlineExceeded>
      >()
      assert.strictEqual(yield* bare.execute(Effect.succeed(1)), 1)
    }))

  it.effect("retries inside the bulkhead and outside the breaker, within the deadline", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({
        name: "ledger",
        bulkhead: { permits: 1 },
        retry: { times: 5, backoff },
        circuitBreaker: { tripPolicy: { consecutive: 2 }, openDuration: "5 seconds" }
      })
      const { began, effect } = script([unavailable, unavailable])
      // The circuit opens at 1 s for 5 s, rejects the third attempt at 3 s, and lets the fourth through.
      assert.deepStrictEqual(yield* overTime(pipeline.execute(effect)), Exit.succeed(3))
      assert.deepStrictEqual(began, [0, 1000, 7000])
      const held = yield* Effect.forkChild(pipeline.execute(script([unavailable]).effect), { startImmediately: true })
      const error = yield* Effect.flip(pipeline.execute(Effect.void))
      assert.strictEqual(error._tag, "BulkheadFull")
      yield* Fiber.interrupt(held)
    }))

  it.effect("times each attempt, and the whole by the deadline", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({
        name: "ledger",
        deadline: "10 seconds",
        retry: { times: 10, backoff },
        attemptTimeout: "3 seconds"
      })
      const began: Array<number> = []
      const hanging = Effect.andThen(Effect.map(Clock.currentTimeMillis, (now) => began.push(now)), Effect.never)
      const exit = yield* overTime(pipeline.execute(hanging))
      const error = Exit.findErrorOption(exit)
      assert.deepStrictEqual(began, [0, 4000, 9000])
      assert.strictEqual(error._tag === "Some" && error.value._tag, "DeadlineExceeded")
    }))

  it.effect("paces attempts, and lets a rejection say when to come back", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({
        name: "ledger",
        pacer: { limit: 1, window: "10 seconds", maxWait: 0 }
      })
      yield* pipeline.execute(Effect.void)
      const error = yield* Effect.flip(pipeline.execute(Effect.void))
      assert.isTrue(Rejection.isRejection(error))
      assert.strictEqual(
        error.message,
        "The turn of this call to \"ledger\" would come too late, in 10s. Try again later."
      )
    }))

  it.effect("returns the fallback where a part rejects", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", circuitBreaker: { tripPolicy: { consecutive: 1 } } })
      const stale = Fallback.make({ orElse: () => Effect.succeed("stale") })
      const call = Effect.fail(unavailable).pipe(Pipeline.withPipeline(pipeline, stale))
      assert.strictEqual(yield* Pipeline.withPipeline(Effect.succeed("fresh"), pipeline), "fresh")
      assert.strictEqual(yield* call, "stale")
      assert.strictEqual(yield* call, "stale")
      assert.strictEqual((yield* pipeline.policies).circuitBreaker?.name, "ledger")
    }))

  it.effect("shows a function in the slot of the fallback what the fallback returned, and one inside what failed", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const note = (slot: "fallback" | "call") =>
        Pipeline.around(
          slot,
          "note",
          (self) => Effect.onExit(self, ({ _tag }) => Effect.sync(() => seen.push(`${slot}: ${_tag}`)))
        )
      const pipeline = yield* Pipeline.make({ name: "ledger" }, { around: [note("fallback"), note("call")] })
      const stale = Fallback.make({ orElse: () => Effect.succeed("stale") })
      assert.strictEqual(yield* Pipeline.withPipeline(Effect.fail(unavailable), pipeline, stale), "stale")
      assert.deepStrictEqual(seen, ["call: Failure", "fallback: Success"])
    }))

  it.effect("spends the retries of all its calls from one budget", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({
        name: "ledger",
        retry: { times: 3, backoff: { base: 0, cap: 0 } },
        budget: { ratio: 0, floor: 0, burst: 5 }
      })
      let attempts = 0
      const failing = Effect.suspend(() => {
        attempts++
        return Effect.fail(unavailable)
      })
      for (let i = 0; i < 10; i++) yield* overTime(pipeline.execute(failing))
      assert.strictEqual(attempts, 15)
    }))

  it.effect.each([false, true])(
    "judges the errors of libraries as it is told, in every part (spans: %s)",
    (spans) =>
      Effect.gen(function*() {
        const failing = (status: number) =>
          Effect.fail(
            Object.assign(new Error(String(status)), { isAxiosError: true, response: { status, headers: {} } })
          )
        const outcome = (options: Pipeline.Options<Pipeline.Parts>, status: number) =>
          Effect.gen(function*() {
            let attempts = 0
            const pipeline = yield* Pipeline.make<Pipeline.Description>({
              name: "ledger",
              spans,
              attemptTimeout: "1 second",
              retry: { times: 2, backoff: { base: 0 } },
              circuitBreaker: { tripPolicy: { consecutive: 3 }, openDuration: "1 hour" }
            }, options)
            const call = Effect.suspend(() => {
              attempts++
              return failing(status)
            })
            yield* Effect.exit(pipeline.execute(call))
            yield* Effect.exit(pipeline.execute(call))
            yield* Effect.exit(pipeline.execute(call))
            const { circuitBreaker } = yield* pipeline.policies
            return [attempts, (yield* circuitBreaker?.snapshot ?? Effect.die("no breaker"))._tag]
          })
        const told = { classify: LibraryErrors.classify }
        assert.deepStrictEqual(yield* outcome({}, 404), [3, "Open"])
        assert.deepStrictEqual(yield* outcome(told, 404), [3, "Closed"])
        assert.deepStrictEqual(yield* outcome(told, 503), [3, "Open"])
      })
  )

  it.effect("frees what it took for a call that throws as it begins", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", bulkhead: { permits: 1 }, attemptTimeout: "1 second" })
      const broken = Direct.updateContext(Effect.void, () => {
        throw new Error("broken")
      })
      for (let i = 0; i < 2; i++) {
        assert.deepStrictEqual(yield* Effect.exit(pipeline.execute(broken)), Exit.die(new Error("broken")))
      }
    }))

  it.effect("gives a new description to new calls, and counts those under way among them", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({
        name: "ledger",
        bulkhead: { permits: 1 },
        circuitBreaker: { tripPolicy: { consecutive: 1 }, openDuration: "1 hour" }
      })
      const gate = yield* Deferred.make<void>()
      const old = yield* Effect.forkChild(pipeline.execute(Deferred.await(gate)), { startImmediately: true })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(pipeline.execute(Effect.void))))
      const before = yield* pipeline.policies
      yield* pipeline.reload({
        name: "ledger",
        bulkhead: { permits: 2 },
        circuitBreaker: { tripPolicy: { consecutive: 1 }, openDuration: "1 hour" }
      })
      yield* pipeline.execute(Effect.void)
      const after = yield* pipeline.policies
      const stats = after.bulkhead?.snapshot ?? Effect.undefined
      assert.deepStrictEqual(yield* stats, { permits: 2, running: 1, waiting: 0, rejected: 1 })
      // What did not change keeps its state.
      assert.strictEqual(after.circuitBreaker, before.circuitBreaker)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(old)
      assert.deepStrictEqual(yield* stats, { permits: 2, running: 0, waiting: 0, rejected: 1 })
    }))

  it.effect("counts the attempts that still run under the new options of its adaptive limit", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", concurrencyLimit: { algorithm: { fixed: 1 } } })
      const gate = yield* Deferred.make<void>()
      const old = yield* Effect.forkChild(pipeline.execute(Deferred.await(gate)), { startImmediately: true })
      yield* pipeline.reload({ name: "ledger", concurrencyLimit: { algorithm: { fixed: 1 }, queue: 1 } })
      const now = Effect.flatMap(
        pipeline.policies,
        ({ concurrencyLimit }) => concurrencyLimit?.snapshot ?? Effect.undefined
      )
      const waiting = yield* Effect.forkChild(pipeline.execute(Effect.void), { startImmediately: true })
      assert.deepStrictEqual(yield* now, { limit: 1, running: 1, waiting: 1, rejected: 0 })
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(old)
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(yield* now, { limit: 1, running: 0, waiting: 0, rejected: 0 })
    }))

  it.effect("takes over what another pipeline knows, as a reload would", () =>
    Effect.gen(function*() {
      const described: Pipeline.Description = {
        name: "ledger",
        bulkhead: { permits: 1 },
        circuitBreaker: { tripPolicy: { consecutive: 1 }, openDuration: "1 hour" }
      }
      const former = yield* Pipeline.make<Pipeline.Description>(described)
      yield* Effect.exit(former.execute(Effect.fail("no")))
      const next = yield* Pipeline.make<Pipeline.Description>({ ...described, bulkhead: { permits: 2 } }, {
        continues: former
      })
      assert.strictEqual((yield* next.policies).circuitBreaker, (yield* former.policies).circuitBreaker)
      assert.deepInclude((yield* next.snapshot).bulkhead, { permits: 2 })
      assert.throws(
        () => Pipeline.make<Pipeline.Description>(described, { continues: Policy.noop(undefined) }),
        "Pipeline.continues must be a pipeline"
      )
    }))

  it.effect("uses what was made elsewhere, whatever the pipeline has that it continues", () =>
    Effect.gen(function*() {
      const former = yield* Pipeline.make({ name: "ledger", bulkhead: { permits: 9 }, circuitBreaker: {} })
      const bulkhead = yield* Bulkhead.make({ name: "shared", permits: 1 })
      const circuitBreaker = yield* CircuitBreaker.make({ name: "shared" })
      const next = yield* Pipeline.make({ name: "ledger", bulkhead: { permits: 8 }, circuitBreaker: { probes: 2 } }, {
        policies: { bulkhead, circuitBreaker },
        continues: former
      })
      const used = yield* next.policies
      assert.strictEqual(used.bulkhead, bulkhead)
      assert.strictEqual(used.circuitBreaker, circuitBreaker)
      assert.deepInclude((yield* former.snapshot).bulkhead, { permits: 9 })
    }))

  it.effect("takes a part that was made elsewhere", () =>
    Effect.gen(function*() {
      const circuitBreaker = yield* CircuitBreaker.make()
      const pipeline = yield* Pipeline.make({ name: "ledger", circuitBreaker: {} }, { policies: { circuitBreaker } })
      yield* circuitBreaker.isolate
      assert.strictEqual((yield* Effect.flip(pipeline.execute(Effect.void)))._tag, "CircuitOpen")
      yield* pipeline.reload({ name: "ledger", circuitBreaker: { probes: 2 } })
      assert.strictEqual((yield* pipeline.policies).circuitBreaker, circuitBreaker)
      assert.include(yield* pipeline.describe, "circuitBreaker  made elsewhere")
    }))

  it.effect("leaves out a part made elsewhere that its description does not name", () =>
    Effect.gen(function*() {
      const circuitBreaker = yield* CircuitBreaker.make()
      yield* circuitBreaker.isolate
      const named: Pipeline.Description = { name: "ledger", circuitBreaker: {} }
      const pipeline = yield* Pipeline.make(named, { policies: { circuitBreaker } })
      yield* pipeline.reload({ name: "ledger" })
      yield* pipeline.execute(Effect.void)
      assert.notInclude(yield* pipeline.describe, "circuitBreaker")
      // @ts-expect-error -- what the description does not name
      const unnamed = yield* Pipeline.make({ name: "ledger" }, { policies: { circuitBreaker } })
      yield* unnamed.execute(Effect.void)
    }))

  it.effect("counts calls by how they end", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({
        name: "ledger",
        metrics: true,
        circuitBreaker: { tripPolicy: { consecutive: 1 } }
      })
      yield* pipeline.execute(Effect.void)
      yield* Effect.exit(pipeline.execute(Effect.interrupt))
      yield* Effect.exit(pipeline.execute(Effect.fail("no")))
      yield* Effect.exit(pipeline.execute(Effect.void))
      for (const outcome of ["success", "failure", "refused", "interrupted"]) {
        const total = Metric.withAttributes(Pipeline.callsTotal, {
          "resilience.policy": "ledger",
          "resilience.outcome": outcome
        })
        assert.strictEqual((yield* Metric.value(total)).count, 1, outcome)
      }
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect.each([undefined, "1 second"] as const)("makes a span for the call and one for each attempt (timeout: %s)", (
    attemptTimeout
  ) =>
    Effect.gen(function*() {
      const { ended, record } = SpanRecorder.make()
      const pipeline = yield* Pipeline.make<Pipeline.Description>({
        name: "ledger",
        spans: true,
        attemptTimeout,
        retry: { times: 1, backoff }
      })
      yield* overTime(record(pipeline.execute(script([unavailable]).effect)))
      const spans = ended.map(({ attributes, name, parent }) => ({
        name,
        attempt: attributes.get("attempt"),
        parent: Option.isSome(parent) && parent.value._tag === "Span" ? parent.value.name : undefined
      }))
      assert.deepStrictEqual(spans, [
        { name: "ledger attempt", attempt: 1, parent: "ledger" },
        { name: "ledger attempt", attempt: 2, parent: "ledger" },
        { name: "ledger", attempt: undefined, parent: undefined }
      ])
    }))

  it("rejects options that make no sense where they are written", () => {
    assert.throws(() => Pipeline.make({ name: "x", bulkhead: { permits: 0 } }), RangeError)
    assert.throws(() => Pipeline.make({ name: "x", concurrencyLimit: { algorithm: { fixed: 0 } } }), RangeError)
    assert.throws(() => Pipeline.make({ name: "x", circuitBreaker: { tripPolicy: [{ consecutive: 0 }] } }), RangeError)
    assert.throws(() => Pipeline.make({ name: "x", deadline: "-5 seconds" }), RangeError)
    assert.throws(() => Pipeline.make({ name: "x", deadline: 0 }), RangeError)
    assert.throws(() => Pipeline.make({ name: "x", attemptTimeout: 0 }), RangeError)
    assert.throws(
      () => PipelineRegistry.layer([{ name: "y" }, { name: "x" }, { name: "x" }]),
      "PipelineRegistry: there are two pipelines named x"
    )
  })
})

describe("PipelineDescription", () => {
  const isEarly = () => true

  for (
    const [part, options, text] of [
      ["attemptTimeout", 250, "250 millis"],
      ["attemptTimeout", Duration.seconds(3), "3s"],
      ["attemptTimeout", "3 seconds", "3 seconds"],
      ["spans", true, ""],
      ["retry", { times: 2, backoff: {} }, "times 2, backoff"],
      [
        "retry",
        { times: undefined, backoff: { base: Duration.millis(5), jitter: "none" } },
        "backoff (base 5ms, jitter none)"
      ],
      ["retry", { when: isEarly }, "when isEarly"],
      ["retry", { when: (() => () => true)() }, "when a function"],
      ["circuitBreaker", {
        tripPolicy: [{ consecutive: 1 }, { slow: { slowerThan: "2 seconds", size: 10 } }]
      }, "tripPolicy (consecutive 1; slow (slowerThan 2 seconds, size 10))"]
    ] as const
  ) {
    it(`describes ${part} as ${JSON.stringify(text)}`, () =>
      assert.strictEqual(
        PipelineDescription.describe({ name: "x", [part]: options }),
        `x\n${`  ${part.padEnd(14)}  ${text}`.trimEnd()}\n  the call`
      ))
  }

  const everything: Pipeline.Description = {
    name: "everything",
    deadline: "10 seconds",
    metrics: true,
    spans: false,
    bulkhead: { permits: 10, queue: 20, queueTimeout: 500 },
    retry: { times: 3, backoff: { base: "100 millis", factor: 2, cap: "5 seconds", jitter: 0.2 } },
    budget: { ratio: 0.2 },
    circuitBreaker: {
      tripPolicy: [{ consecutive: 5 }, { slow: { slowerThan: "2 seconds", size: 50 } }, { rateWithin: {} }, {
        rate: {}
      }],
      openDuration: { base: "1 second", cap: "1 minute" }
    },
    throttle: { k: 2 },
    pacer: { limit: 10, window: "1 second" },
    concurrencyLimit: { algorithm: { vegas: { initial: 10 } }, shares: { live: 0.5 } },
    attemptTimeout: "2 seconds"
  }

  it.effect("goes through JSON and makes a pipeline that works", () =>
    Effect.gen(function*() {
      const decoded = yield* PipelineDescription.decode(JSON.parse(JSON.stringify(everything)))
      assert.deepStrictEqual(decoded, everything)
      const pipeline = yield* Pipeline.make(decoded)
      assert.strictEqual(yield* pipeline.execute(Effect.succeed(1)), 1)
    }))

  it.effect("has its times where JSON has a `Duration` as `JSON.stringify` writes it", () =>
    Effect.gen(function*() {
      const write = (description: Pipeline.Description): Pipeline.Description => JSON.parse(JSON.stringify(description))
      for (const part of ["attemptTimeout", "deadline"] as const) {
        for (const [time, exceeded] of [[Duration.seconds(2), true], [Duration.infinity, false]] as const) {
          const pipeline = yield* Pipeline.make(write({ name: "x", [part]: time }))
          const call = Effect.exit(pipeline.execute(Effect.sleep("3 seconds")))
          const fiber = yield* Effect.forkChild(call, { startImmediately: true })
          yield* TestClock.adjust("1999 millis")
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust("1001 millis")
          assert.strictEqual(Exit.isFailure(yield* Fiber.join(fiber)), exceeded)
        }
      }
    }))

  it.effect("accepts every algorithm by its name", () =>
    Effect.gen(function*() {
      for (const algorithm of [{ fixed: 5 }, { aimd: {} }, { vegas: {} }, { gradient2: {} }, { gradient: {} }]) {
        const description = yield* PipelineDescription.decode({ name: "x", concurrencyLimit: { algorithm } })
        const { concurrencyLimit } = yield* Effect.flatMap(Pipeline.make(description), ({ policies }) => policies)
        assert.isDefined(concurrencyLimit)
      }
    }))

  it.effect("rejects what it does not know, and says what", () =>
    Effect.gen(function*() {
      for (
        const [input, part] of [
          [{ name: "x", bulkheads: { permits: 1 } }, "bulkheads"],
          [{ name: "x", bulkhead: { permit: 1 } }, "permit"],
          [{ name: "x", deadline: "soon" }, "Pipeline.deadline must be a duration"],
          [
            { name: "x", circuitBreaker: { classify: "toString" } },
            "There are none"
          ],
          [{ name: "x", circuitBreaker: { tripPolicy: { constructive: 5 } } }, "tripPolicy"],
          [{ bulkhead: { permits: 1 } }, "name"]
        ] as const
      ) {
        const error = yield* Effect.flip(PipelineDescription.decode(input))
        assert.include(error.message, part)
      }
    }))

  it.effect("rejects what a pipeline could not be made of, and says what", () =>
    Effect.gen(function*() {
      for (
        const [input, what] of [
          [{ name: "x", bulkhead: { permits: 0 } }, "permits must be an integer of at least 1, not 0"],
          [{ name: "x", deadline: "-5 seconds" }, "deadline must be a duration above 0"],
          [{ name: "x", retry: { times: -1 } }, "retry.times must be an integer"],
          [
            { name: "x", circuitBreaker: { tripPolicy: [{ consecutive: 0 }] } },
            "tripPolicy[0].consecutive must be an integer"
          ],
          [{ name: "x", concurrencyLimit: { shares: { live: 0.8, batch: 0.8 } } }, "shares must be at most 1 together"]
        ] as const
      ) {
        assert.include((yield* Effect.flip(PipelineDescription.decode(input))).message, what)
        assert.include((yield* Effect.flip(PipelineDescription.decodeAll([{ name: "y" }, input]))).message, what)
      }
      const twice = yield* Effect.flip(PipelineDescription.decodeAll([{ name: "y" }, { name: "y" }]))
      assert.include(twice.message, "two pipelines named y")
    }))

  it.effect("reads those of several pipelines, each of its own name", () =>
    Effect.gen(function*() {
      const descriptions = [{ name: "ledger", retry: { times: 2 } }, { name: "mail" }]
      assert.deepStrictEqual(yield* PipelineDescription.decodeAll(descriptions), descriptions)
    }))

  it.effect("prints its parts in the order in which a call meets them", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make(everything)
      assert.deepStrictEqual(
        (yield* pipeline.describe).split("\n").map((line) => line.trim().split(" ")[0]),
        [
          "everything",
          "deadline",
          "metrics",
          "budget",
          "bulkhead",
          "retry",
          "circuitBreaker",
          "throttle",
          "pacer",
          "concurrencyLimit",
          "attemptTimeout",
          "the"
        ]
      )
    }))
})

describe("PipelineRegistry", () => {
  it.effect("reloads: changes, adds and drops pipelines, and keeps what did not change", () =>
    Effect.gen(function*() {
      const registry = yield* PipelineRegistry.PipelineRegistry
      const ledger = yield* registry.get("ledger")
      yield* Effect.exit(ledger.execute(Effect.fail("no")))
      yield* registry.reload([
        { name: "ledger", circuitBreaker: { tripPolicy: { consecutive: 1 } }, bulkhead: { permits: 1 } },
        { name: "mail" }
      ])
      assert.deepStrictEqual(yield* registry.names, ["ledger", "mail"])
      assert.strictEqual(yield* registry.get("ledger"), ledger)
      assert.strictEqual((yield* Effect.flip(ledger.execute(Effect.void)))._tag, "CircuitOpen")
      const missing = yield* Effect.flip(registry.get("search"))
      assert.deepStrictEqual(missing.pipelines, ["ledger", "mail"])
      assert.strictEqual(missing.message, `There is no pipeline "search"; there are ledger, mail.`)
    }).pipe(Effect.provide(PipelineRegistry.layer([
      { name: "ledger", circuitBreaker: { tripPolicy: { consecutive: 1 } } },
      { name: "search" }
    ]))))

  it.effect("judges the errors of libraries as it is told, in all its pipelines", () =>
    Effect.gen(function*() {
      const failing = Object.assign(new Error("503"), { isAxiosError: true, response: { status: 503, headers: {} } })
      let attempts = 0
      const registry = yield* PipelineRegistry.make([{ name: "ledger" }], { classify: LibraryErrors.classify })
      yield* registry.reload([{ name: "ledger", retry: { times: 2, backoff } }])
      const ledger = yield* registry.get("ledger")
      const call = Effect.suspend(() => {
        attempts++
        return Effect.fail(failing)
      })
      yield* overTime(ledger.execute(call))
      assert.strictEqual(attempts, 3)
    }))

  it.effect("has every name in its no-op layer", () =>
    Effect.gen(function*() {
      const registry = yield* PipelineRegistry.PipelineRegistry
      const pipeline = yield* registry.get("whatever")
      assert.strictEqual(yield* pipeline.execute(Effect.succeed(1)), 1)
      yield* registry.reload([{ name: "ledger" }])
      assert.deepStrictEqual([yield* registry.names, yield* registry.pipelines], [[], []])
    }).pipe(Effect.provide(PipelineRegistry.layerNoop)))
})
