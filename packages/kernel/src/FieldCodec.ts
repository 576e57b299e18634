/**
 * Options from JSON and back.
 *
 * **Details**
 *
 * JSON has the same form as code has, but for two things: a `Duration` is written as milliseconds or text (`"2 seconds"`), and
 * a function by its name in a table. A value that `Field.read` would throw at is an error of `decode`, which tells all that is
 * wrong at once, and what was meant by a name that does not exist.
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
 * @stability stable
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ErrorMessage from "./ErrorMessage.ts"
import * as Field from "./Field.ts"
import { hint, noSuch } from "./Hint.ts"
import { unknownOptions } from "./internal/unknownOptions.ts"

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
export class UnnamedFunction extends ErrorMessage.TaggedError("UnnamedFunction")<{
  /** Where the function is in the options, such as `retry.when`. */
  readonly path: string
  /** The names that the table has. */
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
 * The schema of the JSON that a field reads, with its bounds and defaults, for a JSON Schema or a larger configuration. `functions`
 * has the names that functions may have; default any.
 *
 * @category schemas
 * @since 0.1.0
 */
export const schema = (field: Field.AnyField, functions?: Functions): Schema.Codec<unknown> =>
  structure(field, functions)

/**
 * The schema of the JSON that makes sense to a field: what it lets through, `Field.read` takes. `name` begins the paths in errors.
 *
 * @category schemas
 * @since 0.1.0
 */
export const sensible = (
  field: Field.AnyField,
  functions: Functions = {},
  name = "options"
): Schema.Codec<unknown> =>
  Schema.Unknown.check(
    Schema.makeFilter((value) => problems(field, value, functions, name, []))
  )

/**
 * Reads JSON as the options that code would write. An option that does not exist is an error, but for `$schema` at the top. `name` begins the paths in errors;
 * default `"options"`.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = <F extends Field.AnyField>(
  field: F,
  input: unknown,
  functions: Functions = {},
  name?: string
): Effect.Effect<Field.Input<F>, Schema.SchemaError> =>
  Effect.map(
    Schema.decodeUnknownEffect(sensible(field, functions, name), strict)(withoutSchema(input)),
    (value) => revive(field, value, functions)
  )

// By `$schema` an editor finds the schema of a file.
const withoutSchema = (input: unknown): unknown => {
  if (!Predicate.isObject(input) || !Object.hasOwn(input, "$schema")) return input
  const { $schema: _, ...options }: { readonly $schema?: unknown } = input
  return options
}

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

/** The texts that `Duration` reads. */
const time = "\\d+(\\.\\d+)?\\s+(nano|micro|milli|second|minute|hour|day|week)s?"

const textOf = ({ below, min = 0 }: Field.Bounds): RegExp =>
  new RegExp(`^(${min < 0 ? "-?" : ""}${time}${below === Infinity ? "" : "|Infinity"})$`, "u")

/** The schema of a field, for tools: its types, bounds, names and defaults. */
const structure = (field: Field.AnyField, functions: Functions | undefined): Schema.Codec<unknown> => {
  const schema = structureOf(field.shape, functions)
  return field.default === undefined ? schema : schema.annotate({ default: plain(field) })
}

const structureOf = (shape: Field.Shape, functions: Functions | undefined): Schema.Codec<unknown> => {
  const of = (field: Field.AnyField) => structure(field, functions)
  switch (shape._tag) {
    case "Number": {
      const number = bounded(shape.integer ? Schema.Int : Schema.Finite, shape.bounds)
      return shape.infinite ? Schema.Union([number, Schema.Null]) : number
    }
    case "Duration":
      return Schema.Union([
        bounded(Schema.Finite, shape.bounds),
        Schema.String.check(Schema.isPattern(textOf(shape.bounds)))
      ])
    case "Boolean":
      return Schema.Boolean
    case "Text":
      return Schema.NonEmptyString
    case "Literals":
      return Schema.Literals(shape.values)
    case "Function":
      return functions === undefined ? Schema.NonEmptyString : Schema.Literals(Object.keys(functions))
    case "Struct":
      return Object.keys(shape.fields).length === 0
        ? Schema.Record(Schema.String, Schema.Never)
        : Schema.Struct(mapValues(shape.fields, (field) => field.optional ? Schema.optionalKey(of(field)) : of(field)))
    case "Record":
      return Schema.Record(Schema.String, of(shape.value))
    case "OneOrMore": {
      const list = Schema.Array(of(shape.item))
      return Schema.Union([of(shape.item), shape.orNone === true ? list : list.check(Schema.isMinLength(1))])
    }
    case "Variants": {
      const entries = Object.entries(shape.variants)
      const alone = entries.filter(([, variant]) => variant.optional).map(([name]) => name)
      return Schema.Union([
        ...alone.length === 0 ? [] : [Schema.Literals(alone)],
        ...entries.map(([name, variant]) => Schema.Struct({ [name]: of(variant) }))
      ])
    }
    case "Either":
      return Schema.Union([of(shape.first), of(shape.second)])
  }
}

