/**
 * Sends less to a server that refuses much, without a word from it.
 *
 * **Why**
 *
 * Refusing a request costs a server nearly as much as serving a cheap one, so an overloaded server can be kept down by
 * requests that it refuses. Each client that counts how many of its requests are accepted can stop the excess at home.
 *
 * **Details**
 *
 * A call is refused with probability `max(0, (requests - k * accepts) / (requests + 1))`, where both are counted over the
 * last `window`, calls refused here included. From Google's *Site Reliability Engineering*, chapter 21, "Client-Side
 * Throttling". With `k` 2 the server still sees about as many requests that it refuses as ones that it accepts, which is
 * how the client learns that it is back.
 *
 * The probability is at most `maxProbability`, as Envoy's admission control has it: after an outage that filled the window
 * nearly no call would pass that could tell that the server is back, and it took the book's formula many minutes to notice.
 * With the defaults 95 % of the calls pass again about 15 seconds after the server is back, however long it was down. The
 * price: a server that is down sees a fifth of the calls. Set 1 and 2 minutes for the book's.
 *
 * What counts as accepted is decided by `Outcome`: every answer but a failure. Interrupted calls do not count.
 *
 * Unlike a circuit breaker it has no states: some calls always pass, and it follows the server within seconds. Fewer than
 * `minimumCalls` in the window tell nothing, so a dependency that is called less often is never throttled.
 *
 * **Example** (A server that refuses everything)
 *
 * ```ts import.meta.vitest
 * import { Throttle } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const throttle = yield* Throttle.make({ key: "search" })
 *   const call = Effect.fail("503").pipe(Throttle.withThrottle(throttle), Effect.ignore)
 *   yield* Effect.repeat(call, { times: 99 })
 *   return yield* throttle.stats
 * })
 *
 * const { probability } = await Effect.runPromise(program)
 * probability // => 0.8
 * ```
 *
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { Slices } from "./internal/slices.ts"
import * as Outcome from "./Outcome.ts"
import * as Rejection from "./Rejection.ts"

/**
 * A throttle.
 *
 * @category models
 * @since 0.1.0
 */
export interface Throttle {
  /** The name that errors carry. */
  readonly key: string
  /** Runs an effect, or refuses it by chance. */
  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Throttled, R>
  /** What was counted, and the probability of refusing the next call. */
  readonly stats: Effect.Effect<Stats>
}

/**
 * A look at a throttle.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly requests: number
  readonly accepts: number
  readonly probability: number
}

/**
 * How to make a throttle.
 *
 * - `key`: the name in errors; default `"default"`.
 * - `k`: how many requests to send for each that is accepted; at least 1, default 2. Lower is stricter.
 * - `window`: how far to look back, to a tenth of it; default 10 seconds.
 * - `maxProbability`: the most that is refused, from 0 to 1; default 0.8, that of Envoy. With 1 an outage as long as the window
 *   is followed by minutes without calls.
 * - `minimumCalls`: refuses nothing before so many calls in the window; default 10.
 * - `classify`: what an exit says about the server; default `Outcome.of`. Interruption is ignored without asking it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly key?: string | undefined
  readonly k?: number | undefined
  readonly window?: Duration.Input | undefined
  readonly maxProbability?: number | undefined
  readonly minimumCalls?: number | undefined
  readonly classify?: ((exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome) | undefined
}

/**
 * The throttle kept a call from an overloaded server. It did not run.
 *
 * @category errors
 * @since 0.1.0
 */
export class Throttled extends Data.TaggedError("Throttled")<{
  readonly key: string
}> {
  get [Rejection.symbol](): true {
    return true
  }
  get [NotAsked.symbol](): true {
    return true
  }
  /** Unknown: the server did not say. */
  get retryAfter(): undefined {
    return undefined
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    return `The server behind "${this.key}" refuses too much; this call was not sent. Try again later.`
  }
}

