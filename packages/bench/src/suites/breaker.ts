import * as CircuitBreaker from "@effect-resilience/limit/CircuitBreaker"
import * as cockatiel from "cockatiel"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as EffectBreaker from "effect/persistence/CircuitBreaker"
import { MinimumLogLevel } from "effect/References"
import * as Scope from "effect/Scope"
import OpossumBreaker from "opossum"
import type { Subject, Suite } from "../Suite.ts"
import { effects, promises, repeated } from "../Suite.ts"

const sync = Effect.sync(() => 1)
const async = Effect.promise(() => asyncWork())
async function asyncWork() {
  return 1
}
const rejecting = async () => {
  throw new Error("no response")
}

const scope = Effect.runSync(Scope.make())
const effectBreaker = (failures: number) =>
  EffectBreaker.make({ tripPolicy: EffectBreaker.consecutive(failures), openDuration: "1 hour" }).pipe(
    Effect.provide(EffectBreaker.layerStoreMemory()),
    Scope.provide(scope),
    Effect.runSync
  )

const ours = Effect.runSync(CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(5) }))
const ofEffect = effectBreaker(5)
const ofCockatiel = cockatiel.circuitBreaker(cockatiel.handleAll, {
  halfOpenAfter: 10_000,
  breaker: new cockatiel.ConsecutiveBreaker(5)
})
const ofOpossum = new OpossumBreaker(asyncWork, { timeout: false })

// What any breaker of public interfaces needs: a look at a flag, and a frame that hears how the call ended.
const closed = { flag: true, failures: 0 }
const count = (exit: Exit.Exit<unknown>): undefined => {
  closed.failures = exit._tag === "Success" ? 0 : closed.failures + 1
}
const byHand = <A>(self: Effect.Effect<A>) =>
  Effect.suspend(() => closed.flag ? Effect.onExitPrimitive(self, count, true) : Effect.interrupt)

const open = Effect.runSync(CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1), openDuration: "1 hour" }))
await Effect.runPromise(
  Effect.provideService(Effect.exit(open.execute(Effect.fail("no response"))), MinimumLogLevel, "None")
)
const openOfEffect = effectBreaker(1)
await Effect.runPromise(Effect.exit(openOfEffect.execute(Effect.fail("no response"), { key: "one" })))
const openOfCockatiel = cockatiel.circuitBreaker(cockatiel.handleAll, {
  halfOpenAfter: 3_600_000,
  breaker: new cockatiel.ConsecutiveBreaker(1)
})
await openOfCockatiel.execute(rejecting).catch(() => {})
const openOfOpossum = new OpossumBreaker(asyncWork, { timeout: false, resetTimeout: 3_600_000 })
openOfOpossum.open()

const keys = Array.from({ length: 100_000 }, (_, index) => `tenant ${index}`)
let turn = 0
const anyKey = () => keys[turn++ % keys.length] ?? ""

// Made when first asked for: so many objects cost the collector time in the cases before.
const keyed = Effect.runSync(Effect.cached(Effect.tap(
  CircuitBreaker.keyed({ tripPolicy: CircuitBreaker.consecutive(5) }),
  (keyed) =>
    Effect.sync(() => {
      for (const key of keys) keyed.get(key)
    })
)))
const map = Effect.runSync(Effect.cached(Effect.sync(() => new Map(keys.map((key) => [key, { effect: sync }])))))
const among = <A>(all: Effect.Effect<A>, body: (all: A) => Effect.Effect<unknown, unknown>): Subject => (calls) =>
  Effect.runPromise(Effect.flatMap(all, (all) => repeated(() => body(all), calls)))

const suite: Suite = {
  name: "breaker",
  packages: ["effect", "cockatiel", "opossum"],
  cases: [
    {
      name: "success, sync effect (S)",
      ours: "CircuitBreaker",
      subjects: {
        CircuitBreaker: effects(() => ours.execute(sync)),
        "effect/persistence": effects(() => ofEffect.execute(sync, { key: "one" })),
        "by hand": effects(() => byHand(sync)),
        "no policy": effects(() => sync),
        cockatiel: promises(() => ofCockatiel.execute(asyncWork)),
        opossum: promises(() => ofOpossum.fire())
      },
      atMost: { cockatiel: 1.5, "effect/persistence": 0.065 }
    },
    {
      name: "success, promise (P)",
      ours: "CircuitBreaker",
      subjects: {
        CircuitBreaker: effects(() => ours.execute(async)),
        "effect/persistence": effects(() => ofEffect.execute(async, { key: "one" })),
        "no policy": effects(() => async),
        cockatiel: promises(() => ofCockatiel.execute(asyncWork)),
        opossum: promises(() => ofOpossum.fire())
      },
      atMost: { opossum: 1 }
    },
    {
      name: "rejection while open",
      ours: "CircuitBreaker",
      subjects: {
        CircuitBreaker: effects(() => Effect.ignore(open.execute(sync))),
        "effect/persistence": effects(() => Effect.ignore(openOfEffect.execute(sync, { key: "one" }))),
        cockatiel: promises(() => openOfCockatiel.execute(asyncWork).catch(() => {})),
        opossum: promises(() => openOfOpossum.fire().catch(() => {}))
      },
      atMost: { cockatiel: 0.1 }
    },
    {
      name: "success with keys, sync effect (S)",
      ours: "100,000 keys",
      subjects: {
        "100,000 keys": among(keyed, (keyed) => keyed.get(anyKey()).execute(sync)),
        "1 key": among(keyed, (keyed) => keyed.get("tenant 0").execute(sync)),
        // What the memory of a machine makes of any such lookup.
        "no policy, Map of 100,000 keys": among(map, (map) => map.get(anyKey())?.effect ?? sync),
        "no policy, Map, 1 key": among(map, (map) => map.get("tenant 0")?.effect ?? sync)
      }
    }
  ]
}

export default suite
