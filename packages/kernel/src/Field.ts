/**
 * The options of a policy as data: how each is written, its default, and what it must be.
 *
 * **Why**
 *
 * An option is checked where it is made, decoded from JSON, encoded, described and counted in a table of defaults. Each module
 * says what its options are once, in fields; everything else reads those.
 *
 * **Details**
 *
 * - `read` turns an option, as code or JSON has it, into the value that a policy works with. It throws `RangeError` with the
 *   path of an option that makes no sense.
 * - `shape` is what tools walk: `FieldCodec` builds a schema from it. No module that only checks its options loads `Schema`.
 * - In code the types say which options there are, so `read` says only which one does not exist. `FieldCodec.decode`, which has no
 *   types before it, says what was meant and which there are.
 * - A value is written the same way in code and in JSON. A `Duration` is written as milliseconds or text, a function by its
 *   name.
 * - A choice between variants is written as an object with one key, `{ rate: { threshold: 0.5 } }`, or as the name alone where
 *   the variant needs no options.
 *
 * **Example** (The options of a limit)
 *
 * ```ts import.meta.vitest
 * import * as Field from "@effect-resilience/kernel/Field"
 * import { Duration } from "effect"
 *
 * interface Options {
 *   readonly permits: number
 *   readonly wait?: Duration.Input | undefined
 * }
 *
 * const fields = {
 *   permits: Field.integer({ min: 1 }),
 *   wait: Field.withDefault(Field.duration(), "1 second")
 * } satisfies Field.Fields<Options>
 *
 * const { permits, wait } = Field.read("Limit", fields, { permits: 3 })
 * permits // => 3
 * Duration.format(wait) // => "1s"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Argument from "./Argument.ts"
import { unknownOptions } from "./internal/unknownOptions.ts"

/**
 * One option: `Input` is what code or JSON writes, `Output` what the policy works with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Field<in Input, out Output> {
  /** Reads what was written. `path` names it in errors. Throws `RangeError`. */
  readonly read: (input: Input, path: string) => Output
  /** What a value looks like, for forms, schemas and codecs. */
  readonly shape: Shape
  /** Whether the option may be left out. */
  readonly optional: boolean
  /** What is read where it is left out, if that is not nothing. */
  readonly default?: unknown
}

/**
 * A field of any type.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyField = Field<never, unknown>

/**
 * What a value looks like, for tools.
 *
 * - `integer`, `infinite`: whether only whole numbers are allowed, and whether `Infinity` is.
 * - `bounds`: the least and the greatest value; of a duration in milliseconds.
 * - `values`: the texts that are allowed.
 * - `fields`: the fields of an object, by name.
 * - `elsewhere`: what an option that is not among them means; absent if it is an error.
 * - `value`: the field that each value of a record is.
 * - `item`: the field of a single value and of each in a list. `orNone`: whether the list may be empty; absent is not.
 * - `variants`: the fields of which a value names one, by name.
 * - `first`, `second`: the fields of which `isFirst` chooses one by the written value.
 *
 * @category models
 * @since 0.1.0
 */
export type Shape =
  | { readonly _tag: "Number"; readonly integer: boolean; readonly infinite: boolean; readonly bounds: Bounds }
  | { readonly _tag: "Duration"; readonly bounds: Bounds }
  | { readonly _tag: "Boolean" }
  | { readonly _tag: "Text" }
  | { readonly _tag: "Literals"; readonly values: ReadonlyArray<string> }
  | { readonly _tag: "Function" }
  | { readonly _tag: "Struct"; readonly fields: Record; readonly elsewhere?: Elsewhere | undefined }
  | { readonly _tag: "Record"; readonly value: AnyField }
  | { readonly _tag: "OneOrMore"; readonly item: AnyField; readonly orNone?: boolean | undefined }
  | { readonly _tag: "Variants"; readonly variants: Record }
  | { readonly _tag: "Either"; readonly first: AnyField; readonly second: AnyField; readonly isFirst: Is }

/**
 * Fields by the names of their options.
 *
 * @category models
 * @since 0.1.0
 */
export interface Record {
  readonly [name: string]: AnyField
}

type Is = (value: unknown) => boolean

/**
 * Options that are written in another place than one might think, with that place, for errors:
 * `{ deadline: "timeouts.total" }`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Elsewhere {
  readonly [name: string]: string
}

/**
 * The fields of an interface of options, one for each.
 *
 * @category models
 * @since 0.1.0
 */
export type Fields<Options> = { readonly [K in keyof Options]-?: Field<Options[K], unknown> }

/**
 * What a field is written as.
 *
 * @category models
 * @since 0.1.0
 */
export type Input<F extends AnyField> = Parameters<F["read"]>[0]

