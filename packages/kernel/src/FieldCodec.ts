/**
 * Options from JSON and back.
 *
 * **Details**
 *
 * JSON has the same form as code has, but for two things: a `Duration` is written as milliseconds or text (`"2 seconds"`), and
 * a function by its name in a table. A value that `Field.read` would throw at is an error of `decode`, which tells all that is
 * wrong at once.
 *
 * **Example** (Options with a function)
 *
 * ```ts import.meta.vitest
 * import * as Field from "@effect-resilience/kernel/Field"
 * import * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
 * import { Effect } from "effect"
 *
 * const options = Field.struct({ times: Field.integer({ min: 0 }), when: Field.fn<(error: unknown) => boolean>() })
 * const functions = { always: () => true }
 *
 * const decoded = await Effect.runPromise(FieldCodec.decode(options, { times: 3, when: "always" }, functions))
 * decoded.when === functions.always // => true
 * await Effect.runPromise(FieldCodec.encode(options, decoded, functions)) // => { times: 3, when: "always" }
 * ```
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaParser from "effect/SchemaParser"
import * as Field from "./Field.ts"
import { hint, noSuch } from "./Hint.ts"

/**
 * The functions that JSON may name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Functions {
  readonly [name: string]: (...args: never) => unknown
}

/**
 * A function has no name in the table, so JSON cannot say which one it is.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnnamedFunction extends Data.TaggedError("UnnamedFunction")<{
  readonly path: string
  readonly names: ReadonlyArray<string>
}> {
  override get message(): string {
    const names = this.names.length === 0
      ? "The table of functions is empty."
      : `The table has ${this.names.join(", ")}.`
    return `The function ${this.path} has no name in the table of functions. ${names} Add it there.`
  }
}

/**
 * The schema of the JSON that a field reads.
 *
 * @category schemas
 * @since 0.1.0
 */
export const schema = (field: Field.AnyField, functions: Functions = {}): Schema.Codec<unknown> =>
  structure(field.shape, functions)

/**
 * The schema of the JSON that makes sense to a field: what it lets through, `Field.read` takes.
 *
 * @category schemas
 * @since 0.1.0
 */
export const sensible = (field: Field.AnyField, functions: Functions = {}): Schema.Codec<unknown> =>
  Schema.declareConstructor<unknown>()(
    [],
    () => (input, _, options) =>
      SchemaParser.decodeUnknownEffect(structure(field.shape, functions, { input }))(input, options)
  ).check(
    Schema.makeFilter((value: unknown) => {
      const read = Result.try(() => field.read(revive(field, value, functions) as never, "options"))
      return Result.isSuccess(read) ? undefined : String(read.failure)
    })
  )

/**
 * Reads JSON as the options that code would write. An option that does not exist is an error.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = <F extends Field.AnyField>(
  field: F,
  input: unknown,
  functions: Functions = {}
): Effect.Effect<Field.Input<F>, Schema.SchemaError> =>
  Effect.map(
    Schema.decodeUnknownEffect(sensible(field, functions), strict)(input),
    (value) => revive(field, value, functions)
  )

/**
 * Puts functions in the place of their names, in JSON that `schema` lets through.
 *
 * @category decoding
 * @since 0.1.0
 */
export const revive = <F extends Field.AnyField>(field: F, json: unknown, functions: Functions): Field.Input<F> =>
  reviveShape(field.shape, json, functions) as Field.Input<F>

/**
 * How `decode` reads: all errors at once, one of them an option that does not exist.
 *
 * @category decoding
 * @since 0.1.0
 */
export const strict = { onExcessProperty: "error", errors: "all" } as const

/**
 * Writes options as JSON.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = <F extends Field.AnyField>(
  field: F,
  options: Field.Input<F>,
  functions: Functions = {}
): Effect.Effect<Schema.Json, UnnamedFunction> =>
  Effect.suspend(() => {
    const unnamed: Array<string> = []
    const json = write(field.shape, options, functions, "options", unnamed)
    const [path] = unnamed
    return path === undefined
      ? Effect.succeed(json)
      : Effect.fail(new UnnamedFunction({ path, names: Object.keys(functions) }))
  })

const timeMessage = { message: "Expected a duration: milliseconds, or a text such as \"2 seconds\"" }

// The texts that `Duration` reads.
const timeText = /^(-?\d+(\.\d+)?\s+(nano|micro|milli|second|minute|hour|day|week)s?|Infinity)$/

const time: Schema.Codec<unknown> = /* @__PURE__ */ Schema.Union([
  Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)),
  Schema.String.check(Schema.isPattern(timeText, timeMessage))
]).annotate(timeMessage)

/**
 * The schema of a shape. With an input it has of alternatives only the one that the input chooses, so that an error tells what is
 * wrong there, and not what is wrong with the others. `names` are those that an object may have.
 */
