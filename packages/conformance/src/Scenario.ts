/** What a scenario is: a policy, a script of calls and what must come of them. `scenarios/*.json` have them. */
import * as Schema from "effect/Schema"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const folder = new URL("../scenarios/", import.meta.url)

const Millis = Schema.Finite.annotate({
  description: "milliseconds of the scenario's clock, which begins at 2026-01-01T00:00:00Z"
})

const Range = Schema.Tuple([Schema.Finite, Schema.Finite]).annotate({ description: "from, to, both included" })

const optional = Schema.optionalKey

const Outcome = Schema.Union([
  Schema.Literals(["ok", "fail", "final", "bug"]),
  Schema.Struct({ status: Schema.Int, headers: optional(Schema.Record(Schema.String, Schema.String)) })
]).annotate({
  description:
    "fail: a failure that passes; final: one that a repetition cannot mend; bug: a TypeError of the program; a status is a response"
})

const Attempt = Schema.Union([
  Schema.Literals(["ok", "fail", "final", "bug"]),
  Schema.Struct({
    takes: optional(Schema.Finite.annotate({ description: "milliseconds; without it, none" })),
    with: optional(Outcome.annotate({ description: "without it, the attempt never ends" })),
    deaf: optional(Schema.Boolean.annotate({ description: "goes on when it is cancelled" }))
  })
])

const Event = Schema.Union([
  Schema.Struct({
    at: Millis,
    call: Schema.String,
    does: Schema.Array(Attempt).annotate({
      description: "what the attempts do; the last one stands for all that follow"
    }),
    method: optional(Schema.String),
    key: optional(Schema.String.annotate({ description: "whose call it is, for limits that are fair between keys" })),
    times: optional(Schema.Int.annotate({ description: "how many calls there are; each is a call of the group" })),
    every: optional(Schema.Finite.annotate({ description: "milliseconds between them" })),
    unsafe: optional(Schema.Boolean.annotate({ description: "may not be applied twice" }))
  }),
  Schema.Struct({ at: Millis, cancel: Schema.String })
])

const Policy = Schema.Struct({
  http: optional(Schema.Boolean.annotate({ description: "the calls are HTTP requests" })),
  retry: optional(Schema.Struct({
    retries: Schema.Int,
    base: optional(Schema.Finite),
    factor: optional(Schema.Finite),
    cap: optional(Schema.Finite),
    jitter: optional(Schema.Literals(["none", "full", "own"]).annotate({ description: "own: what the library has" })),
    delays: optional(Schema.Array(Schema.Finite)),
    total: optional(Schema.Finite.annotate({ description: "no attempt starts later" }))
  })),
  budget: optional(Schema.Union([
    Schema.Struct({ ratio: Schema.Finite, minPerSecond: Schema.Finite, burst: Schema.Finite }),
    Schema.Struct({ retryThrottling: Schema.Struct({ maxTokens: Schema.Finite, tokenRatio: Schema.Finite }) }),
    Schema.Struct({ quota: Schema.Struct({ capacity: Schema.Finite, cost: Schema.Finite }) }),
    Schema.Struct({ inFlight: Schema.Struct({ ratio: Schema.Finite, min: Schema.Finite }) }),
    Schema.Struct({
      expiring: Schema.Struct({ ratio: Schema.Finite, minPerSecond: Schema.Finite, ttl: Schema.Finite })
    })
  ])),
  breaker: optional(Schema.Struct({
    consecutive: optional(Schema.Int),
    rate: optional(Schema.Struct({ threshold: Schema.Finite, size: Schema.Int, minimum: Schema.Int })),
    rateWithin: optional(Schema.Struct({ threshold: Schema.Finite, within: Schema.Finite, minimum: Schema.Int })),
    slow: optional(Schema.Struct({ after: Schema.Finite, threshold: Schema.Finite, size: Schema.Int })),
    open: Schema.Finite,
    growth: optional(Schema.Finite.annotate({ description: "each opening in a row lasts so many times as long" })),
    probes: optional(Schema.Int)
  })),
  bulkhead: optional(
    Schema.Struct({ permits: Schema.Int, queue: optional(Schema.Int), fair: optional(Schema.Boolean) })
  ),
  rate: optional(Schema.Struct({ limit: Schema.Int, window: Schema.Finite, burst: Schema.Int })),
  hedge: optional(Schema.Struct({ after: Schema.Finite, most: Schema.Int, share: optional(Schema.Finite) })),
  timeout: optional(Schema.Finite)
})

