import type * as Field from "@effect-resilience/kernel/Field"
import { Outcome } from "@effect-resilience/limit"
import type { Part } from "@effect-resilience/pipeline"
import { Pipeline, PipelineDescription } from "@effect-resilience/pipeline"
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Random, Result, Schema } from "effect"

const functions = { of: Outcome.of, constructor: () => Outcome.success }

const oneOf = <A>(...values: ReadonlyArray<A>): Effect.Effect<A> =>
  Effect.map(
    Random.nextIntBetween(0, values.length - 1),
    (index) => values[index] ?? assert.fail("there are no values")
  )

const numbers = oneOf(0, 1, 2, 3, 5, 20, 0.1, 0.5, 1.5, Infinity)

const durations = oneOf<Duration.Input>(
  ...[0, 1, 300, Infinity, 5_000_000n, "Infinity", "5 micros", "10 nanos", "2 seconds", "1 minute", "1 week"] as const,
  Duration.seconds(3),
  Duration.nanos(1500n),
  Duration.infinity,
  { seconds: 3 },
  { minutes: 1, milliseconds: 5 },
  [3, 0]
)

/** Something that has the form of an option; it may make no sense. */
const written = (shape: Field.Shape): Effect.Effect<unknown> =>
  Effect.gen(function*() {
    switch (shape._tag) {
      case "Number":
        return yield* numbers
      case "Duration":
        return yield* durations
      case "Boolean":
        return yield* oneOf(true, false)
      case "Text":
        return yield* oneOf("ledger", "toString")
      case "Literals":
        return yield* oneOf(...shape.values)
      case "Function":
        return yield* oneOf(...Object.values(functions))
      case "Struct":
        return yield* struct(shape.fields)
      case "Record":
        return { constructor: yield* written(shape.value.shape), live: yield* written(shape.value.shape) }
      case "OneOrMore": {
        const item = written(shape.item.shape)
        return yield* oneOf(yield* item, [yield* item], [yield* item, yield* item])
      }
      case "Variants": {
        const [name, variant] = yield* oneOf(...Object.entries(shape.variants))
        return variant.optional && (yield* Random.nextBoolean) ? name : { [name]: yield* written(variant.shape) }
      }
      case "Either":
        return yield* oneOf(yield* written(shape.first.shape), yield* written(shape.second.shape))
    }
  })

/** Options that make sense; each may be left out that has a default. */
const struct = (fields: Field.Record) =>
  Effect.gen(function*() {
    const options: { [name: string]: unknown } = {}
    for (const [name, field] of Object.entries(fields)) {
      for (let tries = 0; tries < 20; tries++) {
        if (field.optional && (yield* Random.nextBoolean)) break
        const value = yield* written(field.shape)
        if (Result.isFailure(Result.try(() => field.read(value as never, name)))) continue
        options[name] = value
        break
      }
    }
    return options
  })

it.effect.prop(
  "a description means the same after a way through JSON, so that a reload keeps every part",
  { seed: Schema.Int },
  ({ seed }) =>
    Effect.gen(function*() {
      const table: Part.Table = Pipeline.parts
      const parts = Object.fromEntries(
        Object.entries(table).map(([key, { field }]) => [key, { ...field, optional: true }])
      )
      const description = { name: "ledger", ...yield* struct(parts) } as Pipeline.Description
      const json = yield* PipelineDescription.encode(description, { functions })
      const decoded = yield* PipelineDescription.decode(JSON.parse(JSON.stringify(json)), { functions })
      assert.deepStrictEqual(yield* PipelineDescription.encode(decoded, { functions }), json)
      const pipeline = yield* Pipeline.make<Pipeline.Description>(description)
      const before = yield* pipeline.policies
      yield* pipeline.reload(decoded)
      const after = yield* pipeline.policies
      assert.deepStrictEqual(Object.keys(after), Object.keys(before))
      for (const [key, policy] of Object.entries(after)) assert.strictEqual(policy, Reflect.get(before, key), key)
    }).pipe(Random.withSeed(seed)),
  { arbitrary: { runs: 300, seed: 15 } }
)
