import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import type * as Store from "effect/persistence/CircuitBreaker"

/** When a closed circuit opens, or rejects a share of the calls. */
export interface TripRule {
  /** Starts to count. */
  readonly start: () => TripWindow
  /** Whether it needs the time of a call. */
  readonly timed: boolean
  /** Whether successes before the first failure change nothing. */
  readonly ignoresFirstSuccesses: boolean
  /** A probe that takes longer fails. */
  readonly slowMillis: number
  /** The same rule for a store that processes share, where it has one. */
  readonly shared: Store.TripPolicy | undefined
}

/** Counts outcomes and tells after each one whether the circuit has to open. */
export interface TripWindow {
  record(failed: boolean, tookMillis: number, now: number): boolean
  /**
   * The share of calls to reject, from 0 to 1, which opens the circuit. For a rule that is `timed` and rejects in part. A reader
   * that only `looks`, such as a metric, changes nothing.
   */
  shareAt?(now: number, looks?: boolean): number
  countsAt?(now: number): WindowCounts
  /** What `restore` takes; `undefined` where there is nothing worth it. */
  save?(now: number): SavedWindow | undefined
  /** Takes what it understands of it: it may be that of another rule. `elapsed` is the time since it was saved. */
  restore?(saved: SavedWindow, now: number, elapsed: number): void
}

/**
 * What a window holds.
 *
 * - `failureRate`, `slowRate`: the shares of these that failed, and that were slow, from 0 to 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface WindowCounts {
  /** How many outcomes. */
  readonly buffered: number
  readonly failureRate: number
  readonly slowRate: number
}

/** A window as data. */
export interface SavedWindow {
  readonly [name: string]: ReadonlyArray<number>
}

export const rule = (start: () => TripWindow, rest?: Partial<TripRule>): TripRule => ({
  start,
  timed: false,
  ignoresFirstSuccesses: false,
  slowMillis: Infinity,
  shared: undefined,
  ...rest
})

export const threshold = /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 1 }), 0.5)

const atLeastOne = /* @__PURE__ */ Field.integer({ min: 1 })

/** The fields of a rule that looks back on a number of calls. */
export const countFields = {
  threshold,
  size: /* @__PURE__ */ Field.withDefault(atLeastOne, 100),
  minimumCalls: /* @__PURE__ */ Field.optional(atLeastOne)
}

export interface Count {
  readonly threshold: number
  readonly size: number
  readonly minimumCalls: number
}

export const countOf = (
  { minimumCalls, size, threshold }: Field.Settings<typeof countFields>,
  path: string
): Count => {
  const least = minimumCalls ?? size
  requireArgument(least <= size, `${path}.minimumCalls`, `an integer from 1 to ${size}`, least)
  return { threshold, minimumCalls: least, size }
}

export const isFailed = 1
export const isSlow = 2

/** The last `size` calls, of which some failed and some were slow; one of the two is bad. */
export class CountWindow implements TripWindow {
  #ring: Uint8Array | undefined
  #next = 0
  #filled = 0
  #failed = 0
  #slow = 0
  readonly #count: Count
  readonly #bad: typeof isFailed | typeof isSlow
  readonly #slowMillis: number

  constructor(count: Count, bad: typeof isFailed | typeof isSlow, slowMillis: number) {
    this.#count = count
    this.#bad = bad
    this.#slowMillis = slowMillis
  }

  record(failed: boolean, tookMillis: number): boolean {
    this.#add((failed ? isFailed : 0) | (tookMillis > this.#slowMillis ? isSlow : 0))
    const { minimumCalls, threshold } = this.#count
    const bad = this.#bad === isFailed ? this.#failed : this.#slow
    return bad > 0 && this.#filled >= minimumCalls && bad / this.#filled >= threshold
  }

  countsAt(): WindowCounts {
    const buffered = this.#filled
    return buffered === 0
      ? { buffered, failureRate: 0, slowRate: 0 }
      : { buffered, failureRate: this.#failed / buffered, slowRate: this.#slow / buffered }
  }

  /** The outcomes, oldest first. */
  save(): SavedWindow | undefined {
    const ring = this.#ring
    if (ring === undefined) return undefined
    const oldest = this.#next + ring.length - this.#filled
    return { outcomes: Array.from({ length: this.#filled }, (_, index) => ring[(oldest + index) % ring.length] ?? 0) }
  }

  restore({ outcomes }: SavedWindow) {
    for (const outcome of outcomes ?? []) this.#add(outcome & (isFailed | isSlow))
  }

  #add(outcome: number) {
    const { size } = this.#count
    const ring = this.#ring ??= new Uint8Array(size)
    const dropped = ring[this.#next] ?? 0
    this.#failed += (outcome & isFailed) - (dropped & isFailed)
    this.#slow += (outcome >> 1) - (dropped >> 1)
    ring[this.#next] = outcome
    this.#next = this.#next + 1 === size ? 0 : this.#next + 1
    if (this.#filled < size) this.#filled++
  }
}
