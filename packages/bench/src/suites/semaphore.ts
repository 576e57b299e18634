import * as Bulkhead from "@effect-resilience/limit/Bulkhead"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { Suite } from "../Suite.ts"
import { effectsAtOnce } from "../Suite.ts"

const bulkhead = Effect.runSync(Bulkhead.make({ permits: 100, queue: Infinity }))
const semaphore = Semaphore.makeUnsafe(100)
const instant = Effect.as(Effect.yieldNow, 1)

// The cost of this queue grows with the square of its length: 100,000 callers took 631 s of CPU time and 489 MB, against
// 1.6 s and 350 MB here.
const suite: Suite = {
  name: "semaphore",
  packages: ["effect"],
  cases: [
    {
      name: "30,000 callers through 100 permits, instant work",
      ours: "Bulkhead",
      batch: 30_000,
      apart: true,
      rounds: 1,
      units: ["s"],
      subjects: {
        Bulkhead: effectsAtOnce(() => bulkhead.execute(instant)),
        "Effect's Semaphore": effectsAtOnce(() => semaphore.withPermit(instant))
      },
      atMost: { "Effect's Semaphore": 0.03 }
    }
  ]
}

export default suite
