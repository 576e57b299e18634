import type { Bounds, Sample } from "./limitWindow.ts"
import { shortestMillis, Windowed } from "./limitWindow.ts"

/**
 * Measures the round trip without load now and then, with a lowered limit. Drops count meanwhile too: they lower the limit that
 * the measurement returns to, and end it where nothing else is left of that.
 */
export abstract class Measuring<Settings extends Bounds> extends Windowed<Settings> {
  protected unloaded = Infinity
  protected measureAt = 0
  private probe: Probe | undefined

  override record(sample: Sample) {
    if (this.probe === undefined && sample.nowMillis >= this.measureAt) this.startProbe(sample)
    const { probe } = this
    if (probe === undefined || sample.dropped) return super.record(sample)
    if (!probe.add(sample)) return
    this.probe = undefined
    this.unloaded = probe.mean
    this.estimate = probe.before
    this.measured(sample)
    this.startWindow(sample.nowMillis + this.unloaded)
  }

  private startProbe(sample: Sample) {
    this.probe = new Probe(sample.nowMillis, this.estimate, this.samples)
    this.estimate = this.lowered(sample)
  }

  protected endWindow(sample: Sample): number {
    const { probe } = this
    if (probe === undefined) return this.adjust(sample)
    probe.before = Math.max(this.settings.min, this.afterDrop(probe.before))
    return Math.min(this.estimate, probe.before)
  }

  protected measured(_sample: Sample): void {}

  protected abstract readonly samples: number
  /** Begins a measurement: the limit for it. */
  protected abstract lowered(sample: Sample): number
  protected abstract afterDrop(estimate: number): number
  protected abstract adjust(sample: Sample): number
}

/** Measures the round trip without load, while the limit is lowered. */
class Probe {
  before: number
  private readonly since: number
  private readonly requests: number
  private count = 0
  private sum = 0

  constructor(since: number, before: number, requests: number) {
    this.since = since
    this.before = before
    this.requests = requests
  }

  get mean(): number {
    return this.sum / this.count
  }

  /** Takes a sample, and tells whether it was the last. Calls that began earlier still tell of the load. */
  add(sample: Sample): boolean {
    if (sample.dropped || sample.nowMillis - sample.rttMillis < this.since) return false
    this.sum += Math.max(shortestMillis, sample.rttMillis)
    return ++this.count >= this.requests
  }
}