/**
 * How a group of options is written: those that have no default are required.
 *
 * @category models
 * @since 0.1.0
 */
export type Written<F extends Record> =
  & { readonly [K in keyof F as undefined extends Input<F[K]> ? never : K]: Input<F[K]> }
  & { readonly [K in keyof F as undefined extends Input<F[K]> ? K : never]?: Input<F[K]> }

/**
 * What a field is read as.
 *
 * @category models
 * @since 0.1.0
 */
export type Output<F extends AnyField> = ReturnType<F["read"]>

/**
 * What `read` makes of options.
 *
 * @category models
 * @since 0.1.0
 */
export type Settings<F extends Record> = { readonly [K in keyof F]: Output<F[K]> }

/**
 * What is written for a choice between variants: `{ rate: { size: 20 } }`, or `"full"` for one that needs no options.
 *
 * @category models
 * @since 0.1.0
 */
export type OneOf<Variants extends Record> = {
  [K in keyof Variants]:
    | One<K, Exclude<Input<Variants[K]>, undefined>, keyof Variants>
    | NameAlone<K, Input<Variants[K]>>
}[keyof Variants]

type One<Name extends PropertyKey, Options, All extends PropertyKey> =
  & { readonly [_ in Name]: Options }
  & { readonly [_ in Exclude<All, Name>]?: never }

type NameAlone<Name, Options> = undefined extends Options ? Name : never

/**
 * Reads the options of a module. An option that does not exist is an error: a limit with a typo in its name is no limit.
 *
 * @category reading
 * @since 0.1.0
 */
export const read = <F extends Record>(
  name: string,
  fields: F,
  options: Written<F>
): Settings<F> => struct(fields).read(options, name)

// As `Argument` has it, for what was written: it may be missing, or an object.
function requireArgument(
  sensible: boolean,
  path: string,
  rule: string,
  written: unknown
): asserts sensible {
  if (sensible) return
  if (written === undefined) throw new RangeError(`${path} is missing. It must be ${rule}`)
  const json = typeof written === "string" || (typeof written === "object" && !Duration.isDuration(written))
  const value = json ? JSON.stringify(written) : String(written)
  Argument.requireArgument(false, path, rule, value)
}

/**
 * The bounds of a number: `min` and `max` are included, `above` and `below` are not. `infinite` allows `Infinity`, which JSON
 * writes as `null`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bounds {
  readonly min?: number | undefined
  readonly max?: number | undefined
  readonly above?: number | undefined
  readonly below?: number | undefined
  readonly infinite?: boolean | undefined
}

/**
 * A number.
 *
 * @category constructors
 * @since 0.1.0
 */
export const number = (bounds: Bounds = {}): Field<number, number> => numeric(bounds, false)

/**
 * An integer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const integer = (bounds: Bounds = {}): Field<number, number> => numeric(bounds, true)

const numeric = (bounds: Bounds, integer: boolean): Field<number, number> => {
  const { infinite = false } = bounds
  const rule = `${integer ? "an integer" : "a number"}${rangeOf(bounds)}${infinite ? " or Infinity" : ""}`
  return leaf({ _tag: "Number", integer, infinite, bounds }, rule, (input) => {
    const value = infinite && input === null ? Infinity : input
    const fits = integer ? Number.isInteger(value) : Number.isFinite(value)
    return (fits || (infinite && value === Infinity)) && isInside(value, bounds) ? value : undefined
  })
}

// Nothing is less or more than NaN: a bound that is not given rejects nothing.
const isInside = (
  value: number,
  { above = Number.NaN, below = Number.NaN, max = Number.NaN, min = Number.NaN }: Bounds
): boolean => !(value < min || value > max || value <= above || value >= below)

const rangeOf = ({ above, below, max, min }: Bounds): string => {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`
  return Object.entries({ "of at least": min, "of at most": max, above, below })
    .flatMap(([words, bound]) => bound === undefined ? [] : ` ${words} ${bound}`)
    .join(" and")
}

/**
 * A duration, in milliseconds where it is a number. `min` and `above` are its bounds; `finite` rejects `Duration.infinity`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const duration = (
  { above, finite = false, min = above === undefined ? 0 : undefined }: {
    readonly min?: number | undefined
    readonly above?: number | undefined
    readonly finite?: boolean | undefined
  } = {}
): Field<Duration.Input, Duration.Duration> => {
  const bounds = { min, above, below: finite ? Infinity : undefined }
  const rule = `a ${finite ? "finite " : ""}duration${rangeOf({ min, above })} millis, such as "2 seconds"`
  return leaf({ _tag: "Duration", bounds }, rule, (input) => {
    const duration = durationOf(input)
    return duration !== undefined && isInside(Duration.toMillis(duration), bounds) ? duration : undefined
  })
}

// As code gives it, or as `JSON.parse` returns one that `JSON.stringify` wrote: its `_tag` is `Millis`, `Nanos` or `Infinity`.
const durationOf = (input: unknown): Duration.Duration | undefined => {
  const json: DurationJson = Predicate.hasProperty(input, "_id") ? input : { millis: input }
  const { _tag, millis = _tag, nanos } = json
  // `Duration` reads what is not a number as zero, and so an object with a typo in its only option.
  if (Number.isNaN(millis) || (isParts(millis) && !isSensible(millis))) return undefined
  try {
    return Duration.fromInputUnsafe((nanos === undefined ? millis : BigInt(String(nanos))) as Duration.Input)
  } catch {
    return undefined
  }
}

// The parts of a duration, by their units or as seconds and nanoseconds.
const isParts = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Duration.isDuration(value)

const isSensible = (parts: object): boolean => {
  const written = Object.entries<unknown>({ ...parts }).filter(([, amount]) => amount !== undefined)
  return written.length > 0 &&
    written.every(([unit, amount]) => units.test(unit) && typeof amount === "number" && !Number.isNaN(amount))
}

/**
 * Whether something is written as a duration rather than as an object of options, for `either`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isDuration = (value: unknown): boolean =>
  !Predicate.isObject(value) || Duration.isDuration(value) ||
  Object.keys(value).some((name) => name === "_id" || units.test(name))

const units = /^(\d|weeks|days|hours|minutes|(milli|micro|nano)?seconds)$/

interface DurationJson {
  readonly _id?: unknown
  readonly _tag?: unknown
  readonly millis?: unknown
  readonly nanos?: unknown
}

/**
 * `true` or `false`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const boolean: Field<boolean, boolean> = /* @__PURE__ */ leaf(
  { _tag: "Boolean" },
  "true or false",
  (input) => typeof input === "boolean" ? input : undefined
)

