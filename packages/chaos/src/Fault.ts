/**
 * Faults for any Effect: it fails, is late, hangs, is interrupted, returns something wrong, or its clock jumps.
 *
 * **Details**
 *
 * A fault is a value. `Chaos` decides for each call whether it strikes, from a seed.
 *
 * | fault | the call |
 * | --- | --- |
 * | `fail`, `die` | fails |
 * | `delay` | takes longer |
 * | `hang` | waits until the fault is off |
 * | `interrupt` | is interrupted |
 * | `succeed` | returns something else |
 * | `corrupt` | returns its result, changed |
 * | `clockJump` | sees another time of day |
 *
 * Those with `after: true` strike when the call has been done and its result is lost. That is the case that tells a retry
 * which is safe from one that applies something twice.
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Chance } from "./internal/chance.ts"
import * as check from "./internal/check.ts"
import * as Latency from "./Latency.ts"
import type { When } from "./When.ts"

/**
 * The call that a fault strikes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call<out S = unknown> {
  /** What was called, as the caller of `inject` names it. */
  readonly subject: S
  /** The subject as text. */
  readonly key: string
  /** 0 for the fault's first call with this key. */
  readonly index: number
  /** Numbers from 0 to below 1, the same for the same seed, key and index. */
  readonly chance: Chance
  /** Waits until the fault is off. */
  readonly off: Effect.Effect<void>
}

/**
 * A fault for calls of `S` that return an `In`, which may return an `A` and fail with an `E` of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fault<in S = unknown, in In = unknown, out A = never, out E = never> {
  /** Identifies the fault in spans, logs, metrics and `Controls`. */
  readonly name: string
  /** What it does, in a word or two, such as `clockJump`. */
  readonly kind: string
  /** Which calls it strikes. */
  readonly when: When<S>
  /** Puts the fault around a call. */
  readonly apply: (
    call: Call<S>
  ) => <B extends In, F, R>(effect: Effect.Effect<B, F, R>) => Effect.Effect<A | B, E | F, R>
}

/**
 * The name of a fault, and the calls that it strikes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in S = unknown> extends When<S> {
  /** In spans, logs and metrics; default the kind of the fault. The faults of one `Chaos` need different names. */
  readonly name?: string | undefined
}

/**
 * The same, and whether the fault strikes before or after the call.
 *
 * @category models
 * @since 0.1.0
 */
export interface AroundOptions<in S = unknown> extends Options<S> {
  /** Strikes after the call has been done, so that its result is lost; default `false`. */
  readonly after?: boolean | undefined
}

/**
 * Creates a fault of your own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <S = unknown, In = unknown, A = never, E = never>(
  kind: string,
  options: Options<S>,
  apply: Fault<S, In, A, E>["apply"]
): Fault<S, In, A, E> => {
  const { name = kind, ...when } = options
  return { name, kind, when, apply }
}

/** Runs `instead` in place of the call, or after it. */
const around = <S, A, E>(
  kind: string,
  options: AroundOptions<S>,
  instead: (call: Call<S>) => Effect.Effect<A, E>
): Fault<S, unknown, A, E> =>
  make(kind, options, (call) => (effect) => options.after ? Effect.andThen(effect, instead(call)) : instead(call))

/** Waits for `pause` before the call, or after it. */
const pausing = <S>(
  kind: string,
  options: AroundOptions<S>,
  pause: (call: Call<S>) => Effect.Effect<void>
): Fault<S> =>
  make(
    kind,
    options,
    (call) => (effect) => options.after ? Effect.tap(effect, () => pause(call)) : Effect.andThen(pause(call), effect)
  )

/**
 * Fails with an error, instead of the call or after it.
 *
 * @category faults
 * @since 0.1.0
 */
export const fail = <E, S = unknown>(
  error: (call: Call<S>) => E,
  options: AroundOptions<S> = {}
): Fault<S, unknown, never, E> => around("fail", options, (call) => Effect.failSync(() => error(call)))

/**
 * Dies with a defect, instead of the call or after it.
 *
 * @category faults
 * @since 0.1.0
 */
