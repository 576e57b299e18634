import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as CircuitBreaker from "@effect-resilience/limit/CircuitBreaker"
import * as LocalFileSystem from "@effect-resilience/node/LocalFileSystem"
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import { dual } from "effect/Function"
import type * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import { MinimumLogLevel } from "effect/References"
import type { Subject, Suite } from "../Suite.ts"
import { effects, repeated } from "../Suite.ts"
import { hacks as http } from "./http.ts"
import { hacks as upload, small as smallFile } from "./upload.ts"

const sync = Effect.sync(() => 1)
const async = Effect.promise(async () => 1)

const liveClock = Context.get(Context.empty(), Clock.Clock)

/** The live clock under another identity, so that nothing takes it for the live one. */
const otherClock = (change: Partial<Clock.Clock> = {}): Clock.Clock => Object.assign(Object.create(liveClock), change)

const withClock = (clock: Clock.Clock, body: () => Effect.Effect<unknown, unknown>): Subject => (calls) =>
  Effect.runPromise(Effect.provideService(repeated(body, calls), Clock.Clock, clock))

const tripPolicy = CircuitBreaker.consecutive(5)
const breaker = Effect.runSync(CircuitBreaker.make({ tripPolicy }))

interface Gate {
  readonly enter: <A, E, R>(
    self: Effect.Effect<A, E, R>,
    fiber: Fiber.Fiber<unknown, unknown>
  ) => Effect.Effect<A, E, R>
}
const isGate = (policy: unknown): policy is Gate => Predicate.hasProperty(policy, "enter")
const open = Effect.runSync(CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1), openDuration: "1 hour" }))
await Effect.runPromise(
  Effect.provideService(Effect.exit(open.execute(Effect.fail("no response"))), MinimumLogLevel, "None")
)
let millis = 0
const eachMillisecond = otherClock({ currentTimeMillisUnsafe: () => millis++ })

const policy = RetryPolicy.make({ times: 3 })
const retryByDual: typeof RetryPolicy.retry = dual(
  (args) => Effect.isEffect(args[0]),
  (self: Effect.Effect<unknown>, policy: RetryPolicy.RetryPolicy) => RetryPolicy.retry(self, policy)
)

const description = {
  name: "bench",
  bulkhead: { permits: 10 },
  retry: { times: 3 },
  circuitBreaker: { tripPolicy: { consecutive: 5 } },
  attemptTimeout: 1000
}
const pipeline = Effect.runSync(Pipeline.make(description))
// The fast path knows nothing of functions.
const composed = Effect.runSync(
  Pipeline.make(description, { around: [Pipeline.around("attempt", "nothing", (self) => self)] })
)

const onFile = (layer: Layer.Layer<FileSystem.FileSystem>): Subject => {
  const look = Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* fs.stat(smallFile())
    const file = yield* fs.open(smallFile())
    return yield* file.readAlloc(20_000)
  }).pipe(Effect.scoped)
  return (calls) =>
    Effect.runPromise(
      Effect.flatMap(FileSystem.FileSystem, (fs) =>
        repeated(() => Effect.provideService(look, FileSystem.FileSystem, fs), calls)).pipe(Effect.provide(layer))
    )
}

// Each case compares a call with the same call without a hack of HACKS.md.
const suite: Suite = {
  name: "hacks",
  packages: ["effect", "@effect/platform-node"],
  cases: [
    {
      name: "a time limit that is not reached",
      ours: "one timer for all waits of a length",
      subjects: {
        "one timer for all waits of a length": effects(() => Timeout.withTimeout(async, 1000)),
        "a sleep of the clock for each wait": withClock(otherClock(), () => Timeout.withTimeout(async, 1000))
      }
    },
    {
      name: "a call through a closed breaker",
      ours: "no closure",
      subjects: {
        "no closure": effects(() => breaker.execute(sync)),
        "a closure for each call": effects(() =>
          isGate(breaker) ? Effect.withFiber((fiber) => breaker.enter(sync, fiber)) : Effect.die("it has no gate")
        )
      }
    },
    {
      name: "a rejection by an open breaker",
      ours: "shared by a millisecond",
      subjects: {
        "shared by a millisecond": effects(() => Effect.ignore(open.execute(sync))),
        "an error for each call": withClock(eachMillisecond, () => Effect.ignore(open.execute(sync)))
      }
    },
    {
      name: "a retry of an effect that succeeds",
      ours: "overloads",
      subjects: {
        overloads: effects(() => RetryPolicy.retry(sync, policy)),
        "Function.dual": effects(() => retryByDual(sync, policy))
      }
    },
    {
      name: "retry, breaker, timeout, bulkhead in a pipeline",
      ours: "fast path",
      subjects: {
        "fast path": effects(() => pipeline.execute(sync)),
        "one policy after the other": effects(() => composed.execute(sync))
      }
    },
    {
      name: "stat, open, read and close a file of 20 kB",
      ours: "in the calling thread",
      subjects: {
        "in the calling thread": onFile(LocalFileSystem.layer),
        "by NodeFileSystem": onFile(NodeFileSystem.layer)
      }
    },
    ...http,
    ...upload
  ]
}

export default suite
