import * as Duration from "effect/Duration"
import type { Estimator, LimitAlgorithm, Sample } from "../LimitAlgorithm.ts"

type Of<Tag extends LimitAlgorithm["_tag"]> = Extract<LimitAlgorithm, { readonly _tag: Tag }>

export const start = (algorithm: LimitAlgorithm): Estimator => {
  switch (algorithm._tag) {
    case "Fixed":
      return { limit: algorithm.initial, record: () => {} }
    case "Aimd":
      return new Aimd(algorithm)
    case "Vegas":
      return new Vegas(algorithm)
    case "Gradient2":
      return new Gradient2(algorithm)
    case "Gradient":
      return new Gradient(algorithm)
  }
}

const minSamples = 10

// Round trips take no time at all where a test's clock stands still, and their ratios would be no numbers.
const shortestMillis = 0.001

/** Gathers samples and hands them on once a window. */
abstract class Windowed<Settings extends LimitAlgorithm> implements Estimator {
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

class Aimd extends Windowed<Of<"Aimd">> {
  protected override observe(sample: Sample) {
    if (sample.rttMillis > Duration.toMillis(this.settings.timeout)) this.dropped = true
  }

  protected endWindow(): number {
    if (this.dropped) return Math.min(this.estimate - 1, Math.floor(this.estimate * this.settings.backoffRatio))
    return this.halfUsed ? this.estimate + 1 : this.estimate
  }
}

/**
 * Measures the round trip without load now and then, with a lowered limit. Drops count meanwhile too: they lower the limit that
 * the measurement returns to, and end it where nothing else is left of that.
 */
abstract class Measuring<Settings extends LimitAlgorithm> extends Windowed<Settings> {
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

class Vegas extends Measuring<Of<"Vegas">> {
  protected get samples(): number {
    return this.settings.probeRequests
  }

  protected lowered(): number {
    return Math.max(this.settings.min, this.estimate / 2)
  }

  protected override measured(sample: Sample) {
    const interval = Duration.toMillis(this.settings.probeInterval)
    this.measureAt = sample.nowMillis + interval * (1 - 0.15 * sample.random())
  }

  protected afterDrop(estimate: number): number {
    return estimate - step(estimate)
  }

  protected adjust(): number {
    const { estimate } = this
    const by = step(estimate)
    if (this.count === 0) return estimate - by
    const current = this.sum / this.count
    if (current < this.unloaded * 0.9) this.unloaded = (this.unloaded + current) / 2
    const queue = estimate * (1 - this.unloaded / current)
    if (queue > estimate / 2) return estimate / 2
    if (this.dropped) return estimate - by
    if (!this.halfUsed) return estimate
    if (queue <= by) return estimate + 2 * by
    if (queue < 2 * by) return estimate + by
    return queue > 3 * by ? estimate - by : estimate
  }
}

const step = (estimate: number): number => Math.max(1, Math.floor(Math.log10(estimate)))

class Gradient2 extends Windowed<Of<"Gradient2">> {
  private long = 0
  private windows = 0

  protected endWindow(): number {
    const { longWindow, queueSize, smoothing, tolerance } = this.settings
    if (this.count === 0) return this.estimate * (1 - smoothing / 2)
    const short = this.sum / this.count
    // The mean of the first ten windows is plain, then exponential.
    this.windows++
    const weight = this.windows <= 10 ? 1 / this.windows : 2 / (longWindow + 1)
    this.long += (short - this.long) * weight
    // After a long overload the baseline is too high; waiting for its decay would hold the limit up.
    if (this.long / short > 2) this.long *= 0.9
    if (this.dropped) return this.estimate * (1 - smoothing / 2)
    if (!this.halfUsed) return this.estimate
    const gradient = Math.max(0.5, Math.min(1, tolerance * this.long / short))
    return this.estimate * (1 - smoothing) + (this.estimate * gradient + queueSize) * smoothing
  }
}

class Gradient extends Measuring<Of<"Gradient">> {
  private windowsAtMin = 0

  protected get samples(): number {
    return this.settings.minRttRequests
  }

  protected lowered({ nowMillis, random }: Sample): number {
    const { jitter, minRttConcurrency, minRttInterval } = this.settings
    this.measureAt = nowMillis + Duration.toMillis(minRttInterval) * (1 - jitter * random())
    this.windowsAtMin = 0
    return Math.min(this.estimate, minRttConcurrency)
  }

  protected afterDrop(estimate: number): number {
    return estimate / 2
  }

  protected adjust(sample: Sample): number {
    if (this.count === 0) return this.estimate / 2
    const ratio = this.unloaded * (1 + this.settings.buffer) * this.count / this.sum
    const gradient = this.dropped ? 0.5 : Math.max(0.5, Math.min(2, ratio))
    if (gradient > 1 && !this.halfUsed) return this.estimate
    const scaled = this.estimate * gradient
    const next = this.halfUsed ? scaled + this.settings.headroom * Math.sqrt(scaled) : scaled
    this.windowsAtMin = next <= this.settings.min ? this.windowsAtMin + 1 : 0
    if (this.windowsAtMin === 5) this.measureAt = sample.nowMillis
    return next
  }
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