const bounded = (schema: Schema.Codec<number>, { above, below, max, min }: Field.Bounds): Schema.Codec<number> => {
  const checks = [
    min === undefined || min === -Infinity ? [] : [Schema.isGreaterThanOrEqualTo(min)],
    max === undefined ? [] : [Schema.isLessThanOrEqualTo(max)],
    above === undefined ? [] : [Schema.isGreaterThan(above)],
    below === undefined || below === Infinity ? [] : [Schema.isLessThan(below)]
  ].flat()
  return checks.reduce<Schema.Codec<number>>((bounded, check) => bounded.check(check), schema)
}

// As JSON has it; a function has no name here.
const plain = ({ default: value, shape }: Field.AnyField): Schema.Json => write(shape, value, {}, "", [])

type Path = ReadonlyArray<string | number>

interface Problem {
  readonly path: Path
  readonly issue: string
}

/** All that is wrong with JSON, each where it stands. `named` are the options of another alternative, which errors name too. */
const problems = (
  field: Field.AnyField,
  value: unknown,
  functions: Functions,
  name: string,
  path: Path,
  named: ReadonlyArray<string> = []
): ReadonlyArray<Problem> => {
  const { shape } = field
  const at = name + path.map((key) => typeof key === "number" ? `[${key}]` : `.${key}`).join("")
  const within = (inner: Field.AnyField, innerValue: unknown, ...keys: Path) =>
    problems(inner, innerValue, functions, name, [...path, ...keys])
  const inside = (): ReadonlyArray<Problem> => {
    switch (shape._tag) {
      case "Duration":
        return Predicate.isObjectOrArray(value)
          ? [{ path, issue: `${at} must be a duration: milliseconds, or a text such as "2 seconds"` }]
          : []
      case "Function": {
        const names = Object.keys(functions)
        const written = JSON.stringify(value)
        return typeof value === "string" && names.includes(value) ? [] : [{
          path,
          issue: `${at} must be the name of a function in the table, not ${written}${
            typeof value === "string" ? noSuch(value, names) : ""
          }`
        }]
      }
      case "Struct": {
        if (!Predicate.isObject(value)) return []
        const options: { readonly [name: string]: unknown } = { ...value }
        const names = [...Object.keys(shape.fields), ...named]
        return [
          ...unknownOptions(value, names).map((option) => ({
            path: [...path, option],
            issue: `${at} has no option ${option}${noSuch(option, names, shape.elsewhere)}`
          })),
          ...Object.entries(shape.fields).flatMap(([option, inner]) =>
            Object.hasOwn(options, option) || !inner.optional ? within(inner, options[option], option) : []
          )
        ]
      }
      case "Record":
        return Predicate.isObject(value)
          ? Object.entries(value).flatMap(([key, item]) => within(shape.value, item, key))
          : []
      case "OneOrMore":
        return Array.isArray(value)
          ? value.flatMap((item: unknown, index) => within(shape.item, item, index))
          : within(shape.item, value)
      case "Variants": {
        const [[variant = "", options] = [], ...others] = Predicate.isObject(value) ? Object.entries(value) : []
        const inner = Object.hasOwn(shape.variants, variant) ? shape.variants[variant] : undefined
        return inner === undefined || others.length > 0 ? [] : within(inner, options, variant)
      }
      case "Either":
        return shape.isFirst(value)
          ? within(shape.first, value)
          : problems(shape.second, value, functions, name, path, Field.namesOf(shape.first.shape))
      default:
        return []
    }
  }
  if (value === undefined && field.optional) return []
  const found = inside()
  if (found.length > 0) return found
  const read = Result.try(() => field.read(revive(field, value, functions) as never, at))
  return Result.isSuccess(read) ? [] : [{ path, issue: `${messageOf(read.failure)}${meant(shape, value)}` }]
}

// A name that is none of those that there are.
const meant = (shape: Field.Shape, value: unknown): string => {
  const names = shape._tag === "Literals" ? shape.values : shape._tag === "Variants" ? Object.keys(shape.variants) : []
  const [name, ...others] = typeof value === "string" ? [value] : Predicate.isObject(value) ? Object.keys(value) : []
  return name === undefined || others.length > 0 || names.includes(name) ? "" : hint(name, names)
}

// What a policy's own check throws is a RangeError too.
const messageOf = (error: unknown): string => error instanceof RangeError ? error.message : String(error)

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
