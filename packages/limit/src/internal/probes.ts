import type { WindowCounts } from "./tripRule.ts"

export interface ProbeSettings {
  readonly probes: number
  readonly probeThreshold: number
  readonly probeLeaseMillis: number
}

/** The calls that find out whether an open circuit may close. */
export class Probes {
  running = 0
  #succeeded = 0
  #failed = 0
  #latestAt = 0

  begin(now: number) {
    this.running++
    this.#latestAt = now
  }

  isFull({ probes }: ProbeSettings): boolean {
    return this.running + this.#succeeded + this.#failed >= probes
  }

  leaseEnded(now: number, { probeLeaseMillis }: ProbeSettings): boolean {
    return now - this.#latestAt >= probeLeaseMillis
  }

  /** Counts an outcome. As soon as no further one can change the result, tells it. */
  record(failed: boolean, { probes, probeThreshold }: ProbeSettings): "Closed" | "Open" | undefined {
    if (failed) this.#failed++
    else this.#succeeded++
    if (this.#failed > 0 && this.#failed / probes >= probeThreshold) return "Open"
    const atWorst = probes - this.#succeeded
    return atWorst === 0 || atWorst / probes < probeThreshold ? "Closed" : undefined
  }

  counts(): WindowCounts {
    const buffered = this.#succeeded + this.#failed
    return { buffered, failureRate: buffered === 0 ? 0 : this.#failed / buffered, slowRate: 0 }
  }
}
