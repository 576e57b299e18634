import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
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
export const sameMeaning = (shape: Field.Shape, one: unknown, other: unknown): boolean => {
  if (Object.is(one, other)) return true
  if (one === undefined || other === undefined) return false
  switch (shape._tag) {
    case "Duration":
      return millisOf(one) === millisOf(other)
    case "Number":
      return (one ?? Infinity) === (other ?? Infinity)
    case "Struct":
      return sameEntries((name) => shape.fields[name], one, other)
    case "Variants":
      return sameEntries((name) => shape.variants[name], one, other)
    case "Record":
      return sameEntries(() => shape.value, one, other)
    case "OneOrMore": {
      const [ones, others] = [listOf(one), listOf(other)]
      return ones.length === others.length &&
        ones.every((item, index) => sameMeaning(shape.item.shape, item, others[index]))
    }
    case "Either": {
      const isFirst = shape.isFirst(one)
      return isFirst === shape.isFirst(other) &&
        sameMeaning((isFirst ? shape.first : shape.second).shape, one, other)
    }
    default:
      return false
  }
}

const sameEntries = (fieldOf: (name: string) => Field.AnyField | undefined, one: unknown, other: unknown): boolean => {
  if (!Predicate.isObject(one) || !Predicate.isObject(other)) return false
  const a = present(one)
  const b = present(other)
  return a.size === b.size && [...a].every(([name, value]) => {
    const field = fieldOf(name)
    return field !== undefined && sameMeaning(field.shape, value, b.get(name))
  })
}

const present = (value: object): ReadonlyMap<string, unknown> =>
  new Map(Object.entries(value).filter(([, option]) => option !== undefined))

const listOf = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : [value]

const time = /* @__PURE__ */ Field.duration({ min: -Infinity })

const millisOf = (value: unknown): number => Duration.toMillis(time.read(value as Duration.Input, "Duration"))

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
  view: (shape: Field.Shape, options: unknown) => unknown = (_, options) => options
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
export const withoutTexts = (shape: Field.Shape, value: unknown): unknown => {
  if (value === undefined) return undefined
  switch (shape._tag) {
    case "Text":
      return undefined
    case "Record":
      return Predicate.isObject(value) ? `(${Object.keys(value).length})` : undefined
    case "OneOrMore": {
      const items = listOf(value).map((item) => withoutTexts(shape.item.shape, item))
      return items.includes(undefined) ? `(${items.length})` : items
    }
    case "Struct":
      return fieldsWithoutTexts((name) => shape.fields[name], value)
    case "Variants":
      return fieldsWithoutTexts((name) => shape.variants[name], value)
    case "Either":
      return withoutTexts((shape.isFirst(value) ? shape.first : shape.second).shape, value)
    default:
      return value
  }
}

const fieldsWithoutTexts = (fieldOf: (name: string) => Field.AnyField | undefined, value: unknown): unknown =>
  Predicate.isObject(value)
    ? Object.fromEntries(
      Object.entries(value).map(([name, option]) => {
        const field = fieldOf(name)
        return [name, field && withoutTexts(field.shape, option)]
      })
    )
    : value

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
