import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Probe } from "../internal/limitProbe.ts"
import { Measuring } from "../internal/limitProbe.ts"
import type { Bounds, Options as All, Sample, Start } from "../internal/limitWindow.ts"
import { bounded, boundFields, isExact, most } from "../internal/limitWindow.ts"

interface Options extends All {
  readonly probeInterval?: Duration.Input | undefined
  readonly probeRequests?: number | undefined
  readonly queueSize?: number | undefined
}

const fields = {
  ...boundFields,
  probeInterval: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "30 seconds"),
  probeRequests: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1, max: 100_000 }), most),
  queueSize: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1, max: 10_000 }), 4)
} satisfies Field.Fields<Options>

type Settings = Bounds & Field.Settings<typeof fields>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings, path): Start => {
    const within = bounded(settings, path)
    return () => new Vegas(within)
  }
)

/**
 * Keeps a short queue at the server, seen from the growth of the mean round trip.
 *
 * By Little's law a server works on `limit * unloaded / current` calls at once, where these are its mean round trips without a
 * queue and now. The limit is that, and the queue: a tenth of it, or `queueSize` where that is more. It doubles until the first
 * queue shows, and again when it has grown several times in a row.
 *
 * - `queueSize`: how many calls may wait at the server at least; default 4 (Netflix: 3 to 6). Fewer leave workers idle
 *   between the bursts.
 * - `probeInterval`: how often the round trip without a queue is measured anew, with 0.7 times of what the server works on at
 *   once; default 30 seconds, at least 20 times what a measurement takes, less up to 15 % by chance. It is not measured while
 *   calls find room.
 * - `probeRequests`: with how many calls at most; default 2000. A measurement ends when it is known to 3 %, or to 2 calls of
 *   the limit, and after 50 calls at the earliest.
 *
 * @category algorithms
 * @since 0.1.0
 */
export const vegas: Field.Variant<"vegas", Options | undefined, Start> = /* @__PURE__ */ Field.variant(
  "LimitAlgorithm",
  "vegas",
  field
)

class Vegas extends Measuring<Settings> {
  private measureAt = 0
  private measureAgainAt = 0
  private measuredAt = 0
  private step = Infinity

  // What is far off needs no exact mean.
  protected override isKnown(sample: Sample): boolean {
    return super.isKnown(sample) || this.isFarBelow || this.isTooHigh(4, 2) || this.isDue(sample)
  }

  protected adjust(sample: Sample): number {
    const { capacity, estimate, roundTrips, unloaded } = this
    if (this.isDue(sample)) {
      return this.measure(sample, estimate, unloaded === undefined ? estimate / 2 : capacity * probed)
    }
    if (unloaded === undefined || !(this.isUsedUp || this.isTooHigh(4, 2))) return estimate
    // The measurement itself was loaded: the server works on no more calls than that at once.
    if (this.measuredAt > 1 && capacity <= this.measuredAt * 1.05 && this.isTooHigh(2, 1)) {
      return this.measure(sample, capacity + this.allowed, capacity * probed)
    }
    const ratio = unloaded.mean * (1 + this.error) / roundTrips.mean
    const next = estimate * Math.max(0.5, Math.min(2, ratio)) + this.allowed
    const grows = this.isFarBelow ? !this.isTooHigh(1.5, 1) : this.queue < this.allowed
    this.step = grows ? Math.max(this.allowed, 2 * Math.min(this.step, estimate)) : 0
    return grows ? Math.max(next, estimate + Math.min(estimate, this.step) / 2) : next
  }

  protected override dropped(kept: number): number {
    this.step = 0
    return super.dropped(kept)
  }

  protected isMeasured({ before, roundTrips }: Probe): boolean {
    const { count } = roundTrips
    return count >= fewestProbes && (isExact(roundTrips, before) || count >= this.settings.probeRequests)
  }

  protected measured({ limit, roundTrips, since }: Probe, { nowMillis, random }: Sample) {
    const { probeInterval } = this.settings
    const took = nowMillis - since
    if (this.unloaded !== undefined) roundTrips.join(this.unloaded)
    this.unloaded = roundTrips
    this.measuredAt = limit
    this.measureAt = nowMillis + Math.max(Duration.toMillis(probeInterval), 20 * took) * (1 - 0.15 * random())
    this.measureAgainAt = nowMillis + 5 * took
  }

  /** Whether the limit doubles, until a queue shows: at first, and when it has grown several times in a row. */
  private get isFarBelow(): boolean {
    return this.unloaded !== undefined && this.step >= this.estimate
  }

  // Where calls find room, the limit need not be right.
  private get isUsedUp(): boolean {
    return this.mostInFlight >= this.limit
  }

  /** A measurement is due after a while, and when the limit has grown so much that it takes a more exact one. */
  private isDue({ nowMillis }: Sample): boolean {
    if (!this.isUsedUp || nowMillis < this.measureAgainAt) return false
    return nowMillis >= this.measureAt || (this.unloaded !== undefined && !isExact(this.unloaded, this.capacity, 1.5))
  }

  /** How many of the calls under way the server works on, the others being in its queue. */
  private get capacity(): number {
    const { estimate, roundTrips, unloaded = roundTrips } = this
    return estimate * Math.min(1, unloaded.mean / roundTrips.mean)
  }

  private get queue(): number {
    return this.estimate - this.capacity
  }

  /** How many calls may wait at the server: enough for its workers to find one, and more than what a mean may be off. */
  private get allowed(): number {
    return Math.max(this.settings.queueSize, this.estimate / 10)
  }

  private get error(): number {
    return Math.hypot(this.roundTrips.error, this.unloaded?.error ?? Infinity)
  }

  /** Whether more calls wait at the server than should, times `factor`, by more than so many standard errors. */
  private isTooHigh(errors: number, factor: number): boolean {
    return this.queue - errors * this.error * this.capacity > factor * this.allowed
  }
}

// A measurement lowers the limit to this share of what the server works on at once.
const probed = 0.7

const fewestProbes = 50
