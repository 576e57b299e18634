import type { Bounds, Sample } from "./limitWindow.ts"
import { Comparing } from "./limitWindow.ts"
import { RunningMean } from "./runningMean.ts"

/**
 * Measures the round trip without load now and then, with a lowered limit. Drops count meanwhile too: they lower the limit that
 * the measurement returns to, and end it where nothing else is left of that.
 */
export abstract class Measuring<Settings extends Bounds> extends Comparing<Settings> {
  /** The round trip without load. */
  protected unloaded: RunningMean | undefined
  private probe: Probe | undefined

  override record(sample: Sample) {
    const { probe } = this
    if (probe === undefined || sample.dropped || sample.nowMillis < probe.from) return super.record(sample)
    probe.roundTrips.add(sample.rttMillis)
    if (!this.isMeasured(probe)) return super.record(sample)
    this.probe = undefined
    this.estimate = probe.before
    this.measured(probe, sample)
    this.startWindow(sample.nowMillis)
  }

  /** Begins a measurement, and tells the limit for it. Until the calls of before have ended, they tell of the load. */
  protected measure({ nowMillis, rttMillis }: Sample, before: number, lowered: number): number {
    const settled = 2 * (this.roundTrips.count === 0 ? rttMillis : this.roundTrips.mean)
    this.probe = {
      before: this.within(before),
      limit: this.within(Math.round(lowered)),
      since: nowMillis,
      from: nowMillis + settled,
      roundTrips: new RunningMean()
    }
    return this.probe.limit
  }

  protected override endWindow(sample: Sample): number | undefined {
    return this.probe !== undefined && this.drops === 0 ? this.estimate : super.endWindow(sample)
  }

  protected override dropped(kept: number): number {
    const { probe } = this
    if (probe === undefined) return super.dropped(kept)
    probe.before = this.within(probe.before * kept)
    return Math.min(this.estimate, probe.before)
  }

  protected get isMeasuring(): boolean {
    return this.probe !== undefined
  }

  protected abstract isMeasured(probe: Probe): boolean
  protected abstract measured(probe: Probe, sample: Sample): void
}

/** A measurement of the round trip without load, while the limit is lowered. */
export interface Probe {
  before: number
  readonly limit: number
  readonly since: number
  readonly from: number
  readonly roundTrips: RunningMean
}
