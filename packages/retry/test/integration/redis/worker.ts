import { AttemptBudget } from "@effect-resilience/retry"
import * as SharedAttemptBudget from "@effect-resilience/retry/SharedAttemptBudget"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { Clock, Effect } from "effect"

// One of several processes: `worker.ts URL NAME`. For three seconds it asks for extra attempts. It prints how many it got, and when it
// began and ended.

const [url = "", name = ""] = process.argv.slice(2)

const program = Effect.gen(function*() {
  const budget = yield* SharedAttemptBudget.make({
    name,
    ratio: 0,
    minPerSecond: 4,
    burst: 20,
    renewEvery: "100 millis"
  })
  const began = yield* Clock.currentTimeMillis
  let granted = 0
  for (let i = 0; i < 300; i++) {
    if (yield* Effect.isSuccess(AttemptBudget.withAttemptBudget(AttemptBudget.withdraw, budget))) granted++
    yield* Effect.sleep("10 millis")
  }
  process.stdout.write(`${granted} ${began} ${yield* Clock.currentTimeMillis}\n`)
})

await Effect.runPromise(
  Effect.scoped(program).pipe(
    Effect.provide(SharedAttemptBudget.layerStoreRedis()),
    Effect.provide(NodeRedis.layer({ url }))
  )
)
