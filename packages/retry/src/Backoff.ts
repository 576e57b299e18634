/**
 * How long to wait before each retry, as plain data.
 *
 * **Why**
 *
 * Waiting longer each time gives a struggling server room; jitter keeps callers that failed together from coming back
 * together. Every formula has its source below, and `Preview` shows what it does.
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
 * | `{ proportional: r }`, or `r` alone, from 0 to 1 | uniform in `d * (1 - r)` to `d * (1 + r)` | gRPC A6 with 0.2 |
 *
 * Delays are whole milliseconds, finite, never negative and never longer than `cap`, after any number of retries. Only
 * `proportional` is applied after the cap, as gRPC does. Without a cap they end at .NET's longest `TimeSpan`, 29,247 years.
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
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as internal from "./internal/delays.ts"
import * as jitters from "./jitter/index.ts"

/**
 * How chance changes a delay; the module documentation has the formulas. A number is short for `{ proportional: number }`.
 *
 * @category models
 * @since 0.1.0
 */
export type Jitter = Field.OneOf<typeof jitters> | number

/**
 * A growing or constant delay. `factor` 1 is constant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backoff {
  readonly base: Duration.Input
  readonly factor: number
  readonly cap: Duration.Input
  readonly jitter: Jitter
}

/**
 * A backoff that was read, and how its delays are drawn.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings extends Backoff {
  readonly draw: internal.Draw
}

/**
 * How a backoff is written, in code and in JSON.
 *
 * - `base`: before the first retry, ahead of jitter; default 500 millis.
 * - `factor`: at least 1; default 2.
 * - `cap`: the longest delay; default 20 seconds.
 * - `jitter`: default `"full"`, which the source found to need the fewest calls. `"polly"` knows the factors 1 and 2.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly base?: Duration.Input | undefined
  readonly factor?: number | undefined
  readonly cap?: Duration.Input | undefined
  readonly jitter?: Jitter | undefined
}

const defaults: Backoff = { base: "500 millis", factor: 2, cap: "20 seconds", jitter: "full" }

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  base: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ finite: true }), defaults.base),
  factor: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1 }), defaults.factor),
  cap: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), defaults.cap),
  jitter: /* @__PURE__ */ Field.withDefault(
    /* @__PURE__ */ Field.either(Predicate.isNumber, jitters.proportional, /* @__PURE__ */ Field.variants(jitters)),
    defaults.jitter
  )
} satisfies Field.Fields<Options>

const struct = /* @__PURE__ */ Field.struct(fields)

/**
 * A backoff as an option of something else. It is read once, to what `delays` takes.
 *
 * @category fields
 * @since 0.1.0
 */
export const field: Field.Field<Options, Settings> = {
  shape: struct.shape,
  optional: false,
  read: (options, path) => {
    const { base, cap, factor, jitter } = struct.read(options, path)
    const growth = { base: millisOf(base), factor, cap: millisOf(cap) }
    requireArgument(growth.cap >= growth.base, `${path}.cap`, `at least the base, ${base}`, cap)
    return {
      base: options.base ?? defaults.base,
      factor,
      cap: options.cap ?? defaults.cap,
      jitter: options.jitter ?? defaults.jitter,
      draw: jitter(growth, path)
    }
  }
}

/**
 * Delays that multiply by `factor` until they reach `cap`. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const exponential = (options: Options = {}): Backoff => {
  const { draw: _, ...backoff } = field.read(options, "Backoff")
  return backoff
}

/**
 * The same delay before every retry, by default without jitter. A jitter may triple it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const constant = (delay: Duration.Input, jitter: Jitter = "none"): Backoff =>
  exponential({
    base: delay,
    factor: 1,
    cap: jitter === "none" ? delay : 3 * Duration.toMillis(delay),
    jitter
  })

/**
 * No waiting.
 *
 * @category constructors
 * @since 0.1.0
 */
export const immediate: Backoff = { base: 0, factor: 1, cap: 0, jitter: "none" }

/**
 * Starts one run of a backoff: each call gives the delay before the next retry. `random` draws from 0 (inclusive) to 1
 * (exclusive); a backoff without jitter never calls it.
 *
 * @category running
 * @since 0.1.0
 */
export const delays = (self: Options | Settings, random: () => number = half): () => Duration.Duration => {
  const { draw } = "draw" in self ? self : field.read(self, "Backoff")
  const position = internal.begin()
  return () => Duration.millis(internal.next(draw, position, random))
}

const half = () => 0.5

const millisOf = (duration: Duration.Duration) => Math.min(internal.longestMillis, Duration.toMillis(duration))