/**
 * Makes a throttle. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Throttle> => {
  const settings = settingsOf(options)
  return Effect.sync(() => new Counting(settings, options.key ?? "default"))
}

/**
 * Makes a throttle for each key.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (
  options: Omit<Options, "key"> & { readonly capacity?: number | undefined } = {}
): Effect.Effect<Keyed.Keyed<Throttle>> => {
  const settings = settingsOf(options)
  const capacity = Keyed.capacityOf(options)
  return Effect.sync(() => Keyed.make({ capacity, make: (key) => new Counting(settings, key), isIdle: () => true }))
}

/**
 * A throttle that refuses nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Throttle = {
  key: "noop",
  execute: (self) => self,
  stats: /* @__PURE__ */ Effect.succeed({ requests: 0, accepts: 0, probability: 0 })
}

/**
 * Runs an effect through a throttle.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withThrottle: {
  (throttle: Throttle): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Throttled, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, throttle: Throttle): Effect.Effect<A, E | Throttled, R>
} = /* @__PURE__ */ dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, throttle: Throttle) => throttle.execute(self))

/**
 * The service for programs that have one throttle.
 *
 * @category services
 * @since 0.1.0
 */
export const Throttle: Context.Service<Throttle, Throttle> = /* @__PURE__ */ Context.Service<Throttle>(
  "@effect-resilience/limit/Throttle"
)

/**
 * Provides a throttle.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<Throttle> => Layer.effect(Throttle, make(options))

/**
 * Provides a throttle that refuses nothing.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<Throttle> = /* @__PURE__ */ Layer.succeed(Throttle, noop)

interface Settings {
  readonly k: number
  readonly windowMillis: number
  readonly maxProbability: number
  readonly minimumCalls: number
  readonly classify: (exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome
}

class Counting implements Throttle {
  readonly key: string
  private readonly settings: Settings
  private readonly slices: Slices
  private refusal: Exit.Exit<never, Throttled> | undefined

  constructor(settings: Settings, key: string) {
    this.key = key
    this.settings = settings
    this.slices = new Slices(settings.windowMillis)
  }

  get stats() {
    return Effect.withFiber((fiber) => {
      this.slices.advance(monotonicMillis(fiber.getRef(Clock.Clock)))
      const { totalCalls: requests, totalMarked: accepts } = this.slices
      return Effect.succeed({ requests, accepts, probability: this.probability })
    })
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Throttled, R> {
    return Effect.withFiber((fiber): Effect.Effect<A, E | Throttled, R> => {
      const clock = fiber.getRef(Clock.Clock)
      const now = monotonicMillis(clock)
      this.slices.advance(now)
      const probability = this.probability
      if (probability > 0 && fiber.getRef(Random.Random).nextDoubleUnsafe() < probability) {
        this.slices.add(now, false)
        return this.refusal ??= Exit.fail(new Throttled({ key: this.key }))
      }
      return Effect.onExitPrimitive(self, (exit) => {
        if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return undefined
        const outcome = this.settings.classify(exit)
        if (outcome._tag !== "Ignored") this.slices.add(monotonicMillis(clock), outcome._tag === "Success")
        return undefined
      })
    })
  }

  private get probability(): number {
    const { totalCalls, totalMarked } = this.slices
    const { k, maxProbability, minimumCalls } = this.settings
    if (totalCalls < minimumCalls) return 0
    return Math.min(maxProbability, Math.max(0, (totalCalls - k * totalMarked) / (totalCalls + 1)))
  }
}

const settingsOf = (options: Omit<Options, "key">): Settings => {
  const { classify = Outcome.of, k = 2, maxProbability = 0.8, minimumCalls = 10 } = options
  const window = Duration.fromInputUnsafe(options.window ?? "10 seconds")
  if (!(k >= 1 && k < Infinity)) throw new RangeError(`Throttle: k must be at least 1, not ${k}`)
  if (!Duration.isFinite(window) || Duration.toMillis(window) < 10) {
    throw new RangeError(`Throttle: window must be finite and at least 10 millis, not ${Duration.format(window)}`)
  }
  if (!(maxProbability >= 0 && maxProbability <= 1)) {
    throw new RangeError(`Throttle: maxProbability must be from 0 to 1, not ${maxProbability}`)
  }
  if (!(Number.isInteger(minimumCalls) && minimumCalls >= 0)) {
    throw new RangeError(`Throttle: minimumCalls must be a whole number, not ${minimumCalls}`)
  }
  return { classify, k, maxProbability, minimumCalls, windowMillis: Duration.toMillis(window) }
}
