/**
 * A pipeline as plain data: what a JSON or YAML file can hold.
 *
 * **Details**
 *
 * Every part is left out or named with its options; those are the options of the part's own `make`, with the defaults that
 * it has. Times are milliseconds or texts such as `"2 seconds"`. A part or option that does not exist is an error, since
 * a limit with a typo in its name is no limit; so is a value that `Pipeline.make` would throw at.
 *
 * **Example** (Reading one from a file)
 *
 * ```ts import.meta.vitest
 * import * as PipelineDescription from "@effect-resilience/limit/PipelineDescription"
 * import { Effect } from "effect"
 *
 * const text = `{ "name": "ledger", "deadline": "10 seconds", "circuitBreaker": { "tripPolicy": { "consecutive": 5 } } }`
 *
 * const description = await Effect.runPromise(PipelineDescription.decode(JSON.parse(text)))
 * const [name, deadline, breaker, call] = PipelineDescription.describe(description).split("\n")
 * name // => "ledger"
 * deadline // => "  deadline        10 seconds"
 * breaker // => "  circuitBreaker  tripPolicy (consecutive 5)"
 * call // => "  the call"
 * ```
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as assembly from "./internal/assembly.ts"

const Time = Schema.Union([
  Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)),
  Schema.TemplateLiteral([
    Schema.Finite,
    " ",
    Schema.Literals([
      "milli",
      "millis",
      "second",
      "seconds",
      "minute",
      "minutes",
      "hour",
      "hours",
      "day",
      "days"
    ])
  ])
])

const Bulkhead = Schema.Struct({
  permits: Schema.Int,
  queue: Schema.optionalKey(Schema.Int),
  queueTimeout: Schema.optionalKey(Time)
})

const Backoff = Schema.Struct({
  base: Schema.optionalKey(Time),
  factor: Schema.optionalKey(Schema.Finite),
  cap: Schema.optionalKey(Time),
  jitter: Schema.optionalKey(
    Schema.Union([Schema.Literals(["none", "full", "equal", "decorrelated", "polly"]), Schema.Finite])
  )
})

const Retry = Schema.Struct({
  times: Schema.optionalKey(Schema.Int),
  backoff: Schema.optionalKey(Backoff),
  maxRetryAfter: Schema.optionalKey(Time),
  maxDuration: Schema.optionalKey(Time)
})

const Budget = Schema.Struct({
  ratio: Schema.optionalKey(Schema.Finite),
  minPerSecond: Schema.optionalKey(Schema.Finite),
  floor: Schema.optionalKey(Schema.Finite),
  burst: Schema.optionalKey(Schema.Finite),
  processes: Schema.optionalKey(Schema.Int)
})

const countWindow = {
  threshold: Schema.optionalKey(Schema.Finite),
  size: Schema.optionalKey(Schema.Int),
  minimumCalls: Schema.optionalKey(Schema.Int)
}

const TripPolicy = Schema.Union([
  Schema.Struct({ consecutive: Schema.Int }),
  Schema.Struct({ rate: Schema.Struct(countWindow) }),
  Schema.Struct({
    rateWithin: Schema.Struct({
      within: Schema.optionalKey(Time),
      threshold: Schema.optionalKey(Schema.Finite),
      minimumCalls: Schema.optionalKey(Schema.Int)
    })
  }),
  Schema.Struct({ slow: Schema.Struct({ slowerThan: Time, ...countWindow }) })
])

const CircuitBreaker = Schema.Struct({
  tripPolicy: Schema.optionalKey(Schema.Union([TripPolicy, Schema.Array(TripPolicy)])),
  openDuration: Schema.optionalKey(Schema.Union([Time, Backoff])),
  maxOpenDuration: Schema.optionalKey(Time),
  probes: Schema.optionalKey(Schema.Int),
  probeLease: Schema.optionalKey(Time)
})

const Throttle = Schema.Struct({
  k: Schema.optionalKey(Schema.Finite),
  window: Schema.optionalKey(Time),
  maxProbability: Schema.optionalKey(Schema.Finite),
  minimumCalls: Schema.optionalKey(Schema.Int)
})

const Pacer = Schema.Struct({
  limit: Schema.Finite,
  window: Time,
  burst: Schema.optionalKey(Schema.Int),
  maxWait: Schema.optionalKey(Time),
  maxPause: Schema.optionalKey(Time),
  onStoreError: Schema.optionalKey(Schema.Literals(["allow", "fail"])),
  storeTimeout: Schema.optionalKey(Time)
})

const bounds = {
  initial: Schema.optionalKey(Schema.Int),
  min: Schema.optionalKey(Schema.Int),
  max: Schema.optionalKey(Schema.Int),
  window: Schema.optionalKey(Time)
}

const Algorithm = Schema.Union([
  Schema.Struct({ fixed: Schema.Int }),
  Schema.Struct({
    aimd: Schema.Struct({
      ...bounds,
      backoffRatio: Schema.optionalKey(Schema.Finite),
      timeout: Schema.optionalKey(Time)
    })
  }),
  Schema.Struct({
    vegas: Schema.Struct({
      ...bounds,
      probeInterval: Schema.optionalKey(Time),
      probeRequests: Schema.optionalKey(Schema.Int)
    })
  }),
  Schema.Struct({
    gradient2: Schema.Struct({
      ...bounds,
      smoothing: Schema.optionalKey(Schema.Finite),
      queueSize: Schema.optionalKey(Schema.Finite),
      longWindow: Schema.optionalKey(Schema.Int),
      tolerance: Schema.optionalKey(Schema.Finite)
    })
  }),
  Schema.Struct({
    gradient: Schema.Struct({
      ...bounds,
      buffer: Schema.optionalKey(Schema.Finite),
      headroom: Schema.optionalKey(Schema.Finite),
      minRttInterval: Schema.optionalKey(Time),
      minRttRequests: Schema.optionalKey(Schema.Int),
      minRttConcurrency: Schema.optionalKey(Schema.Int),
      jitter: Schema.optionalKey(Schema.Finite)
    })
  })
])

const ConcurrencyLimit = Schema.Struct({
  algorithm: Schema.optionalKey(Algorithm),
  shares: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite))
})

const Description = Schema.Struct({
  name: Schema.String,
  deadline: Schema.optionalKey(Time),
  metrics: Schema.optionalKey(Schema.Boolean),
  spans: Schema.optionalKey(Schema.Boolean),
  bulkhead: Schema.optionalKey(Bulkhead),
  retry: Schema.optionalKey(Retry),
  budget: Schema.optionalKey(Budget),
  circuitBreaker: Schema.optionalKey(CircuitBreaker),
  throttle: Schema.optionalKey(Throttle),
  pacer: Schema.optionalKey(Pacer),
  concurrencyLimit: Schema.optionalKey(ConcurrencyLimit),
  attemptTimeout: Schema.optionalKey(Time)
})

/**
 * A pipeline as plain data.
 *
 * @category models
 * @since 0.1.0
 */
