import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import type * as Store from "effect/persistence/CircuitBreaker"

/** When a closed circuit opens. */
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

/** The last `size` calls, of which some are bad. */
export class CountWindow implements TripWindow {
  #ring: Uint8Array | undefined
  #next = 0
  #filled = 0
  #bad = 0
  readonly #count: Count
  readonly #isBad: (failed: boolean, tookMillis: number) => boolean

  constructor(count: Count, isBad: (failed: boolean, tookMillis: number) => boolean) {
    this.#count = count
    this.#isBad = isBad
  }

  record(failed: boolean, tookMillis: number): boolean {
    const { minimumCalls, size, threshold } = this.#count
    const ring = this.#ring ??= new Uint8Array(size)
    const bad = this.#isBad(failed, tookMillis) ? 1 : 0
    this.#bad += bad - (ring[this.#next] ?? 0)
    ring[this.#next] = bad
    this.#next = this.#next + 1 === size ? 0 : this.#next + 1
    if (this.#filled < size) this.#filled++
    return this.#bad > 0 && this.#filled >= minimumCalls && this.#bad / this.#filled >= threshold
  }
}
