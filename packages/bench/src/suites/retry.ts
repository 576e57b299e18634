import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as AttemptBudget from "@effect-resilience/retry/AttemptBudget"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as cockatiel from "cockatiel"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import pRetry from "p-retry"
import type { Subject, Suite } from "../Suite.ts"
import { effects, effectsAtOnce, promises, promisesAtOnce, repeated } from "../Suite.ts"

class Unavailable extends Data.TaggedError("Unavailable") {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
}

const ours = RetryPolicy.make({ times: 3, backoff: Backoff.exponential({ base: 100 }) })
const theirs = cockatiel.retry(cockatiel.handleAll, { maxAttempts: 3, backoff: new cockatiel.ExponentialBackoff() })
const schedule = { times: 3, schedule: Schedule.exponential("100 millis") }

const sync = Effect.sync(() => 1)
const async = Effect.promise(() => asyncWork())
async function asyncWork() {
  return 1
}

// The least that a retry of public parts can be: no budget, no attempt to read, no events, no history.
const byHand = <A, E, R>(self: Effect.Effect<A, E, R>, times: number): Effect.Effect<A, E, R> =>
  Effect.catchCause(self, (cause) => times === 0 ? Effect.failCause(cause) : byHand(self, times - 1))
const builtByHand = byHand(sync, 3)

const peers = {
  cockatiel: promises(() => theirs.execute(() => asyncWork())),
  "p-retry": promises(() => pRetry(() => asyncWork(), { retries: 3 }))
}

const immediate = RetryPolicy.make({ times: 3, backoff: Backoff.immediate })
const immediateCockatiel = cockatiel.retry(cockatiel.handleAll, {
  maxAttempts: 3,
  backoff: new cockatiel.ConstantBackoff(0)
})

const after10ms = RetryPolicy.make({ times: 2, backoff: Backoff.constant("10 millis") })
const after10msCockatiel = cockatiel.retry(cockatiel.handleAll, {
  maxAttempts: 2,
  backoff: new cockatiel.ConstantBackoff(10)
})

// Made beforehand for all subjects: what an error costs is mostly the depth of the stack that it captures.
const unavailable = new Unavailable()
const failing = Effect.suspend(() => Effect.fail(unavailable))
const rejecting = async () => {
  throw unavailable
}
const failsTwice = Effect.suspend(() => {
  let calls = 0
  return RetryPolicy.retry(Effect.suspend(() => ++calls < 3 ? Effect.fail(unavailable) : Effect.succeed(1)), after10ms)
})
const failsTwiceEffect = Effect.suspend(() => {
  let calls = 0
  return Effect.retry(Effect.suspend(() => ++calls < 3 ? Effect.fail(unavailable) : Effect.succeed(1)), {
    times: 2,
    schedule: Schedule.spaced("10 millis")
  })
})
const rejectsTwice = () => {
  let calls = 0
  return after10msCockatiel.execute(async () => {
    if (++calls < 3) throw unavailable
    return 1
  })
}

const built = RetryPolicy.retry(sync, ours)
const builtEffect = Effect.retry(sync, schedule)

const guarded = (body: () => Effect.Effect<unknown, unknown>): Subject => (calls) =>
  Effect.runPromise(
    repeated(body, calls).pipe(
      Deadline.withDeadline("1 hour"),
      Effect.provide(AttemptBudget.layer({ name: "bench" }))
    )
  )

const suite: Suite = {
  name: "retry",
  packages: ["effect", "cockatiel", "p-retry"],
  cases: [
    {
      name: "success, sync effect (S)",
      ours: "RetryPolicy.retry",
      subjects: {
        "RetryPolicy.retry": effects(() => RetryPolicy.retry(sync, ours)),
        "Effect.retry": effects(() => Effect.retry(sync, schedule)),
        "by hand": effects(() => byHand(sync, 3)),
        "no policy": effects(() => sync),
        ...peers
      },
      atMost: { cockatiel: 0.55, "Effect.retry": 0.08 }
    },
    {
      name: "success, one sync effect built beforehand",
      ours: "RetryPolicy.retry",
      subjects: {
        "RetryPolicy.retry": effects(() => built),
        "Effect.retry": effects(() => builtEffect),
        "by hand": effects(() => builtByHand),
        "no policy": effects(() => sync),
        cockatiel: peers.cockatiel
      },
      atMost: { cockatiel: 0.55, "Effect.retry": 0.08 }
    },
    {
      name: "success, with budget and deadline",
      ours: "budget and deadline",
      subjects: {
        "budget and deadline": guarded(() => RetryPolicy.retry(sync, ours)),
        neither: effects(() => RetryPolicy.retry(sync, ours))
      },
      moreAtMost: { neither: 150 }
    },
    {
      name: "success, promise (P)",
      ours: "RetryPolicy.retry",
      subjects: {
        "RetryPolicy.retry": effects(() => RetryPolicy.retry(async, ours)),
        "Effect.retry": effects(() => Effect.retry(async, schedule)),
        "by hand": effects(() => byHand(async, 3)),
        "no policy": effects(() => async),
        ...peers
      },
      atMost: { cockatiel: 2, "Effect.retry": 0.27 }
    },
    {
      name: "3 retries that fail, zero delay, 1,000 calls at once",
      ours: "RetryPolicy.retry",
      batch: 1000,
      subjects: {
        "RetryPolicy.retry": effectsAtOnce(() => RetryPolicy.retry(failing, immediate)),
        "Effect.retry": effectsAtOnce(() => Effect.retry(failing, { times: 3 })),
        cockatiel: promisesAtOnce(() => immediateCockatiel.execute(rejecting))
      },
      atMost: { cockatiel: 1, "Effect.retry": 0.5 }
    },
    {
      name: "100,000 calls at once that fail twice, 10 ms between",
      ours: "RetryPolicy.retry",
      batch: 100_000,
      apart: true,
      subjects: {
        "RetryPolicy.retry": effectsAtOnce(() => failsTwice),
        "Effect.retry": effectsAtOnce(() => failsTwiceEffect),
        cockatiel: promisesAtOnce(rejectsTwice)
      },
      atMost: { cockatiel: 1 }
    }
  ]
}

export default suite