/**
 * A text that is not empty.
 *
 * @category constructors
 * @since 0.1.0
 */
export const text: Field<string, string> = /* @__PURE__ */ leaf(
  { _tag: "Text" },
  "a non-empty text",
  (input) => typeof input === "string" && input !== "" ? input : undefined
)

/**
 * One of some texts.
 *
 * @category constructors
 * @since 0.1.0
 */
export const literals = <const Values extends ReadonlyArray<string>>(
  ...values: Values
): Field<Values[number], Values[number]> =>
  leaf(
    { _tag: "Literals", values },
    `one of ${values.join(", ")}`,
    (input) => values.includes(input) ? input : undefined
  )

/**
 * A function. JSON writes its name, which `decode` looks up in a table.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fn = <F extends (...args: never) => unknown>(): Field<F, F> =>
  leaf({ _tag: "Function" }, "a function", (input) => typeof input === "function" ? input : undefined)

/**
 * Options within options.
 *
 * @category constructors
 * @since 0.1.0
 */
export const struct = <F extends Record>(
  fields: F,
  elsewhere?: Elsewhere
): Field<Written<F>, Settings<F>> =>
  make({ _tag: "Struct", fields, elsewhere }, (options: { readonly [name: string]: unknown }, path) => {
    requireArgument(Predicate.isObject(options), path, "an object of options", options)
    const [unknown] = unknownOptions(options, Object.keys(fields))
    if (unknown !== undefined) throw new RangeError(`${path} has no option ${unknown}`)
    return mapValues(fields, (field, name) => field.read(options[name] as never, `${path}.${name}`)) as Settings<F>
  })

/**
 * Values by names that are not known before.
 *
 * @category constructors
 * @since 0.1.0
 */
export const record = <In, Out>(
  value: Field<In, Out>
): Field<{ readonly [name: string]: In }, { readonly [name: string]: Out }> =>
  make({ _tag: "Record", value }, (input, path) => {
    requireArgument(Predicate.isObject(input), path, "an object", input)
    return mapValues(input, (item, name) => value.read(item, `${path}.${name}`))
  })

/**
 * One value, or a list of at least one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const oneOrMore = <In, Out>(item: Field<In, Out>): Field<In | ReadonlyArray<In>, ReadonlyArray<Out>> =>
  make({ _tag: "OneOrMore", item }, (input, path) => {
    const items: ReadonlyArray<In> = Array.isArray(input) ? input : [input as In]
    requireArgument(items.length > 0, path, "a list of at least one", input)
    return items.map((value, index) => item.read(value, items.length === 1 ? path : `${path}[${index}]`))
  })

/**
 * One, several in a list, or none: an empty list.
 *
 * @category constructors
 * @since 0.1.0
 */
