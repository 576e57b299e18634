import * as Bulkhead from "@effect-resilience/limit/Bulkhead"
import * as cockatiel from "cockatiel"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import OpossumBreaker from "opossum"
import pLimit from "p-limit"
import type { Suite } from "../Suite.ts"
import { effects, effectsAtOnce, promises, promisesAtOnce } from "../Suite.ts"

const sync = Effect.sync(() => 1)
const async = Effect.promise(() => asyncWork())
async function asyncWork() {
  return 1
}

const ours = Effect.runSync(Bulkhead.make({ permits: 10 }))
const semaphore = Semaphore.makeUnsafe(10)
const ofCockatiel = cockatiel.bulkhead(10)
const ofOpossum = new OpossumBreaker(asyncWork, { timeout: false, capacity: 10 })
const limit = pLimit(10)

const peers = {
  cockatiel: promises(() => ofCockatiel.execute(asyncWork)),
  opossum: promises(() => ofOpossum.fire()),
  "p-limit": promises(() => limit(asyncWork))
}

const crowded = Effect.runSync(Bulkhead.make({ permits: 100, queue: Infinity }))
const crowdedCockatiel = cockatiel.bulkhead(100, Infinity)
const crowdedLimit = pLimit(100)
// A call that ends within the turn of its start would never let anybody wait.
const instant = Effect.as(Effect.yieldNow, 1)

const suite: Suite = {
  name: "bulkhead",
  packages: ["effect", "cockatiel", "opossum", "p-limit"],
  cases: [
    {
      name: "none waiting, sync effect (S)",
      ours: "Bulkhead",
      subjects: {
        Bulkhead: effects(() => ours.execute(sync)),
        "Effect's Semaphore": effects(() => semaphore.withPermit(sync)),
        "no policy": effects(() => sync),
        ...peers
      },
      atMost: { "Effect's Semaphore": 1 }
    },
    {
      name: "none waiting, promise (P)",
      ours: "Bulkhead",
      subjects: {
        Bulkhead: effects(() => ours.execute(async)),
        "Effect's Semaphore": effects(() => semaphore.withPermit(async)),
        "no policy": effects(() => async),
        ...peers
      },
      atMost: { "Effect's Semaphore": 1 }
    },
    {
      name: "100,000 callers through 100 permits, instant work",
      ours: "Bulkhead",
      batch: 100_000,
      apart: true,
      subjects: {
        Bulkhead: effectsAtOnce(() => crowded.execute(instant)),
        "no policy, as many fibers": effectsAtOnce(() => instant),
        cockatiel: promisesAtOnce(() => crowdedCockatiel.execute(asyncWork)),
        "p-limit": promisesAtOnce(() => crowdedLimit(asyncWork))
      },
      atMost: { cockatiel: 0.18 },
      megabytesAtMost: 420
    },
    {
      name: "1,000,000 callers through 100 permits, instant work",
      ours: "Bulkhead",
      batch: 1_000_000,
      apart: true,
      rounds: 1,
      subjects: {
        Bulkhead: effectsAtOnce(() => crowded.execute(instant)),
        "p-limit": promisesAtOnce(() => crowdedLimit(asyncWork))
      }
    }
  ]
}

export default suite
