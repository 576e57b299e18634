import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as cockatiel from "cockatiel"
import * as Effect from "effect/Effect"
import CircuitBreaker from "opossum"
import type { Suite } from "../Suite.ts"
import { effects, promises } from "../Suite.ts"

const sync = Effect.sync(() => 1)
const async = Effect.promise(() => asyncWork())
async function asyncWork() {
  return 1
}

const cooperative = cockatiel.timeout(1000, cockatiel.TimeoutStrategy.Cooperative)
const aggressive = cockatiel.timeout(1000, cockatiel.TimeoutStrategy.Aggressive)
const opossum = new CircuitBreaker(asyncWork, { timeout: 1000 })

const peers = {
  "cockatiel cooperative": promises(() => cooperative.execute(asyncWork)),
  "cockatiel aggressive": promises(() => aggressive.execute(asyncWork)),
  opossum: promises(() => opossum.fire())
}

const suite: Suite = {
  name: "timeout",
  packages: ["effect", "cockatiel", "opossum"],
  cases: [
    {
      name: "success, sync effect (S)",
      ours: "Timeout.withTimeout",
      subjects: {
        "Timeout.withTimeout": effects(() => Timeout.withTimeout(sync, 1000)),
        "Effect.timeout": effects(() => Effect.timeout(sync, 1000)),
        "no limit": effects(() => sync),
        ...peers
      },
      atMost: { "Effect.timeout": 0.35 }
    },
    {
      name: "success, promise (P)",
      ours: "Timeout.withTimeout",
      subjects: {
        "Timeout.withTimeout": effects(() => Timeout.withTimeout(async, 1000)),
        "Effect.timeout": effects(() => Effect.timeout(async, 1000)),
        "no limit": effects(() => async),
        ...peers
      },
      atMost: { "Effect.timeout": 0.33, "cockatiel cooperative": 0.27 }
    }
  ]
}

export default suite
