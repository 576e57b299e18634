import { Recovery } from "@effect-resilience/errors"
import { Attempt, AttemptBudget, Hedge } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Context, Data, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

class Broken extends Data.TaggedError("Broken")<{ readonly attempt: number }> {
  get [Recovery.symbol]() {
    return () => Recovery.retry
  }
}

interface Plan {
  /** In seconds. */
  readonly respondsAfter: number
  readonly endsAfter: number
  readonly breaks?: boolean
}

const scripted = (plans: ReadonlyArray<Plan>) =>
  Effect.gen(function*() {
    const { attempt } = yield* Attempt.Current
    const { breaks = false, endsAfter, respondsAfter } = plans[attempt - 1] ?? { respondsAfter: 0, endsAfter: 0 }
    yield* Effect.sleep(`${respondsAfter} seconds`)
    const responding = yield* Attempt.Responding
    responding()
    yield* Effect.sleep(`${endsAfter - respondsAfter} seconds`)
    return breaks ? yield* new Broken({ attempt }) : attempt
  })

const hedging = Hedge.make({ after: "2 seconds", times: 2, share: 1, idempotent: true })

const run = (hedge: Hedge.Hedge, call: Effect.Effect<number, Broken>) =>
  Effect.gen(function*() {
    const running = yield* Effect.forkChild(Effect.exit(hedge.execute(call)))
    yield* TestClock.adjust("10 minutes")
    const { hedges } = yield* hedge.snapshot
    return { exit: yield* Fiber.join(running), hedges }
  })

const at = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.andThen(TestClock.adjust("3 days"), self)

describe("a hedge whose attempt has responded", () => {
  const rows: ReadonlyArray<readonly [name: string, plans: ReadonlyArray<Plan>, attempt: number, hedges: number]> = [
    ["starts no other, and pays for none", [{ respondsAfter: 1, endsAfter: 60 }], 1, 0],
    ["starts no other after one that responds at once", [{ respondsAfter: 0, endsAfter: 60 }], 1, 0],
    [
      "starts the next one at once where it breaks off",
      [{ respondsAfter: 1, endsAfter: 60, breaks: true }, { respondsAfter: 1, endsAfter: 2 }],
      2,
      1
    ],
    [
      "starts no third where the second one fails",
      [{ respondsAfter: 3, endsAfter: 60 }, { respondsAfter: 1, endsAfter: 2, breaks: true }],
      1,
      1
    ],
    [
      "starts a third where both break off",
      [
        { respondsAfter: 3, endsAfter: 60, breaks: true },
        { respondsAfter: 1, endsAfter: 2, breaks: true },
        { respondsAfter: 0, endsAfter: 1 }
      ],
      3,
      2
    ],
    ["starts one where it is late", [{ respondsAfter: 3, endsAfter: 60 }, { respondsAfter: 1, endsAfter: 2 }], 2, 1]
  ]
  for (const [name, plans, attempt, hedges] of rows) {
    it.effect(name, () =>
      at(Effect.gen(function*() {
        const result = yield* run(yield* hedging, scripted(plans))
        assert.deepStrictEqual(result, { exit: Exit.succeed(attempt), hedges })
      })))
  }

  it.effect("tells the hedge around it", () =>
    at(Effect.gen(function*() {
      const [outer, inner] = [yield* hedging, yield* hedging]
      const call = inner.execute(scripted([{ respondsAfter: 1, endsAfter: 60 }]))
      assert.deepStrictEqual(yield* run(outer, call), { exit: Exit.succeed(1), hedges: 0 })
    })))

  it.effect("leaves the budget to others", () =>
    at(Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ ratio: 0.1 })
      const hedge = yield* hedging
      const before = yield* budget.snapshot
      const call = scripted([{ respondsAfter: 1, endsAfter: 60 }])
      yield* Effect.provideContext(
        run(hedge, call),
        Context.make(AttemptBudget.Current, budget)
      )
      assert.deepStrictEqual(yield* budget.snapshot, before)
    })))
})
