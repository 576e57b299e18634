import type * as Context from "effect/Context"
import type * as Metric from "effect/Metric"

interface Attributes {
  readonly [name: string]: string
}

/**
 * The series of one metric, each made once. `Metric.withAttributes` makes its key anew for every update, which costs more
 * than the request's span.
 */
export class Series {
  readonly #make: (attributes: Attributes) => Metric.Metric<number, unknown>
  readonly #series = new Map<string, Metric.Metric<number, unknown>>()

  constructor(make: (attributes: Attributes) => Metric.Metric<number, unknown>) {
    this.#make = make
  }

  /** `key` stands for the attributes, which are asked for only when it is new. */
  update(key: string, attributes: () => Attributes, value: number, context: Context.Context<never>): void {
    let series = this.#series.get(key)
    if (series === undefined) {
      if (this.#series.size >= maxSeries) this.#series.clear()
      series = this.#make(attributes())
      this.#series.set(key, series)
    }
    series.updateUnsafe(value, context)
  }
}

const maxSeries = 10_000