export const oneOrMoreOrNone = <In, Out>(item: Field<In, Out>): Field<In | ReadonlyArray<In>, ReadonlyArray<Out>> => {
  const some = oneOrMore(item)
  return make(
    { _tag: "OneOrMore", item, orNone: true },
    (input, path) => Array.isArray(input) && input.length === 0 ? [] : some.read(input, path)
  )
}

/**
 * A choice between variants, each with its options.
 *
 * @category constructors
 * @since 0.1.0
 */
export const variants = <V extends Record>(table: V): Field<OneOf<V>, Output<V[keyof V]>> =>
  make({ _tag: "Variants", variants: table }, (input: unknown, path) => {
    const written: ReadonlyArray<[string, unknown?]> = typeof input === "string"
      ? [[input]]
      : Object.entries(input ?? {})
    const [name, options] = written[0] ?? [""]
    const variant = written.length === 1 && Object.hasOwn(table, name) ? table[name] : undefined
    const number = written.length > 1 ? "only one" : "one"
    requireArgument(variant !== undefined, path, `${number} of ${Object.keys(table).join(", ")}`, input)
    return variant.read(options as never, `${path}.${name}`) as Output<V[keyof V]>
  })

/**
 * A variant of a choice: the field of its options, and the function that writes it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Variant<Name extends string, In, out Out> extends Field<In, Out> {
  (...options: undefined extends In ? [options?: In] : [options: In]): { readonly [_ in Name]: Exclude<In, undefined> }
}

/**
 * Makes a variant, which checks its options where it is written: `rate({ size: 20 })` is `{ rate: { size: 20 } }`. `module`
 * begins the path in errors.
 *
 * @category constructors
 * @since 0.1.0
 */
export const variant = <Name extends string, In, Out>(
  module: string,
  name: Name,
  field: Field<In, Out>
): Variant<Name, In, Out> => {
  const write = (options: In) => {
    field.read(options, `${module}.${name}`)
    return { [name]: options ?? {} }
  }
  return Object.assign(write, field) as Variant<Name, In, Out>
}

/**
 * The first field where `isFirst` says so, else the second.
 *
 * @category constructors
 * @since 0.1.0
 */
export const either = <In1, Out1, In2, Out2>(
  isFirst: (value: unknown) => boolean,
  first: Field<In1, Out1>,
  second: Field<In2, Out2>
): Field<In1 | In2, Out1 | Out2> =>
  make(
    { _tag: "Either", first, second, isFirst },
    (input: unknown, path) => isFirst(input) ? first.read(input as In1, path) : second.read(input as In2, path)
  )

/**
 * The names that an object of a shape may have.
 *
 * @category accessors
 * @since 0.1.0
 */
export const namesOf = (shape: Shape): ReadonlyArray<string> => {
  switch (shape._tag) {
    case "Struct":
      return Object.keys(shape.fields)
    case "Variants":
      return Object.keys(shape.variants)
    case "Either":
      return [...namesOf(shape.second.shape), ...namesOf(shape.first.shape)]
    default:
      return []
  }
}

/**
 * A field that may be left out.
 *
 * @category combinators
 * @since 0.1.0
 */
export const optional = <In, Out>(self: Field<In, Out>): Field<In | undefined, Out | undefined> => ({
  ...self,
  optional: true,
  read: (input, path) => input === undefined ? undefined : self.read(input, path)
})

/**
 * A field that has a value where it is left out.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withDefault = <In, Out>(self: Field<In, Out>, value: NoInfer<In>): Field<In | undefined, Out> => ({
  ...self,
  optional: true,
  default: value,
  read: (input, path) => self.read(input === undefined ? value : input, path)
})

/**
 * The option `name` of policies, `"default"` where it is left out.
 *
 * @category fields
 * @since 0.1.0
 */
export const name: Field<string | undefined, string> = /* @__PURE__ */ withDefault(text, "default")

/**
 * Makes something else of what was read. `f` may check what fields have to do with each other, with `requireArgument`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const map = <In, Out, Out2>(
  self: Field<In, Out>,
  f: (value: Out, path: string) => Out2
): Field<In, Out2> => ({
  ...self,
  read: (input, path) => f(self.read(input, path), path)
})

const mapValues = <A, B>(record: { readonly [name: string]: A }, f: (value: A, name: string) => B) =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, f(value, name)]))

// Hoisted, since constants above need them.

function make<In, Out>(shape: Shape, read: (input: In, path: string) => Out): Field<In, Out> {
  return { shape, read, optional: false }
}

// A value without parts. `parse` returns `undefined` where it breaks the rule.
function leaf<In, Out>(
  shape: Shape,
  rule: string,
  parse: (input: In) => Out | undefined
): Field<In, Out> {
  return make(shape, (input, path) => {
    const output = parse(input)
    requireArgument(output !== undefined, path, rule, input)
    return output
  })
}
