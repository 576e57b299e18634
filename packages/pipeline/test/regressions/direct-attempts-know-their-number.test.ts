import { Recovery } from "@effect-resilience/errors"
import { Direct } from "@effect-resilience/kernel"
import { Pipeline } from "@effect-resilience/pipeline"
import { Attempt } from "@effect-resilience/retry"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Effectable, Exit } from "effect"
import { TestClock } from "effect/testing"

it.effect("an attempt that begins without a fiber knows which one it is", () =>
  Effect.gen(function*() {
    const seen: Array<number> = []
    class Failing extends Effectable.Class<never, string> implements Direct.Direct<never, string> {
      [Direct.direct](context: Context.Context<never>): Direct.Running<never, string> {
        seen.push(Context.get(context, Attempt.Current).attempt)
        return { pollUnsafe: () => Exit.fail("no"), addObserver: () => {}, interruptUnsafe: () => {} }
      }
      override asEffect(): Effect.Effect<never, string> {
        return Effect.die("an attempt with a fiber")
      }
    }
    const pipeline = yield* Pipeline.make(
      { name: "ledger", retry: { times: 2 }, attemptTimeout: "1 second" },
      { classify: () => Recovery.retry }
    )
    yield* Effect.forkChild(Effect.ignore(pipeline.execute(new Failing())))
    yield* TestClock.adjust("1 minute")
    assert.deepStrictEqual(seen, [1, 2, 3])
  }))
