import type { Counts, Latency, Second } from "../LabResult.ts"

const names = ["offered", "sent", "good", "failed", "rejected"] as const

/** Counts by the second, and keeps the times of good calls. */
export class Tally {
  private readonly seconds: number
  private readonly counts: { readonly [K in keyof Counts]: Float64Array }
  private readonly queues: Float64Array
  private latencies = new Float64Array(1024)
  private good = 0

  constructor(seconds: number) {
    this.seconds = seconds
    this.queues = new Float64Array(seconds)
    this.counts = {
      offered: new Float64Array(seconds + 1),
      sent: new Float64Array(seconds + 1),
      good: new Float64Array(seconds + 1),
      failed: new Float64Array(seconds + 1),
      rejected: new Float64Array(seconds + 1)
    }
  }

  count(name: keyof Counts, atMillis: number): void {
    const counts = this.counts[name]
    // What is sent after the last call began counts at the end of the array.
    const second = Math.min(this.seconds, Math.floor(atMillis / 1000))
    counts[second] = (counts[second] ?? 0) + 1
  }

  latency(millis: number): void {
    if (this.good === this.latencies.length) {
      const latencies = new Float64Array(this.good * 2)
      latencies.set(this.latencies)
      this.latencies = latencies
    }
    this.latencies[this.good++] = millis
  }

  queue(second: number, waiting: number): void {
    this.queues[second] = waiting
  }

  bySecond(): ReadonlyArray<Second> {
    return Array.from({ length: this.seconds }, (_, second) => ({
      ...this.countsOf((counts) => counts[second] ?? 0),
      queue: this.queues[second] ?? 0
    }))
  }

  total(): Counts {
    return this.countsOf((counts) => counts.reduce((sum, count) => sum + count, 0))
  }

  latencyOfGood(): Latency {
    const sorted = this.latencies.slice(0, this.good).sort()
    // The least of which the share `p` is not above.
    const at = (p: number) => sorted[Math.max(0, Math.ceil(p * this.good) - 1)] ?? 0
    return {
      mean: this.good === 0 ? 0 : sorted.reduce((sum, millis) => sum + millis, 0) / this.good,
      p50: at(0.5),
      p90: at(0.9),
      p99: at(0.99),
      p999: at(0.999),
      max: at(1)
    }
  }

  private countsOf(f: (counts: Float64Array) => number): Counts {
    return Object.fromEntries(names.map((name) => [name, f(this.counts[name])])) as { [K in keyof Counts]: number }
  }
}