const Ending = Schema.Literals(["value", "failure", "rejected", "timeout", "cancelled", "bug"])

const OfCall = Schema.Struct({
  attempts: optional(Schema.Array(Range).annotate({ description: "when each of them starts; there are no others" })),
  waits: optional(
    Schema.Array(Range).annotate({ description: "from the end of one to the start of the next; there are no others" })
  ),
  everyWait: optional(Range),
  count: optional(Range.annotate({ description: "how many attempts" })),
  ends: optional(Schema.Union([Ending, Schema.Literal("never")])),
  endsAt: optional(Range),
  winner: optional(Schema.Int.annotate({ description: "the attempt whose value it is" })),
  cancelled: optional(
    Schema.Array(Schema.Int).annotate({ description: "the attempts whose work learned that it is cancelled" })
  )
})

const OfGroup = Schema.Struct({
  attempts: optional(Range),
  endings: optional(Schema.Record(Schema.String, Range)),
  together: optional(Schema.Int.annotate({ description: "at most so many attempts at once" })),
  inAny: optional(Schema.Struct({ millis: Schema.Finite, most: Schema.Int }))
})

const Expectation = Schema.Struct({
  calls: optional(Schema.Record(Schema.String, OfCall)),
  groups: optional(Schema.Record(Schema.String, OfGroup)),
  order: optional(
    Schema.Array(Schema.String).annotate({ description: "the calls in the order of their first attempts" })
  ),
  states: optional(Schema.Array(Schema.Struct({ at: Millis, is: Schema.Literals(["closed", "open", "half-open"]) }))),
  spread: optional(
    Schema.Finite.annotate({ description: "the share of its range that each wait covers, over all runs" })
  )
})

const Scenario = Schema.Struct({
  id: Schema.String,
  promise: Schema.String,
  sources: Schema.Array(Schema.Struct({ name: Schema.String, url: Schema.String, says: Schema.String })),
  policy: Policy,
  script: Schema.Array(Event),
  until: Millis,
  runs: optional(Schema.Int.annotate({ description: "how often, each with another seed" })),
  expect: Expectation
})

const File = Schema.Struct({ $schema: Schema.Literal("./schema.json"), scenarios: Schema.Array(Scenario) })

export type Scenario = typeof Scenario.Type
export type Policy = typeof Policy.Type
export type Event = typeof Event.Type
export type Plan = typeof Attempt.Type
export type Outcome = typeof Outcome.Type
export type Ending = typeof Ending.Type
export type Expectation = typeof Expectation.Type

/** The clock of every scenario begins here, never at 0. */
export const epoch = Date.UTC(2026, 0, 1)

/** The JSON Schema of the files, which `scenarios/schema.json` is. */
export const jsonSchema = (): unknown => {
  const { definitions, schema } = Schema.toJsonSchemaDocument(File, { onExcessProperty: "error" })
  return { $schema: "https://json-schema.org/draft/2020-12/schema", ...schema, $defs: definitions }
}

const decode = Schema.decodeUnknownSync(File, { onExcessProperty: "error" })

/** All scenarios, in the order of their files. */
export const all = (): ReadonlyArray<Scenario> =>
  readdirSync(fileURLToPath(folder)).filter((name) => name !== "schema.json").toSorted().flatMap((name) =>
    decode(JSON.parse(readFileSync(new URL(name, folder), "utf8"))).scenarios
  )
