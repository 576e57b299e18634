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
 * Before jitter, the delay before the n-th retry is
 *
 * | written | delay |
 * | --- | --- |
 * | `{ base, factor, cap, jitter }`, by `exponential` or `constant` | `min(cap, base * factor ** (n - 1))` |
 * | `{ linear: { base, step, cap, jitter } }`, by `linear` | `min(cap, base + step * (n - 1))` |
 * | `{ list: ["100 millis", "1 second"] }`, by `list` | the n-th, and the last one from then on |
 * | `{ custom: f }`, by `custom`; JSON names the function | what it returns |
 *
 * Jitter then makes of that `d`:
 *
 * | jitter | delay | source |
 * | --- | --- | --- |
 * | `"none"` | `d` | |
 * | `"full"` | uniform in 0 to `d` | AWS, *Exponential Backoff and Jitter* (2015) |
 * | `"equal"` | `d / 2` plus uniform in 0 to `d / 2` | the same |
 * | `"decorrelated"` | uniform in `base` to three times the previous delay, at most `cap` | the same |
 * | `"polly"` | smooth and decorrelated, about `base` in the median at first; for a constant or linear one uniform in 0.75 to 1.25 times it | Polly 8, `RetryHelper` |
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
 * @stability stable
 * @since 0.1.0
 */
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as variants from "./delay/index.ts"
import * as internal from "./internal/delays.ts"
import type { Jitter } from "./internal/jitterField.ts"
import { jitterField } from "./internal/jitterField.ts"

export type { Step } from "./delay/custom.ts"
export * from "./delay/index.ts"
export type { Jitter }

/**
 * A growing or constant delay. `factor` 1 is constant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exponential {
  /** Before the first retry, ahead of jitter. */
  readonly base: Duration.Input
  readonly factor: number
  /** The longest delay. */
  readonly cap: Duration.Input
  /** How chance changes a delay. */
  readonly jitter: Jitter
}

/**
 * Delays that do not grow exponentially, as `linear`, `list` and `custom` write them.
 *
 * @category models
 * @since 0.1.0
 */
export type Delays = Field.OneOf<typeof variants>

/**
 * How long to wait before each retry.
 *
 * @category models
 * @since 0.1.0
 */
export type Backoff = Exponential | Delays

/**
 * How an exponential backoff is written, in code and in JSON.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExponentialOptions {
  /** Before the first retry, ahead of jitter; default 500 millis. */
  readonly base?: Duration.Input | undefined
  /** At least 1; default 2. */
  readonly factor?: number | undefined
  /** The longest delay; default 20 seconds. */
  readonly cap?: Duration.Input | undefined
  /** Default `"full"`, which the source found to need the fewest calls. `"polly"` knows the factors 1 and 2. */
  readonly jitter?: Jitter | undefined
}

/**
 * How any backoff is written, in code and in JSON.
 *
 * @category models
 * @since 0.1.0
 */
export type Options = ExponentialOptions | Delays

/**
 * A backoff that was read: how it was written, with its defaults, and how its delays are drawn.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  /** How it was written, with defaults. */
  readonly backoff: Backoff
  /** Draws the next delay. */
  readonly draw: internal.Draw
}

const defaults: Exponential = { base: "500 millis", factor: 2, cap: "20 seconds", jitter: "full" }

/**
 * The options of an exponential backoff as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  base: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ finite: true }), defaults.base),
  factor: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1 }), defaults.factor),
  cap: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), defaults.cap),
  jitter: /* @__PURE__ */ jitterField(defaults.jitter)
} satisfies Field.Fields<ExponentialOptions>

const struct = /* @__PURE__ */ Field.struct(fields)

const exponentialField: Field.Field<ExponentialOptions, Settings & { readonly backoff: Exponential }> = {
  ...struct,
  read: (options, path) => {
    const settings = struct.read(options, path)
    const base = internal.millisOf(settings.base)
    const cap = internal.millisOf(settings.cap)
    const { factor } = settings
    requireArgument(cap >= base, `${path}.cap`, `at least the base, ${settings.base}`, settings.cap)
    // base * factor ** retries is NaN for a base of 0 once the power overflows.
    const at = (retries: number) => base === 0 ? 0 : base * factor ** retries
    return {
      backoff: {
        base: options.base ?? defaults.base,
        factor,
        cap: options.cap ?? defaults.cap,
        jitter: options.jitter ?? defaults.jitter
      },
      draw: settings.jitter({ base, cap, factor, at }, path)
    }
  }
}

const isDelays = (value: unknown): boolean =>
  Predicate.isObject(value) ? Object.keys(value).some(isVariant) : Predicate.isString(value)

const isVariant = (name: string): boolean => Object.hasOwn(variants, name)

const choice = /* @__PURE__ */ Field.variants(variants)

/**
 * A backoff as an option of something else. It is read once, to what `delays` takes.
 *
 * @category fields
 * @since 0.1.0
 */
export const field: Field.Field<Options, Settings> = /* @__PURE__ */ Field.either(
  isDelays,
  {
    ...choice,
    read: (backoff: Delays, path: string): Settings => ({ backoff, draw: choice.read(backoff, path) })
  },
  exponentialField
)

/**
 * True for a backoff that `exponential` or `constant` made.
 *
 * @category guards
 * @since 0.1.0
 */
export const isExponential = (self: Backoff): self is Exponential => Predicate.hasProperty(self, "factor")

/**
 * True for a backoff, false for a duration: for an option that may be either.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOptions = (value: unknown): boolean =>
  !Field.isDuration(value) || (Predicate.isString(value) && isVariant(value))

/**
 * Delays that multiply by `factor` until they reach `cap`. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const exponential = (options: ExponentialOptions = {}): Exponential =>
  exponentialField.read(options, "Backoff").backoff

/**
 * The same delay before every retry, by default without jitter. A jitter may triple it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const constant = (delay: Duration.Input, jitter: Jitter = "none"): Exponential =>
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
export const immediate: Exponential = { base: 0, factor: 1, cap: 0, jitter: "none" }

/**
 * Starts one run of a backoff: each call gives the delay before the next retry. `random` draws from 0 (inclusive) to 1
 * (exclusive); a backoff without jitter never calls it.
 *
 * @category running
 * @since 0.1.0
 */
export const delays = (self: Options | Settings, random: () => number = half): () => Duration.Duration => {
  const { draw } = Predicate.hasProperty(self, "draw") ? self : field.read(self, "Backoff")
  const position = internal.begin()
  return () => Duration.millis(internal.next(draw, position, random))
}

const half = () => 0.5
