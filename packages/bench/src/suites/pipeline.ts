import { Pipeline } from "@effect-resilience/pipeline"
import * as cockatiel from "cockatiel"
import * as Effect from "effect/Effect"
import * as EffectBreaker from "effect/persistence/CircuitBreaker"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import OpossumBreaker from "opossum"
import pRetry from "p-retry"
import type { Suite } from "../Suite.ts"
import { effects, promises } from "../Suite.ts"

const sync = Effect.sync(() => 1)
const async = Effect.promise(() => asyncWork())
async function asyncWork() {
  return 1
}

const description = {
  name: "bench",
  bulkhead: { permits: 10 },
  retry: { times: 3 },
  circuitBreaker: { tripPolicy: { consecutive: 5 } },
  attemptTimeout: 1000
}
const ours = Effect.runSync(Pipeline.make(description))
const promised = Pipeline.promise(ours)
const counted = Effect.runSync(Pipeline.make({ ...description, metrics: true }))

const ofCockatiel = (strategy: cockatiel.TimeoutStrategy) =>
  cockatiel.wrap(
    cockatiel.bulkhead(10),
    cockatiel.retry(cockatiel.handleAll, { maxAttempts: 3, backoff: new cockatiel.ExponentialBackoff() }),
    cockatiel.circuitBreaker(cockatiel.handleAll, {
      halfOpenAfter: 10_000,
      breaker: new cockatiel.ConsecutiveBreaker(5)
    }),
    cockatiel.timeout(1000, strategy)
  )
const cooperative = ofCockatiel(cockatiel.TimeoutStrategy.Cooperative)
const aggressive = ofCockatiel(cockatiel.TimeoutStrategy.Aggressive)
const opossum = new OpossumBreaker(asyncWork, { timeout: 1000, capacity: 10 })

const semaphore = Semaphore.makeUnsafe(10)
const breaker = Effect.runSync(
  EffectBreaker.make({ tripPolicy: EffectBreaker.consecutive(5), openDuration: "1 hour" }).pipe(
    Effect.provide(EffectBreaker.layerStoreMemory()),
    Scope.provide(Effect.runSync(Scope.make()))
  )
)
const schedule = { times: 3, schedule: Schedule.exponential("100 millis") }
const effectsParts = (work: Effect.Effect<number>) =>
  semaphore.withPermit(Effect.retry(breaker.execute(Effect.timeout(work, 1000), { key: "one" }), schedule))

const peers = {
  "cockatiel cooperative": promises(() => cooperative.execute(asyncWork)),
  "cockatiel aggressive": promises(() => aggressive.execute(asyncWork)),
  "p-retry + opossum": promises(() => pRetry(() => opossum.fire(), { retries: 3 }))
}

const suite: Suite = {
  name: "pipeline",
  packages: ["effect", "cockatiel", "opossum", "p-retry"],
  cases: [
    {
      name: "retry, breaker, timeout, bulkhead: sync effect (S)",
      ours: "Pipeline",
      subjects: {
        Pipeline: effects(() => ours.execute(sync)),
        "Pipeline with metrics": effects(() => counted.execute(sync)),
        "Effect's parts": effects(() => effectsParts(sync)),
        "no policy": effects(() => sync),
        ...peers
      },
      atMost: { "cockatiel cooperative": 0.15, "p-retry + opossum": 0.65, "Effect's parts": 0.13 }
    },
    {
      name: "retry, breaker, timeout, bulkhead: promise (P)",
      ours: "Pipeline",
      subjects: {
        Pipeline: effects(() => ours.execute(async)),
        "Effect's parts": effects(() => effectsParts(async)),
        "no policy": effects(() => async),
        ...peers
      },
      atMost: { "cockatiel cooperative": 0.33, "p-retry + opossum": 1.4, "Effect's parts": 0.25 }
    },
    {
      name: "retry, breaker, timeout, bulkhead: a promise in and a promise out (P)",
      ours: "Pipeline.promise",
      subjects: {
        "Pipeline.promise": promises(() => promised(asyncWork)),
        "Pipeline.promise, with a signal": promises(() => promised((_signal) => asyncWork())),
        ...peers
      },
      atMost: { "p-retry + opossum": 1.3 }
    }
  ]
}

export default suite