const structure = (
  shape: Field.Shape,
  functions: Functions,
  chosen?: { readonly input: unknown },
  names = Field.namesOf(shape)
): Schema.Codec<unknown> => {
  const input = chosen?.input
  const object = Predicate.isObject(input) ? { ...input } : undefined
  const of = ({ shape }: Field.AnyField) => structure(shape, functions)
  const within = ({ shape }: Field.AnyField, input: unknown) => structure(shape, functions, chosen && { input })
  switch (shape._tag) {
    case "Number": {
      const number = shape.integer ? Schema.Int : Schema.Finite
      return shape.infinite ? Schema.Union([number, Schema.Null]) : number
    }
    case "Duration":
      return time
    case "Boolean":
      return Schema.Boolean
    case "Text":
      return Schema.String
    case "Literals":
      return Schema.Literals(shape.values).annotate({ message: expectedOne(shape.values, input) })
    case "Function": {
      const names = Object.keys(functions)
      return Schema.Literals(names).annotate({
        message: `Expected the name of a function in the table${noSuch(String(input), names)}`
      })
    }
    case "Struct":
      return Schema.Struct({
        ...mapValues(shape.fields, (field, name) => {
          const inner = within(field, object?.[name])
          return field.optional ? Schema.optionalKey(inner) : inner
        }),
        ...unknownKeys(shape, object, names)
      })
    case "Record":
      return object === undefined
        ? Schema.Record(Schema.String, of(shape.value))
        : Schema.Struct(mapValues(object, (value) => within(shape.value, value)))
    case "OneOrMore":
      if (chosen === undefined) return Schema.Union([of(shape.item), Schema.Array(of(shape.item))])
      return Array.isArray(input)
        ? Schema.Tuple(input.map((item: unknown) => within(shape.item, item)))
        : within(shape.item, input)
    case "Variants": {
      const [name = "", ...others] = Object.keys(object ?? {})
      const variant = others.length === 0 && Object.hasOwn(shape.variants, name) ? shape.variants[name] : undefined
      if (variant !== undefined) return Schema.Struct({ [name]: within(variant, object?.[name]) })
      const alone = names.filter((name) => shape.variants[name]?.optional)
      return chosen === undefined
        ? Schema.Union([
          ...alone.map((name) => Schema.Literal(name)),
          ...Object.entries(shape.variants).map(([name, variant]) => Schema.Struct({ [name]: of(variant) }))
        ])
        : Schema.Literals(alone).annotate({ message: expectedOne(names, object ? name : input, others.length > 0) })
    }
    case "Either": {
      const { first, isFirst, second } = shape
      if (chosen === undefined) return Schema.Union([of(first), of(second)])
      if (isFirst(input)) return within(first, input)
      return structure(second.shape, functions, chosen, second.shape._tag === "Struct" ? names : undefined)
    }
  }
}

const expectedOne = (names: ReadonlyArray<string>, written: unknown, several = false): string => {
  const advice = typeof written === "string" && !several ? hint(written, names) : ""
  return `Expected ${several ? "only one" : "one"} of ${names.join(", ")}${advice}`
}

/** Fields that reject the names that an object does not have, each with what was meant. */
const unknownKeys = (
  { elsewhere, fields }: Field.Shape & { readonly _tag: "Struct" },
  object: object = {},
  names: ReadonlyArray<string>
): { readonly [name: string]: Schema.Codec<unknown> } =>
  Object.fromEntries(
    Object.keys(object).filter((name) => !Object.hasOwn(fields, name)).map((name) => [
      name,
      Schema.Never.annotate({ message: `No such option${noSuch(name, names, elsewhere)}` })
    ])
  )

const reviveShape = (shape: Field.Shape, value: unknown, functions: Functions): unknown => {
  if (shape._tag === "Function") return functions[String(value)]
  if (shape._tag === "Number" && value === null) return Infinity
  return walk(shape, value, "", (inner, innerValue) => reviveShape(inner, innerValue, functions))
}

const write = (
  shape: Field.Shape,
  value: unknown,
  functions: Functions,
  path: string,
  unnamed: Array<string>
): Schema.Json => {
  switch (shape._tag) {
    case "Function": {
      const name = Object.keys(functions).find((name) => functions[name] === value)
      if (name === undefined) unnamed.push(path)
      return name ?? null
    }
    case "Duration":
      return duration(value as Duration.Input)
    case "Number":
      return value === Infinity ? null : value as number
    default:
      return walk(
        shape,
        value,
        path,
        (inner, value, path) => write(inner, value, functions, path, unnamed)
      ) as Schema.Json
  }
}

const duration = (input: Duration.Input): number | string => {
  if (typeof input === "string") return input
  const millis = Duration.toMillis(input)
  return Number.isFinite(millis) ? millis : "Infinity"
}

type Visit = (shape: Field.Shape, value: unknown, path: string) => unknown

/** Does something to each value within a value. */
const walk = (shape: Field.Shape, value: unknown, path: string, visit: Visit): unknown => {
  switch (shape._tag) {
    case "Struct": {
      const { fields } = shape
      return Predicate.isObject(value)
        ? mapPresent(
          value,
          (inner, name) => {
            const field = Object.hasOwn(fields, name) ? fields[name] : undefined
            return field === undefined ? inner : visit(field.shape, inner, `${path}.${name}`)
          }
        )
        : value
    }
    case "Record": {
      const item = shape.value.shape
      return Predicate.isObject(value)
        ? mapPresent(value, (inner, name) => visit(item, inner, `${path}.${name}`))
        : value
    }
    case "OneOrMore":
      return Array.isArray(value)
        ? value.map((item: unknown, index) => visit(shape.item.shape, item, `${path}[${index}]`))
        : visit(shape.item.shape, value, path)
    case "Variants":
      return walk({ _tag: "Struct", fields: shape.variants }, value, path, visit)
    case "Either":
      return visit((shape.isFirst(value) ? shape.first : shape.second).shape, value, path)
    default:
      return value
  }
}

const mapPresent = (value: object, f: (value: unknown, name: string) => unknown) =>
  Object.fromEntries(
    Object.entries(value).filter(([, inner]) => inner !== undefined).map(([name, inner]) => [name, f(inner, name)])
  )

const mapValues = <A, B>(
  record: { readonly [name: string]: A },
  f: (value: A, name: string) => B
): { readonly [name: string]: B } =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, f(value, name)]))
