import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"

/**
 * Options of all algorithms.
 *
 * - `initial`: the limit to begin with; default 20.
 * - `min`, `max`: the limit stays between them; default 1 and 1000.
 * - `window`: the shortest time between changes; default 100 millis.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly initial?: number | undefined
  readonly min?: number | undefined
  readonly max?: number | undefined
  readonly window?: Duration.Input | undefined
}

/**
 * One call that ended.
 *
 * - `nowMillis`, `rttMillis`: when it ended and how long it took.
 * - `inFlight`: how many calls were under way when it began.
 * - `dropped`: it failed in a way that says "too much".
 * - `random`: draws from 0 to 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sample {
  readonly nowMillis: number
  readonly rttMillis: number
  readonly inFlight: number
  readonly dropped: boolean
  readonly random: () => number
}

/**
 * A running algorithm.
 *
 * @category models
 * @since 0.1.0
 */
export interface Estimator {
  readonly limit: number
  record(sample: Sample): void
}

/** Starts an algorithm. */
export type Start = () => Estimator

const count = /* @__PURE__ */ Field.integer({ min: 1 })

export const boundFields = {
  initial: /* @__PURE__ */ Field.optional(count),
  min: /* @__PURE__ */ Field.withDefault(count, 1),
  max: /* @__PURE__ */ Field.withDefault(count, 1000),
  window: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "100 millis")
} satisfies Field.Fields<Options>

/** What the fields of all algorithms are read as. */
export interface Bounds {
  readonly initial: number
  readonly min: number
  readonly max: number
  readonly window: Duration.Duration
}

/** The bounds in order. */
export const bounded = <S extends Field.Settings<typeof boundFields>>(settings: S, path: string): S & Bounds => {
  const { max, min } = settings
  const initial = settings.initial ?? Math.min(Math.max(20, min), max)
  requireArgument(min <= initial && initial <= max, `${path}.initial`, `from min, ${min}, to max, ${max}`, initial)
  return { ...settings, initial }
}

/** Gathers samples and hands them on once a window. */
export abstract class Windowed<Settings extends Bounds> implements Estimator {
  protected estimate: number
  protected readonly settings: Settings
  private readonly windowMillis: number
  private windowEnd = -1
  protected count = 0
  protected sum = 0
  protected shortest = Infinity
  protected mostInFlight = 0
  protected dropped = false

  constructor(settings: Settings) {
    this.settings = settings
    this.estimate = settings.initial
    this.windowMillis = Duration.toMillis(settings.window)
  }

  get limit(): number {
    return Math.floor(this.estimate)
  }

  record(sample: Sample) {
    if (this.windowEnd < 0) this.windowEnd = sample.nowMillis + this.windowMillis
    if (sample.dropped) this.dropped = true
    else {
      this.count++
      this.sum += Math.max(shortestMillis, sample.rttMillis)
      if (sample.rttMillis < this.shortest) this.shortest = sample.rttMillis
      this.observe(sample)
    }
    if (sample.inFlight > this.mostInFlight) this.mostInFlight = sample.inFlight
    if (sample.nowMillis < this.windowEnd || (this.count < minSamples && !this.dropped)) return
    const next = this.endWindow(sample)
    this.estimate = Math.max(this.settings.min, Math.min(this.settings.max, next))
    const wait = Math.max(this.windowMillis, this.shortest === Infinity ? 0 : 2 * this.shortest)
    this.startWindow(sample.nowMillis + wait)
  }

  protected startWindow(end: number) {
    this.windowEnd = end
    this.count = 0
    this.sum = 0
    this.shortest = Infinity
    this.mostInFlight = 0
    this.dropped = false
  }

  /** A limit that is hardly used says nothing about what lies beyond it. */
  protected get halfUsed(): boolean {
    return this.mostInFlight * 2 >= this.estimate
  }

  protected observe(_sample: Sample): void {}

  protected abstract endWindow(sample: Sample): number
}

const minSamples = 10

// Round trips take no time at all where a test's clock stands still, and their ratios would be no numbers.
export const shortestMillis = 0.001