export const die = <S = unknown>(defect: (call: Call<S>) => unknown, options: AroundOptions<S> = {}): Fault<S> =>
  around("die", options, (call) => Effect.die(defect(call)))

/**
 * Waits before the call, or after it. The wait ends when the fault is switched off.
 *
 * @category faults
 * @since 0.1.0
 */
export const delay = <S = unknown>(latency: Latency.Input, options: AroundOptions<S> = {}): Fault<S> => {
  const { sample } = Latency.fromInput(latency)
  return pausing("delay", options, (call) => Effect.raceFirst(Effect.sleep(sample(call.chance)), call.off))
}

/**
 * Waits before the call, or after it, until the fault is switched off.
 *
 * @category faults
 * @since 0.1.0
 */
export const hang = <S = unknown>(options: AroundOptions<S> = {}): Fault<S> =>
  pausing("hang", options, (call) => call.off)

/**
 * Interrupts, instead of the call or after it.
 *
 * @category faults
 * @since 0.1.0
 */
export const interrupt = <S = unknown>(options: AroundOptions<S> = {}): Fault<S> =>
  around("interrupt", options, () => Effect.interrupt)

/**
 * Returns another result, instead of the call or after it.
 *
 * @category faults
 * @since 0.1.0
 */
export const succeed = <A, S = unknown>(
  value: (call: Call<S>) => A,
  options: AroundOptions<S> = {}
): Fault<S, unknown, A> => around("succeed", options, (call) => Effect.sync(() => value(call)))

/**
 * Changes the result of the call.
 *
 * @category faults
 * @since 0.1.0
 */
export const corrupt = <In, A, S = unknown>(
  change: (value: In, call: Call<S>) => A,
  options: Options<S> = {}
): Fault<S, In, A> => make("corrupt", options, (call) => Effect.map((value) => change(value, call)))

/**
 * Moves the time of day that the call sees, forward or back.
 *
 * **Details**
 *
 * - `after`: how long the call has run when its clock jumps; default 0.
 * - `forward`: how far the time of day jumps ahead.
 * - `back`: how far the time of day jumps back.
 *
 * **Gotchas**
 *
 * Sleeps and the monotonic time do not jump, as on a machine whose clock is set.
 *
 * @category faults
 * @since 0.1.0
 */
export const clockJump = <S = unknown>(
  by: { readonly forward: Duration.Input } | { readonly back: Duration.Input },
  options: Options<S> & { readonly after?: Duration.Input | undefined } = {}
): Fault<S> => {
  const { after = 0, ...rest } = options
  const jump = "forward" in by ? check.millis("forward", by.forward) : -check.millis("back", by.back)
  const start = check.millis("after", after)
  return make<S>(
    "clockJump",
    rest,
    () => (effect) =>
      Clock.clockWith((clock) => Effect.provideService(effect, Clock.Clock, new JumpingClock(clock, jump, start)))
  )
}

class JumpingClock implements Clock.Clock {
  private readonly clock: Clock.Clock
  private readonly jump: number
  private readonly from: bigint

  constructor(clock: Clock.Clock, jump: number, afterMillis: number) {
    this.clock = clock
    this.jump = jump
    this.from = clock.monotonicTimeNanosUnsafe() + BigInt(Math.round(afterMillis * 1e6))
  }

  private get offset(): number {
    return this.clock.monotonicTimeNanosUnsafe() < this.from ? 0 : this.jump
  }

  currentTimeMillisUnsafe(): number {
    return this.clock.currentTimeMillisUnsafe() + this.offset
  }

  currentTimeNanosUnsafe(): bigint {
    return this.clock.currentTimeNanosUnsafe() + BigInt(Math.round(this.offset * 1e6))
  }

  monotonicTimeNanosUnsafe(): bigint {
    return this.clock.monotonicTimeNanosUnsafe()
  }

  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.currentTimeMillisUnsafe())
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.monotonicTimeNanosUnsafe())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return this.clock.sleep(duration)
  }
}
