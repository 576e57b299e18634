/**
 * How long to wait before each retry, as plain data.
 *
 * **Why**
 *
 * Waiting longer each time gives a struggling server room; jitter keeps callers that failed together from coming back
 * together. Every formula has its source below, and `RetryPolicy.preview` shows what it does.
 *
 * **Details**
 *
 * Before jitter, the delay before the n-th retry is `min(cap, base * factor ** (n - 1))`. Jitter then makes of that `d`:
 *
 * | jitter | delay | source |
 * | --- | --- | --- |
 * | `"none"` | `d` | |
 * | `"full"` | uniform in 0 to `d` | AWS, *Exponential Backoff and Jitter* (2015) |
 * | `"equal"` | `d / 2` plus uniform in 0 to `d / 2` | the same |
 * | `"decorrelated"` | uniform in `base` to three times the previous delay, at most `cap` | the same |
 * | `"polly"` | smooth and decorrelated, about `base` in the median at first; for a constant one uniform in 0.75 to 1.25 times it | Polly 8, `RetryHelper` |
 * | a number `r` from 0 to 1 | uniform in `d * (1 - r)` to `d * (1 + r)` | gRPC A6 with 0.2 |
 *
 * Delays are whole milliseconds, finite, never negative and never longer than `cap`, after any number of retries. Only a
 * numeric jitter is applied after the cap, as gRPC does. Without a cap they end at .NET's longest `TimeSpan`, 29,247 years.
 *
 * **Example** (Doubling, with a cap)
 *
 * ```ts import.meta.vitest
 * import { Backoff } from "@effect-resilience/retry"
 * import { Duration } from "effect"
 *
 * const next = Backoff.delays(Backoff.exponential({ base: "100 millis", cap: "300 millis", jitter: "none" }))
 * const waits = [next(), next(), next(), next()]
 * waits.map(Duration.toMillis) // => [100, 200, 300, 300]
 * ```
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as internal from "./internal/delays.ts"
import * as refuse from "./internal/refuse.ts"
import * as stored from "./internal/stored.ts"

/**
 * How chance changes a delay; the module documentation has the formulas.
 *
 * @category models
 * @since 0.1.0
 */
export type Jitter = "none" | "full" | "equal" | "decorrelated" | "polly" | number

/**
 * A growing or constant delay. `factor` 1 is constant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backoff {
  readonly base: Duration.Duration
  readonly factor: number
  readonly cap: Duration.Duration
  readonly jitter: Jitter
}

/**
 * Delays that multiply by `factor` until they reach `cap`.
 *
 * - `base`: before the first retry, ahead of jitter; default 100 millis.
 * - `factor`: at least 1; default 2.
 * - `cap`: the longest delay; default 20 seconds.
 * - `jitter`: default `"full"`, which the source found to need the fewest calls. `"polly"` knows the factors 1 and 2.
 *
 * A backoff that was stored as JSON can be given as it was read. Throws `RangeError` where a value makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const exponential = (options: {
  readonly base?: Duration.Input | undefined
  readonly factor?: number | undefined
  readonly cap?: Duration.Input | undefined
  readonly jitter?: Jitter | undefined
} = {}): Backoff => {
  const { factor = 2, jitter = "full" } = options
  const base = stored.duration(options.base ?? 100)
  const cap = stored.duration(options.cap ?? 20_000)
  const baseMillis = Duration.toMillis(base)
  refuse.unless(baseMillis >= 0 && baseMillis < Infinity, "Backoff: base must be finite and 0 or more", base)
  refuse.unless(factor >= 1 && factor < Infinity, "Backoff: factor must be finite and 1 or more", factor)
  refuse.unless(Duration.toMillis(cap) >= baseMillis, `Backoff: cap must be ${base} or more`, cap)
  refuse.unless(
    typeof jitter === "string" ? named.has(jitter) : jitter >= 0 && jitter <= 1,
    `Backoff: jitter must be 0 to 1 or one of ${[...named].join(", ")}`,
    jitter
  )
  refuse.unless(
    jitter !== "polly" || factor === 1 || factor === 2,
    "Backoff: with Polly's jitter factor must be 1 or 2",
    factor
  )
  return { base, factor, cap, jitter }
}

/**
 * The same delay before every retry, by default without jitter.
 *
 * @category constructors
 * @since 0.1.0
 */
export const constant = (delay: Duration.Input, jitter: Jitter = "none"): Backoff => {
  const base = Duration.fromInputUnsafe(delay)
  return exponential({
    base,
    factor: 1,
    cap: jitter === "decorrelated" || jitter === "polly" ? Duration.times(base, 3) : base,
    jitter
  })
}

/**
 * No waiting.
 *
 * @category constructors
 * @since 0.1.0
 */
export const immediate: Backoff = { base: Duration.zero, factor: 1, cap: Duration.zero, jitter: "none" }

/**
 * Starts one run of a backoff: each call gives the delay before the next retry. `random` draws from 0 (inclusive) to 1
 * (exclusive); a backoff without jitter never calls it.
 *
 * @category running
 * @since 0.1.0
 */
export const delays = (self: Backoff, random: () => number = half): () => Duration.Duration => {
  const position: internal.Position = { retries: 0, previous: 0 }
  return () => Duration.millis(internal.next(self, position, random))
}

const named: ReadonlySet<string> = /* @__PURE__ */ new Set(["none", "full", "equal", "decorrelated", "polly"])

const half = () => 0.5