export type PipelineDescription = typeof Description.Type

/**
 * Throws `RangeError` where a description names a part or an option that does not exist, or gives one that no file could hold.
 *
 * @category checking
 * @since 0.1.0
 */
export const check = (description: PipelineDescription): void => {
  const result = exact(withoutAbsent(description))
  if (Result.isFailure(result)) throw new RangeError(`Pipeline: ${String(result.failure)}`)
}

const exact = /* @__PURE__ */ Schema.decodeUnknownResult(Description, { onExcessProperty: "error" })

// An option that is undefined is as good as none, in code.
const withoutAbsent = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutAbsent)
  if (!Predicate.isObject(value)) return value
  const present = Object.entries(value).filter(([, option]) => option !== undefined)
  return Object.fromEntries(present.map(([name, option]) => [name, withoutAbsent(option)]))
}

const problem = (description: PipelineDescription): string | undefined => {
  const plan = Result.try(() => assembly.plan(description, {}))
  return Result.isSuccess(plan) ? undefined : String(plan.failure)
}

/**
 * The schema of a description. The order of its fields is that of the pipeline, outside in.
 *
 * - `spans`: a span for each call, and one for each attempt.
 * - `metrics`: counts calls by how they end.
 *
 * @category schemas
 * @since 0.1.0
 */
export const PipelineDescription = Description.check(Schema.makeFilter(problem))

/**
 * Reads a description from what a file held.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode: (input: unknown) => Effect.Effect<PipelineDescription, Schema.SchemaError> = /* @__PURE__ */ Schema
  .decodeUnknownEffect(PipelineDescription, { onExcessProperty: "error", errors: "all" })

/**
 * The parts in the order in which a call meets them, a line each.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (description: PipelineDescription): string => {
  const lines = [description.name]
  for (const part of parts) {
    const options = description[part]
    if (options === undefined || options === false) continue
    lines.push(`  ${part.padEnd(14)}  ${format(options)}`.trimEnd())
  }
  return [...lines, "  the call"].join("\n")
}

const parts = [
  "deadline",
  "metrics",
  "spans",
  "bulkhead",
  "retry",
  "budget",
  "circuitBreaker",
  "throttle",
  "pacer",
  "concurrencyLimit",
  "attemptTimeout"
] as const

const format = (value: unknown): string => {
  if (value === true) return ""
  if (typeof value === "number") return `${value} millis`
  if (typeof value !== "object" || value === null) return String(value)
  return fields(value)
}

const fields = (value: object): string =>
  Object.entries(value).map(([name, option]) => {
    if (Array.isArray(option)) return `${name} (${option.map(fields).join("; ")})`
    return typeof option === "object" && option !== null ? `${name} (${fields(option)})` : `${name} ${String(option)}`
  }).join(", ")
