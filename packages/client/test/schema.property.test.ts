import { ClientDescription } from "@effect-resilience/client"
import clientSchema from "@effect-resilience/client/schema/client.json" with { type: "json" }
import { PipelineDescription } from "@effect-resilience/pipeline"
import pipelineSchema from "@effect-resilience/pipeline/schema/pipeline.json" with { type: "json" }
import { assert, describe, it } from "@effect/vitest"
import { Ajv2020 } from "ajv/dist/2020.js"
import { Effect, Predicate, Random, Schema } from "effect"

// Strict, so that a keyword that validators do not know is an error.
const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true })

const functions = { tokens: () => undefined }

const pipeline = {
  budget: { ratio: 0.2, minPerSecond: 1, burst: 5 },
  retry: {
    times: 3,
    backoff: { base: "100 millis", factor: 2, cap: "10 seconds", jitter: { proportional: 0.2 } },
    maxDuration: "Infinity",
    kinds: { throttled: { times: 1, backoff: { linear: { step: 500, jitter: "none" } } } }
  },
  circuitBreaker: {
    tripPolicy: [{ consecutive: 5 }, { slow: { slowerThan: "1 second", threshold: 0.5 } }],
    openDuration: { base: 100, cap: "1 minute" },
    ramp: { over: "1 minute" },
    mode: "automatic"
  },
  bulkhead: { permits: 10, queue: null, priorities: ["live", "batch"], discipline: { codel: { target: 5 } } },
  concurrencyLimit: { algorithm: { aimd: { max: 100 } } },
  hedge: { after: { percentile: 0.95 }, times: 1 },
  pacer: { limit: 10, window: "1 second" },
  throttle: { multiplier: 2 },
  spans: true,
  metrics: true
}

const descriptions = {
  client: {
    name: "ledger",
    baseUrl: ["https://a.example.com", { address: "https://b.example.com", weight: 2 }],
    endpoints: { load: { peakEwma: { decay: "10 seconds" } }, ejection: { consecutive: 5 }, panicThreshold: 0.5 },
    pipeline,
    timeouts: { total: "5 seconds", attempt: 500, connect: "1 second", firstByte: 400, idle: "Infinity" },
    idempotency: { methods: "POST", key: true },
    redirects: { limit: 3, origins: ["https://files.example.com"] },
    body: "json",
    headers: { accept: "application/json" },
    origins: "https://files.example.com",
    propagation: { deadline: true, trace: false },
    accessLog: { attempts: false },
    telemetry: { calls: true, attempts: false },
    redaction: { headers: ["x-tenant"], query: "page" },
    auth: "tokens",
    operations: {
      "read order": { endpoint: "GET /orders/{id}", idempotent: true, timeouts: { total: 100 }, without: ["hedge"] },
      upload: { appliedWhenWhole: true, idempotencyKey: false, body: "whole", pipeline: { retry: { times: 1 } } }
    }
  },
  pipeline: { name: "ledger", deadline: "10 seconds", attemptTimeout: 500, ...pipeline }
}

const decoders = {
  client: (json: unknown) => ClientDescription.decode(json, functions),
  pipeline: (json: unknown) => PipelineDescription.decode(json, { functions })
}

const validators = { client: ajv.compile(clientSchema), pipeline: ajv.compile(pipelineSchema) }

// What a JSON Schema has no words for.
const beyond = new RegExp([
  "URL without user info",
  "an origin, such as",
  "must be one of GET, POST",
  "a method and a path",
  "header",
  "name of a function",
  "at least (the base|duration|the cost)",
  "each address once",
  "in its pipeline and in without",
  "duration above 0 millis, not \"0"
].join("|"))

const values = [null, "", "x", -1, 0, 0.5, 1e9, true, [], {}, { x: 1 }, ["x"], "2 seconds"]

const oneOf = <A>(items: ReadonlyArray<A>): Effect.Effect<A> =>
  Effect.map(Random.nextIntBetween(0, items.length - 1), (i) => items[i] as A)

/** Changes one thing somewhere. */
const changed = (json: unknown): Effect.Effect<unknown> =>
  Effect.gen(function*() {
    const stop = (yield* Random.nextIntBetween(0, 3)) === 0
    if (Array.isArray(json) && json.length > 0 && !stop) {
      const at = yield* Random.nextIntBetween(0, json.length - 1)
      const inner = yield* changed(json[at])
      return json.map((item: unknown, i) => i === at ? inner : item)
    }
    if (!Predicate.isObject(json) || Object.keys(json).length === 0) return yield* oneOf<unknown>(values)
    const entries = Object.entries<unknown>({ ...json })
    const [key, value] = yield* oneOf(entries)
    const others = entries.filter(([name]) => name !== key)
    if (!stop) return Object.fromEntries([...others, [key, yield* changed(value)]])
    const kind = yield* oneOf(["left out", "misspelt", "replaced", "added"] as const)
    switch (kind) {
      case "left out":
        return Object.fromEntries(others)
      case "misspelt":
        return Object.fromEntries([...others, [`${key}x`, value]])
      case "replaced":
        return Object.fromEntries([...others, [key, yield* oneOf<unknown>(values)]])
      case "added":
        return { ...json, unknown: 1 }
    }
  })

for (const kind of ["client", "pipeline"] as const) {
  const validate = validators[kind]
  const decode = decoders[kind]

  describe(`the JSON Schema of a ${kind}`, () => {
    it.effect("takes a description that has everything", () =>
      Effect.gen(function*() {
        yield* decode(descriptions[kind])
        assert.isTrue(validate(descriptions[kind]), JSON.stringify(validate.errors))
        assert.isTrue(validate({ $schema: "client.json", ...descriptions[kind] }))
      }))

    it.effect.prop(
      "takes what decode takes, and rejects what decode rejects",
      { seed: Schema.Int },
      ({ seed }) =>
        Effect.gen(function*() {
          const json = yield* changed(descriptions[kind])
          const decoded = yield* Effect.result(decode(json))
          const valid = validate(json)
          const text = JSON.stringify(json)
          if (decoded._tag === "Success") assert.isTrue(valid, `${JSON.stringify(validate.errors)}: ${text}`)
          else if (!beyond.test(decoded.failure.message)) assert.isFalse(valid, `${decoded.failure.message}: ${text}`)
        }).pipe(Random.withSeed(seed)),
      { arbitrary: { runs: 400, seed: 17 } }
    )
  })
}

describe("the JSON Schemas", () => {
  it("have no place for a key that does not exist, and tell of each that does", () => {
    let structs = 0
    const walk = (schema: unknown): void => {
      if (Array.isArray(schema)) return schema.forEach(walk)
      if (!Predicate.isObject(schema)) return
      const { additionalProperties, properties }: { additionalProperties?: unknown; properties?: unknown } = schema
      if (Predicate.isObject(properties)) {
        structs++
        assert.isFalse(additionalProperties, JSON.stringify(Object.keys(properties)))
        for (const [name, option] of Object.entries<unknown>({ ...properties })) {
          if (name !== "$schema") assert.isTrue(Predicate.hasProperty(option, "description"), name)
        }
      }
      Object.values<unknown>({ ...schema }).forEach(walk)
    }
    walk([clientSchema, pipelineSchema])
    assert.isAbove(structs, 50)
  })
})
