/**
 * Pipelines from JSON and back.
 *
 * **Details**
 *
 * Every part is left out or named with its options; those are the options of the part's own `make`, with the defaults that
 * it has. JSON has the same form as code has. Times are milliseconds or texts such as `"2 seconds"`; a function is written by
 * its name in the table that `decode` and `encode` take. A part or option that does not exist is an error, since a limit with
 * a typo in its name is no limit; so is a value that `Pipeline.make` would throw at.
 *
 * In a module of its own, so that a pipeline written in code loads no `Schema`.
 *
 * **Example** (Reading one from a file)
 *
 * ```ts import.meta.vitest
 * import { LibraryErrors } from "@effect-resilience/errors"
 * import { Pipeline, PipelineDescription } from "@effect-resilience/pipeline"
 * import { Effect } from "effect"
 *
 * const text = `{ "name": "ledger", "deadline": "10 seconds", "circuitBreaker": { "tripPolicy": { "consecutive": 5 } } }`
 *
 * const program = Effect.gen(function*() {
 *   const description = yield* PipelineDescription.decode(JSON.parse(text))
 *   const ledger = yield* Pipeline.make(description, { classify: LibraryErrors.classify })
 *   return (yield* ledger.describe).split("\n")
 * })
 *
 * const [name, deadline, breaker, call] = await Effect.runPromise(program)
 * name // => "ledger"
 * deadline // => "  deadline        10 seconds"
 * breaker // => "  circuitBreaker  tripPolicy (consecutive 5)"
 * call // => "  the call"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as description from "./internal/description.ts"
import type * as Part from "./Part.ts"
import * as Pipeline from "./Pipeline.ts"

/**
 * What JSON may name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<P extends Part.Table> {
  /** Default `Pipeline.parts`. */
  readonly parts: P
  /** The functions of options, by name; default none. */
  readonly functions?: FieldCodec.Functions | undefined
}

/**
 * The schema of the JSON of a description, for a JSON Schema or a larger configuration. The order of its fields is that of the
 * table of parts.
 *
 * @category schemas
 * @since 0.1.0
 */
export const schema = (options: Options<Part.Table> = { parts: Pipeline.parts }): Schema.Codec<unknown> =>
  FieldCodec.schema(description.field(options.parts), options.functions)

/**
 * Reads a description. The error tells all that is wrong at once.
 *
 * @category decoding
 * @since 0.1.0
 */
export function decode<P extends Part.Table>(
  input: unknown,
  options: Options<P>
): Effect.Effect<Pipeline.DescriptionOf<P>, Schema.SchemaError>
export function decode(
  input: unknown,
  options?: Partial<Options<Pipeline.Parts>>
): Effect.Effect<Pipeline.Description, Schema.SchemaError>
export function decode(
  input: unknown,
  options: Partial<Options<Part.Table>> = {}
): Effect.Effect<Part.Description, Schema.SchemaError> {
  return FieldCodec.decode(fieldOf(options.parts), input, options.functions, "Pipeline")
}

/**
 * Reads the descriptions of several pipelines, for `PipelineRegistry`. Each name may occur once.
 *
 * @category decoding
 * @since 0.1.0
 */
export function decodeAll<P extends Part.Table>(
  input: unknown,
  options: Options<P>
): Effect.Effect<ReadonlyArray<Pipeline.DescriptionOf<P>>, Schema.SchemaError>
export function decodeAll(
  input: unknown,
  options?: Partial<Options<Pipeline.Parts>>
): Effect.Effect<ReadonlyArray<Pipeline.Description>, Schema.SchemaError>
export function decodeAll(
  input: unknown,
  { functions = {}, parts }: Partial<Options<Part.Table>> = {}
): Effect.Effect<ReadonlyArray<Part.Description>, Schema.SchemaError> {
  const field = fieldOf(parts)
  const several = Schema.Array(FieldCodec.sensible(field, functions, "Pipeline")).check(
    Schema.makeFilter((descriptions) => {
      const twice = description.nameUsedTwice(descriptions as ReadonlyArray<Part.Description>)
      return twice === undefined ? undefined : `there are two pipelines named ${twice}`
    })
  )
  return Effect.map(
    Schema.decodeUnknownEffect(several, FieldCodec.strict)(input),
    (descriptions) => descriptions.map((json) => FieldCodec.revive(field, json, functions))
  )
}

/**
 * The slots of a pipeline with the options of their parts, outside in, a line each.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (
  input: Part.Description,
  { parts = Pipeline.parts }: Partial<Options<Part.Table>> = {}
): string => description.describe(input.name, description.lines(input, parts, []))

/**
 * Writes a description as JSON. Fails where it has a function that has no name in the table.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (
  description: Part.Description,
  options: Partial<Options<Part.Table>> = {}
): Effect.Effect<Schema.Json, FieldCodec.UnnamedFunction> =>
  FieldCodec.encode(fieldOf(options.parts), description, options.functions)

const fieldOf = (parts: Part.Table = Pipeline.parts) => description.field(parts)
