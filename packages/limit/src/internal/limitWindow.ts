import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import { RunningMean } from "./runningMean.ts"

/**
 * Options of all algorithms.
 *
 * - `min`, `max`: the limit stays between them; default 1 and 1000.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The limit to begin with; default 20. */
  readonly initial?: number | undefined
  readonly min?: number | undefined
  readonly max?: number | undefined
  /** The shortest time between changes; default 100 millis. */
  readonly window?: Duration.Input | undefined
}

/**
 * One call that ended.
 *
 * - `nowMillis`, `rttMillis`: when it ended and how long it took.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sample {
  readonly nowMillis: number
  readonly rttMillis: number
  /** How many calls were under way when it began. */
  readonly inFlight: number
  /** It failed in a way that says "too much". */
  readonly dropped: boolean
  /** Draws from 0 to 1. */
  readonly random: () => number
}

/**
 * A running algorithm.
 *
 * @category models
 * @since 0.1.0
 */
export interface Estimator {
  /** How many calls may run at once at present. */
  readonly limit: number
  /** Takes what one call or one window came to, and may change the limit. */
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
  protected roundTrips = new RunningMean()
  protected drops = 0
  protected mostInFlight = 0
  private readonly windowMillis: number
  private countFrom = -1
  private shortest = Infinity

  constructor(settings: Settings) {
    this.settings = settings
    this.estimate = settings.initial
    this.windowMillis = Duration.toMillis(settings.window)
  }

  get limit(): number {
    return Math.floor(this.estimate)
  }

  record(sample: Sample) {
    const { inFlight, nowMillis, rttMillis } = sample
    if (this.countFrom < 0) this.countFrom = nowMillis
    if (sample.dropped) this.drops++
    else if (nowMillis >= this.countFrom) {
      this.roundTrips.add(rttMillis)
      if (rttMillis < this.shortest) this.shortest = rttMillis
      this.observe(sample)
    }
    if (inFlight > this.mostInFlight) this.mostInFlight = inFlight
    if (nowMillis < this.countFrom + this.windowMillis) return
    const next = this.endWindow(sample)
    if (next === undefined) return
    this.estimate = this.within(next)
    this.startWindow(nowMillis)
  }

  protected within(limit: number): number {
    return Math.max(this.settings.min, Math.min(this.settings.max, limit))
  }

  // Calls that end right after a change tell of the earlier limit, and of the later ones the short ones end first. So a
  // window begins a mean round trip later, and takes every call that ends from then on.
  protected startWindow(nowMillis: number) {
    this.countFrom = nowMillis + this.roundTrips.mean
    this.roundTrips = new RunningMean()
    this.shortest = Infinity
    this.drops = 0
    this.mostInFlight = 0
  }

  /** Whether calls that began in this window have ended in it. */
  protected isLongEnough({ nowMillis }: Sample): boolean {
    return nowMillis >= this.countFrom + 2 * this.shortest
  }

  /** A limit that is hardly used says nothing about what lies beyond it. */
  protected get halfUsed(): boolean {
    return this.mostInFlight * 2 >= this.estimate
  }

  protected observe(_sample: Sample): void {}

  /** The next limit, or `undefined` where the window goes on. */
  protected abstract endWindow(sample: Sample): number | undefined
}

/** Fewer calls than this say nothing. */
export const fewest = 10

/** Compares round trips with others, once it knows them well enough. */
export abstract class Comparing<Settings extends Bounds> extends Windowed<Settings> {
  protected endWindow(sample: Sample): number | undefined {
    const { drops, roundTrips } = this
    const calls = drops + roundTrips.count
    if (calls < fewest) return undefined
    const kept = 1 - drops / calls / 2
    if (drops * 10 >= calls) return this.dropped(kept)
    if (roundTrips.count < enough || !this.isLongEnough(sample) || !this.isKnown(sample)) return undefined
    return this.adjust(sample) * kept
  }

  /** Whether the mean round trip is exact enough to act on. */
  protected isKnown(_sample: Sample): boolean {
    return isExact(this.roundTrips, this.estimate) || this.roundTrips.count >= most
  }

  /** The next limit after a window of which a tenth or more was dropped. */
  protected dropped(kept: number): number {
    return this.estimate * kept
  }

  protected abstract adjust(sample: Sample): number
}

// Where one call in ten takes ten times as long, ten calls may well miss that.
const enough = 30

/** No mean takes more calls than this. */
export const most = 2000

/** Whether the error of a mean changes the limit by at most 3 % or 2 calls, times `factor`. */
export const isExact = ({ error }: RunningMean, limit: number, factor = 1): boolean =>
  error <= factor * Math.max(0.03, 2 / limit)
