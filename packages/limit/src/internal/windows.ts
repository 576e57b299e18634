import type { SavedWindow, TripRule, TripWindow, WindowCounts } from "./tripRule.ts"

type Partial = TripWindow & Required<Pick<TripWindow, "shareAt">>

/** What the rules of one circuit have counted. */
export class Windows {
  readonly #all: ReadonlyArray<TripWindow>
  readonly #partial: ReadonlyArray<Partial>

  constructor(rules: ReadonlyArray<TripRule>) {
    this.#all = rules.map((rule) => rule.start())
    this.#partial = this.#all.filter((window): window is Partial => window.shareAt !== undefined)
  }

  /** Counts an outcome and gives the share of calls to reject from now on. From 1 on the circuit opens. */
  record(failed: boolean, tookMillis: number, now: number): number {
    let trips = false
    for (const window of this.#all) {
      if (window.record(failed, tookMillis, now)) trips = true
    }
    if (trips) return 1
    return this.#partial.length === 0 ? 0 : this.shareAt(now)
  }

  shareAt(now: number, looks?: boolean): number {
    let share = 0
    for (const window of this.#partial) share = Math.max(share, window.shareAt(now, looks))
    return share
  }

  countsAt(now: number): WindowCounts {
    let counts = nothing
    let slowRate = 0
    for (const window of this.#all) {
      const next = window.countsAt?.(now) ?? nothing
      slowRate = Math.max(slowRate, next.slowRate)
      if (next.buffered > counts.buffered) counts = next
    }
    return { ...counts, slowRate }
  }

  save(now: number): ReadonlyArray<SavedWindow> {
    return this.#all.map((window) => window.save?.(now) ?? {})
  }

  restore(saved: ReadonlyArray<SavedWindow>, now: number, elapsed: number) {
    this.#all.forEach((window, index) => window.restore?.(saved[index] ?? {}, now, elapsed))
  }
}

export const nothing: WindowCounts = { buffered: 0, failureRate: 0, slowRate: 0 }
