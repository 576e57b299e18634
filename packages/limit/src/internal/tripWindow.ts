import * as Duration from "effect/Duration"
import type { TripPolicy } from "../CircuitBreaker.ts"
import { Slices } from "./slices.ts"

/** Counts outcomes and tells after each one whether the circuit has to open. */
export interface TripWindow {
  record(failed: boolean, tookMillis: number, now: number): boolean
  reset(): void
}

export const make = (policy: TripPolicy): TripWindow => {
  switch (policy._tag) {
    case "Consecutive":
      return new Streak(policy.failures)
    case "Rate":
      return new CountWindow(policy.threshold, policy.minimumCalls, policy.size, -1)
    case "Slow":
      return new CountWindow(
        policy.threshold,
        policy.minimumCalls,
        policy.size,
        Duration.toMillis(policy.slowerThan)
      )
    case "RateWithin":
      return new TimeWindow(policy.threshold, policy.minimumCalls, Duration.toMillis(policy.within))
  }
}

class Streak implements TripWindow {
  private streak = 0
  private readonly failures: number

  constructor(failures: number) {
    this.failures = failures
  }

  record(failed: boolean): boolean {
    if (!failed) {
      this.streak = 0
      return false
    }
    return ++this.streak >= this.failures
  }

  reset() {
    this.streak = 0
  }
}

/** The last `size` calls. With `slowMillis` of 0 or more a call that took longer is bad, else one that failed. */
class CountWindow implements TripWindow {
  private ring: Uint8Array | undefined
  private next = 0
  private filled = 0
  private bad = 0
  private readonly threshold: number
  private readonly minimumCalls: number
  private readonly size: number
  private readonly slowMillis: number

  constructor(threshold: number, minimumCalls: number, size: number, slowMillis: number) {
    this.threshold = threshold
    this.minimumCalls = minimumCalls
    this.size = size
    this.slowMillis = slowMillis
  }

  record(failed: boolean, tookMillis: number): boolean {
    const ring = this.ring ??= new Uint8Array(this.size)
    const bad = (this.slowMillis < 0 ? failed : tookMillis > this.slowMillis) ? 1 : 0
    this.bad += bad - (ring[this.next] ?? 0)
    ring[this.next] = bad
    this.next = this.next + 1 === this.size ? 0 : this.next + 1
    if (this.filled < this.size) this.filled++
    return this.bad > 0 && this.filled >= this.minimumCalls && this.bad / this.filled >= this.threshold
  }

  reset() {
    this.ring = undefined
    this.next = 0
    this.filled = 0
    this.bad = 0
  }
}

/** The calls of the last `withinMillis`. */
class TimeWindow implements TripWindow {
  private readonly slices: Slices
  private readonly threshold: number
  private readonly minimumCalls: number

  constructor(threshold: number, minimumCalls: number, withinMillis: number) {
    this.slices = new Slices(withinMillis)
    this.threshold = threshold
    this.minimumCalls = minimumCalls
  }

  record(failed: boolean, _tookMillis: number, now: number): boolean {
    this.slices.add(now, failed)
    const { totalCalls, totalMarked } = this.slices
    return totalMarked > 0 && totalCalls >= this.minimumCalls && totalMarked / totalCalls >= this.threshold
  }

  reset() {
    this.slices.reset()
  }
}
