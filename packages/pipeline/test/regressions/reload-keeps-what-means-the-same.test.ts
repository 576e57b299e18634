import { Recovery } from "@effect-resilience/errors"
import { CircuitBreaker } from "@effect-resilience/limit"
import { Pipeline } from "@effect-resilience/pipeline"
import { assert, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"

const first: Pipeline.Description = {
  name: "ledger",
  circuitBreaker: {
    openDuration: "1 hour",
    maxOpenDuration: "2 hours",
    tripPolicy: [{ consecutive: 1 }, { slow: { slowerThan: "2 seconds", size: 10 } }]
  }
}

const spellings: Record<string, Pipeline.Description> = {
  "keys in another order": {
    circuitBreaker: {
      tripPolicy: [{ consecutive: 1 }, { slow: { size: 10, slowerThan: "2 seconds" } }],
      maxOpenDuration: "2 hours",
      openDuration: "1 hour"
    },
    name: "ledger"
  },
  "times as objects": {
    name: "ledger",
    circuitBreaker: {
      openDuration: { minutes: 60 },
      maxOpenDuration: { hours: 2 },
      tripPolicy: [{ consecutive: 1 }, { slow: { slowerThan: { seconds: 2 }, size: 10 } }]
    }
  },
  "times in other units": {
    name: "ledger",
    circuitBreaker: {
      openDuration: 3_600_000,
      maxOpenDuration: "120 minutes",
      tripPolicy: [{ consecutive: 1 }, { slow: { slowerThan: 2000, size: 10 } }]
    }
  }
}

const stateOf = (pipeline: Pipeline.Pipeline) =>
  Effect.flatMap(pipeline.policies, ({ circuitBreaker }) => circuitBreaker?.snapshot ?? Effect.die("no breaker"))

for (const [name, same] of Object.entries(spellings)) {
  it.effect(`keeps a circuit open through a reload that has ${name}`, () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const pipeline = yield* Pipeline.make(first)
      yield* Effect.exit(pipeline.execute(Effect.fail("down")))
      yield* pipeline.reload(same)
      assert.strictEqual((yield* stateOf(pipeline))._tag, "Open")
    }))
}

it.effect("tells a backoff from no time at all", () =>
  Effect.gen(function*() {
    const opens = (openDuration: CircuitBreaker.Options["openDuration"]): Pipeline.Description => ({
      name: "ledger",
      circuitBreaker: { openDuration, tripPolicy: { consecutive: 1 } }
    })
    const pipeline = yield* Pipeline.make(opens(0))
    yield* pipeline.reload(opens({ base: "2 seconds", jitter: "none" }))
    yield* Effect.exit(pipeline.execute(Effect.fail("down")))
    assert.deepInclude(yield* stateOf(pipeline), { _tag: "Open", retryAfter: Duration.seconds(2) })
  }))

const slow = { slow: { slowerThan: "2 seconds", size: 10 } } as const

const others: Record<string, Pipeline.Description["circuitBreaker"]> = {
  "a time is longer": { openDuration: "2 hours" },
  "an option is missing": { maxOpenDuration: undefined },
  "another option is there": { maxOpenDuration: undefined, probes: 2 },
  "a list is shorter": { tripPolicy: [{ consecutive: 1 }] },
  "a list is longer": { tripPolicy: [{ consecutive: 1 }, slow, slow] },
  "the first of a list differs": { tripPolicy: [{ consecutive: 2 }, slow] },
  "the second of a list differs": { tripPolicy: [{ consecutive: 1 }, { slow: { ...slow.slow, size: 11 } }] },
  "another of the variants is there": { tripPolicy: [{ rate: {} }, slow] },
  "a time is a backoff": { openDuration: { base: "1 hour", cap: "1 hour" } }
}

for (const [name, other] of Object.entries(others)) {
  it.effect(`makes a part anew where ${name}`, () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make(first)
      yield* Effect.exit(pipeline.execute(Effect.fail("down")))
      yield* pipeline.reload({ name: "ledger", circuitBreaker: { ...first.circuitBreaker, ...other } })
      assert.strictEqual((yield* stateOf(pipeline))._tag, "Closed")
    }))
}

it.effect("judges by its classifier after a reload too", () =>
  Effect.gen(function*() {
    const pipeline = yield* Pipeline.make(first, { classify: () => Recovery.correct })
    yield* pipeline.reload({ name: "ledger", circuitBreaker: { tripPolicy: { consecutive: 1 } } })
    yield* Effect.exit(pipeline.execute(Effect.fail("a request that is wrong")))
    assert.strictEqual((yield* stateOf(pipeline))._tag, "Closed")
  }))

it.effect("lets a circuit go after a reload when those who isolated it do", () =>
  Effect.gen(function*() {
    const pipeline = yield* Pipeline.make(first)
    const { circuitBreaker } = yield* pipeline.policies
    const isolation = yield* circuitBreaker?.isolate ?? Effect.die("no breaker")
    yield* pipeline.reload({ name: "ledger", circuitBreaker: { mode: "metricsOnly" } })
    yield* isolation.release
    assert.strictEqual((yield* stateOf(pipeline))._tag, "MetricsOnly")
    yield* pipeline.reload({ name: "ledger", circuitBreaker: {} })
    assert.strictEqual((yield* stateOf(pipeline))._tag, "Closed")
  }))

it.effect("keeps a circuit isolated whatever its new options", () =>
  Effect.gen(function*() {
    const pipeline = yield* Pipeline.make(first)
    const { circuitBreaker } = yield* pipeline.policies
    yield* circuitBreaker?.isolate ?? Effect.void
    yield* pipeline.reload({ name: "ledger", circuitBreaker: { tripPolicy: { consecutive: 7 } } })
    assert.strictEqual((yield* stateOf(pipeline))._tag, "Isolated")
    assert.instanceOf(yield* Effect.flip(pipeline.execute(Effect.void)), CircuitBreaker.CircuitOpen)
  }))
