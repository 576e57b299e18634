import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"

/**
 * A wait that is longer than most recent attempts took.
 *
 * - `min`, `max`: bounds of the wait; default 1 millis and 10 seconds.
 *
 * An attempt that lost counts with the time until it was interrupted: leaving it out would make the percentile shrink
 * with each hedge. One that failed does not count: failures are often quick.
 *
 * @category models
 * @since 0.1.0
 */
export interface Percentile {
  /** The share of recent latencies to wait for, between 0 and 1; 0.95 is usual. */
  readonly percentile: number
  /** The wait until `samples / 4` latencies are known; default 100 millis. */
  readonly initial?: Duration.Input | undefined
  readonly min?: Duration.Input | undefined
  readonly max?: Duration.Input | undefined
  /** How many latencies count; default 128. */
  readonly samples?: number | undefined
}

/** How long a hedge waits, and how it learns that. */
export interface Wait {
  /** The present wait before the next attempt. */
  readonly afterUnsafe: () => Duration.Duration
  /** Takes the latency of an attempt. */
  readonly recordUnsafe: (latency: Duration.Duration) => void
}

export const percentileFields = {
  percentile: /* @__PURE__ */ Field.number({ above: 0, below: 1 }),
  initial: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "100 millis"),
  min: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "1 millis"),
  max: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "10 seconds"),
  samples: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 4 }), 128)
} satisfies Field.Fields<Percentile>

export const fixed = (after: Duration.Duration): () => Wait => () => ({
  afterUnsafe: () => after,
  recordUnsafe: () => {}
})

export const learning = (
  { initial, max, min, percentile, samples }: Field.Settings<typeof percentileFields>,
  path: string
): () => Wait => {
  const minMillis = Duration.toMillis(min)
  const maxMillis = Duration.toMillis(max)
  requireArgument(maxMillis >= minMillis, `${path}.max`, `at least min, ${min}`, max)
  return () => {
    const latencies: Array<number> = []
    let recorded = 0
    let after = initial
    const learn = () => {
      const sorted = latencies.toSorted((a, b) => a - b)
      const found = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * percentile))] ?? 0
      after = Duration.millis(Math.min(maxMillis, Math.max(minMillis, Math.ceil(found))))
    }
    return {
      afterUnsafe: () => after,
      recordUnsafe: (latency) => {
        latencies[recorded++ % samples] = Duration.toMillis(latency)
        // Sorting at every call would cost more than it tells.
        if (recorded % Math.ceil(samples / 16) === 0 && latencies.length >= samples / 4) learn()
      }
    }
  }
}
