import type * as Context from "effect/Context"
import type * as Metric from "effect/Metric"

interface Attributes {
  readonly [name: string]: string
}

interface Entry {
  readonly a: unknown
  readonly b: unknown
  readonly c: unknown
  readonly metric: Metric.Metric<number, unknown>
}

/**
 * The series of one metric, each made once. `Metric.withAttributes` makes its key again for every update, and a key that
 * joins all attributes in one text costs as much.
 *
 * hack: series
 */
export class Series {
  readonly #make: (attributes: Attributes) => Metric.Metric<number, unknown>
  readonly #series = new Map<string, Map<unknown, Array<Entry>>>()
  #size = 0

  constructor(make: (attributes: Attributes) => Metric.Metric<number, unknown>) {
    this.#make = make
  }

  /** The last five identify the series; `attributes` is called only for a new one. Few share `name` and `group`. */
  update(
    value: number,
    context: Context.Context<never>,
    attributes: () => Attributes,
    name: string,
    group?: unknown,
    a?: unknown,
    b?: unknown,
    c?: unknown
  ): void {
    const found = this.#series.get(name)?.get(group)
    if (found !== undefined) {
      for (const entry of found) {
        if (entry.a === a && entry.b === b && entry.c === c) {
          return entry.metric.updateUnsafe(value, context)
        }
      }
    }
    const metric = this.#make(attributes())
    this.#add(name, group, { a, b, c, metric })
    metric.updateUnsafe(value, context)
  }

  #add(name: string, group: unknown, entry: Entry): void {
    if (this.#size >= maxSeries) {
      this.#series.clear()
      this.#size = 0
    }
    this.#size++
    const groups = this.#series.get(name) ?? new Map<unknown, Array<Entry>>()
    const entries = groups.get(group) ?? []
    entries.push(entry)
    groups.set(group, entries)
    this.#series.set(name, groups)
  }
}

const maxSeries = 10_000
