import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import * as Equal from "effect/Equal"
import * as Predicate from "effect/Predicate"
import type { Around, Description, Table } from "../Part.ts"
import * as Slot from "../Slot.ts"

/** The field of a whole description. */
export const field = (parts: Table): Field.Field<Description, unknown> =>
  Field.struct({
    name: Field.text,
    ...Object.fromEntries(Object.entries(parts).map(([key, part]) => [key, Field.optional(part.field)]))
  })

/** Throws `RangeError` where a description names what does not exist, or gives an option that makes no sense. */
export const checker = (parts: Table): (description: Description) => void => {
  const { read } = field(parts)
  return (description) => void read(description, "Pipeline")
}

export const nameUsedTwice = (descriptions: ReadonlyArray<{ readonly name: string }>): string | undefined =>
  descriptions.find(({ name }, index) => descriptions.slice(0, index).some((earlier) => earlier.name === name))?.name

/** Whether options that make sense say the same, in whatever order and units. */
export const sameMeaning = (shape: Field.Shape, one: unknown, other: unknown): boolean =>
  Equal.equals(meaning(shape, one), meaning(shape, other))

const meaning = (shape: Field.Shape, value: unknown): unknown => {
  switch (shape._tag) {
    case "Duration":
      return Duration.toMillis(time.read(value as Duration.Input, "Duration"))
    case "Number":
      return value ?? Infinity
    case "Record":
      return entries(() => shape.value, value, meaning)
    case "OneOrMore":
      return listOf(value).map((item) => meaning(shape.item.shape, item))
    default:
      return mapOptions(shape, value, meaning)
  }
}

const time = /* @__PURE__ */ Field.duration({ min: -Infinity })

type View = (shape: Field.Shape, value: unknown) => unknown

/** Options with what `view` makes of each one within them. */
const mapOptions = (shape: Field.Shape, value: unknown, view: View): unknown => {
  switch (shape._tag) {
    case "Struct":
      return entries((name) => shape.fields[name], value, view)
    case "Variants":
      return entries((name) => shape.variants[name], value, view)
    case "Either":
      return view((shape.isFirst(value) ? shape.first : shape.second).shape, value)
    default:
      return value
  }
}

const entries = (fieldOf: (name: string) => Field.AnyField | undefined, value: unknown, view: View): unknown =>
  Predicate.isObject(value)
    ? Object.fromEntries(
      Object.entries(value).flatMap(([name, option]) => {
        const field = fieldOf(name)
        return option === undefined || field === undefined ? [] : [[name, view(field.shape, option)]]
      })
    )
    : value

const listOf = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : [value]

interface Line {
  readonly slot: Slot.Slot
  readonly part: string
  readonly options: string
}

/** The slots in use, outside in. A function in a slot has the name of the slot, and its own for options. */
export const lines = (
  description: Description,
  parts: Table,
  around: ReadonlyArray<Around<unknown, unknown>>,
  madeElsewhere: { readonly [key: string]: unknown } = {},
  view: View = (_, options) => options
): ReadonlyArray<Line> =>
  Slot.order.flatMap((slot) => [
    ...around.filter((one) => one.slot === slot).map((one) => ({ slot, part: slot, options: one.name })),
    ...Object.entries(parts).filter(([key, part]) => part.slot === slot && isNamed(description[key])).map((
      [key, { field }]
    ) => ({
      slot,
      part: key,
      options: madeElsewhere[key] === undefined ? format(view(field.shape, description[key])) : "made elsewhere"
    }))
  ])

/** What may be shown to anybody: no texts, and of records and lists of texts only how many entries there are. */
export const withoutTexts: View = (shape, value) => {
  switch (shape._tag) {
    case "Text":
      return undefined
    case "Record":
      return Predicate.isObject(value) ? `(${Object.keys(value).length})` : undefined
    case "OneOrMore": {
      const items = listOf(value).map((item) => withoutTexts(shape.item.shape, item))
      return items.includes(undefined) ? `(${items.length})` : items
    }
    default:
      return mapOptions(shape, value, withoutTexts)
  }
}

export const describe = (name: string, lines: ReadonlyArray<Line>): string =>
  [name, ...lines.map(({ options, part }) => line(part, options)), "  the call"].join("\n")

const isNamed = (options: unknown): boolean => options !== undefined && options !== false

export const line = (part: string, text: string): string => `  ${part.padEnd(14)}  ${text}`.trimEnd()

const format = (value: unknown): string => {
  if (value === true || value === undefined) return ""
  if (typeof value === "number") return `${value} millis`
  if (Duration.isDuration(value)) return Duration.format(value)
  return Predicate.isObject(value) ? options(value) : String(value)
}

const options = (value: object): string =>
  Object.entries(value).filter(([, option]) => option !== undefined).map(([name, option]) =>
    `${name} ${inner(option)}`.trimEnd()
  ).join(", ")

const inner = (option: unknown): string => {
  if (Array.isArray(option)) return `(${option.map(format).join("; ")})`
  if (Duration.isDuration(option)) return Duration.format(option)
  if (typeof option === "function") return option.name === "" ? "a function" : option.name
  if (!Predicate.isObject(option)) return String(option)
  const within = options(option)
  return within === "" ? "" : `(${within})`
}
