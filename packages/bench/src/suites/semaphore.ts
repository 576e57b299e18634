import * as Bulkhead from "@effect-resilience/limit/Bulkhead"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { Suite } from "../Suite.ts"
import { effectsAtOnce } from "../Suite.ts"

const bulkhead = Effect.runSync(Bulkhead.make({ permits: 100, queue: Infinity }))
const semaphore = Semaphore.makeUnsafe(100)
const instant = Effect.as(Effect.yieldNow, 1)

// Apart from the suite of the bulkhead, since the cost of this queue grows with its square: minutes for one run.
const suite: Suite = {
  name: "semaphore",
  packages: ["effect"],
  cases: [
    {
      name: "100,000 callers through 100 permits, beside a queue of quadratic cost",
      ours: "Bulkhead",
      batch: 100_000,
      apart: true,
      processes: 1,
      subjects: {
        Bulkhead: effectsAtOnce(() => bulkhead.execute(instant)),
        "Effect's Semaphore": effectsAtOnce(() => semaphore.withPermit(instant))
      },
      atMost: { "Effect's Semaphore": 0.03 }
    }
  ]
}

export default suite
