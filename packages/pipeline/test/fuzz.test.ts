import { Outcome } from "@effect-resilience/limit"
import { Pipeline, PipelineDescription } from "@effect-resilience/pipeline"
import { Effect } from "effect"
import * as fc from "fast-check"
import { fuzz, like } from "../../repo-checks/src/Fuzz.ts"

const functions = { byStatus: Outcome.of }

const descriptions = like(
  {
    name: "ledger",
    deadline: "10 seconds",
    attemptTimeout: 500,
    budget: { ratio: 0.2, minPerSecond: 1, burst: 5 },
    retry: {
      times: 3,
      backoff: { base: "100 millis", factor: 2, cap: "10 seconds", jitter: { proportional: 0.2 } },
      maxDuration: "Infinity",
      kinds: { throttled: { times: 1, backoff: { linear: { step: 500, jitter: "none" } } } }
    },
    circuitBreaker: {
      tripPolicy: [{ consecutive: 5 }, { slow: { slowerThan: "1 second", threshold: 0.5 } }, { proportional: {} }],
      openDuration: { base: 100, cap: "1 minute" },
      ramp: { over: "1 minute" },
      classify: "byStatus"
    },
    bulkhead: { permits: 10, queue: 5, priorities: ["live", "batch"], discipline: { codel: { target: 5 } } },
    concurrencyLimit: { algorithm: { aimd: { max: 100 } } },
    hedge: { after: { percentile: 0.95 }, times: 1, idempotent: true },
    throttle: { multiplier: 2 }
  },
  { name: "ledger", ...Pipeline.standard },
  { name: "a", budget: { inFlight: {} }, retry: { backoff: { list: [1, "2 seconds"] } } }
)

fuzz("a description that is read makes a pipeline, that runs", descriptions, (json) =>
  Effect.gen(function*() {
    const description = yield* PipelineDescription.decode(json, { functions })
    const pipeline = yield* Pipeline.make(description)
    yield* pipeline.describe
    yield* PipelineDescription.encode(description, { functions })
    yield* Effect.exit(pipeline.execute(Effect.succeed(1)))
  }))

fuzz(
  "several descriptions are read together, or a SchemaError",
  fc.array(descriptions, { maxLength: 3 }),
  (json) => PipelineDescription.decodeAll(json, { functions })
)
