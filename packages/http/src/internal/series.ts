import * as Context from "effect/Context"
import * as Metric from "effect/Metric"

interface Attributes {
  readonly [name: string]: string
}

interface Entry {
  readonly a: unknown
  readonly b: unknown
  readonly c: unknown
  readonly attributes: Attributes
  readonly metric: Metric.Metric<number, unknown>
  /** Those of the program, and all that an update reads, as long as they are the same. */
  outer: unknown
  registry: unknown
  context: Context.Context<never>
}

/**
 * The series of one metric, each a metric of its own. `Metric.withAttributes` adds to the context for every update, and makes the
 * key again wherever two series take turns. A key that joins all attributes in one text costs as much.
 *
 * hack: series
 */
export class Series {
  readonly #make: () => Metric.Metric<number, unknown>
  readonly #series = new Map<string, Map<unknown, Array<Entry>>>()
  #size = 0

  constructor(make: () => Metric.Metric<number, unknown>) {
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
          return update(entry, value, context)
        }
      }
    }
    const entry: Entry = {
      a,
      b,
      c,
      attributes: attributes(),
      metric: this.#make(),
      outer: undefined,
      registry: undefined,
      context: Context.empty()
    }
    this.#add(name, group, entry)
    update(entry, value, context)
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

const update = (entry: Entry, value: number, context: Context.Context<never>): void => {
  const outer = Context.get(context, Metric.CurrentMetricAttributes)
  const registry = Context.get(context, Metric.MetricRegistry)
  if (entry.outer !== outer || entry.registry !== registry) {
    entry.outer = outer
    entry.registry = registry
    entry.context = Context.make(Metric.CurrentMetricAttributes, { ...outer, ...entry.attributes }).pipe(
      Context.add(Metric.MetricRegistry, registry)
    )
  }
  entry.metric.updateUnsafe(value, entry.context)
}

const maxSeries = 10_000
