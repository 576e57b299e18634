import type { Counts, Latency, Second, States } from "../LabResult.ts"
import { Histogram } from "./Histogram.ts"

const names = ["offered", "sent", "good", "failed", "rejected"] as const

/** Counts by the second, and keeps the times of good calls. */
export class Tally {
  private readonly seconds: number
  private readonly counts: { readonly [K in keyof Counts]: Float64Array }
  private readonly queues: Float64Array
  private readonly states: Array<States>
  private readonly latencies = new Histogram()

  constructor(seconds: number) {
    this.seconds = seconds
    this.queues = new Float64Array(seconds)
    this.states = []
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
    this.latencies.add(millis)
  }

  sample(second: number, waiting: number, states: States): void {
    this.queues[second] = waiting
    this.states[second] = states
  }

  bySecond(): ReadonlyArray<Second> {
    return Array.from({ length: this.seconds }, (_, second) => ({
      ...this.countsOf((counts) => counts[second] ?? 0),
      queue: this.queues[second] ?? 0,
      states: this.states[second] ?? {}
    }))
  }

  total(): Counts {
    return this.countsOf((counts) => counts.reduce((sum, count) => sum + count, 0))
  }

  latencyOfGood(): Latency {
    const { latencies } = this
    return {
      mean: rounded(latencies.mean),
      p50: rounded(latencies.at(0.5)),
      p90: rounded(latencies.at(0.9)),
      p99: rounded(latencies.at(0.99)),
      p999: rounded(latencies.at(0.999)),
      max: rounded(latencies.max)
    }
  }

  private countsOf(f: (counts: Float64Array) => number): Counts {
    return Object.fromEntries(names.map((name) => [name, f(this.counts[name])])) as { [K in keyof Counts]: number }
  }
}

/** To the microsecond. */
const rounded = (millis: number): number => Math.round(millis * 1000) / 1000
