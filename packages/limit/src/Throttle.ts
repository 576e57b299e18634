/**
 * Sends less to a server that rejects much, although the server does not ask for it.
 *
 * **Why**
 *
 * To reject a request costs a server nearly as much as to serve a cheap one, so the requests that it rejects can keep an
 * overloaded server down. A client that counts how many of its requests are accepted can stop the excess itself.
 *
 * **Details**
 *
 * A call is rejected with probability `max(0, (requests - multiplier * accepts) / (requests + 1))`, where both are counted
 * over the last `window`, calls rejected here included. From Google's *Site Reliability Engineering*, chapter 21,
 * "Client-Side Throttling", where the multiplier is named K. With 2 the server still sees about as many requests that it
 * rejects as ones that it accepts, which is how the client learns that it is back.
 *
 * The probability is at most `maxProbability`, as in Envoy's admission control. After an outage that filled the window the
 * book's formula lets nearly no call pass, and takes many minutes to notice that the server is back. With the defaults 95 %
 * of the calls pass again about 15 seconds after the server is back, however long it was down. The price: a server that is
 * down sees a fifth of the calls. Set 1 and 2 minutes for the book's.
 *
 * Unlike a circuit breaker it has no states: some calls always pass, and it follows the server within seconds. Fewer than
 * `minimumCalls` in the window tell nothing, so a dependency that is called less often is never throttled.
 *
 * What counts:
 *
 * - `Outcome` decides what is accepted: every response but a failure. What it ignores, such as an interruption or the
 *   loser of a hedge, does not count. Each attempt of a retry is a request.
 * - A call counts from its beginning. While it is under way it has the benefit of the doubt, until it has lasted longer than
 *   every call that was accepted in the last window. From then on the formula counts it as a request without a response,
 *   so a server that falls silent shows before the time limits of its callers do. Without that benefit a start at 50 calls
 *   at once would be a start with 40 rejections.
 *
 * **Priorities**
 *
 * With `priorities` the same share of all calls is rejected, and it is taken from the least important ones first: the next
 * class loses calls when the classes below it lose all of theirs. The priority of a call is that of its fiber, see
 * `Priority`.
 *
 * **Example** (A server that rejects everything)
 *
 * ```ts import.meta.vitest
 * import { Throttle } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const throttle = yield* Throttle.make({ name: "search" })
 *   const call = Effect.fail("503").pipe(Throttle.withThrottle(throttle), Effect.ignore)
 *   yield* Effect.repeat(call, { times: 99 })
 *   return yield* throttle.snapshot
 * })
 *
 * const { probability } = await Effect.runPromise(program)
 * probability // => 0.8
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { InFlight } from "./internal/inFlight.ts"
import { overloaded } from "./internal/overloaded.ts"
import { Slices } from "./internal/slices.ts"
import * as Outcome from "./Outcome.ts"
import * as Priority from "./Priority.ts"
import * as Rejection from "./Rejection.ts"

/**
 * A throttle.
 *
 * @category models
 * @since 0.1.0
 */
export interface Throttle extends Policy.Policy<Throttled, Snapshot> {}

/**
 * What was counted over the window, and the probability of a rejection.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Calls that began, those under way and those rejected here included. */
  readonly requests: number
  /** How many of them were accepted. */
  readonly accepts: number
  /** How many of them are under way. */
  readonly inFlight: number
  /** The share of calls that is rejected now, from 0 to 1. */
  readonly probability: number
  /** Calls rejected since the throttle was made. */
  readonly rejected: number
}

/**
 * How to make a throttle.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name in errors; default `"default"`. */
  readonly name?: string | undefined
  /** How many requests to send for each that is accepted; at least 1, default 2. Lower is stricter. */
  readonly multiplier?: number | undefined
  /**
   * The earlier name of `multiplier`, which is still read.
   *
   * @deprecated Write `multiplier`.
   */
  readonly k?: number | undefined
  /** How far to look back, to a tenth of it; default 10 seconds. */
  readonly window?: Duration.Input | undefined
  /**
   * The greatest share that is rejected, from 0 to 1; default 0.8, that of Envoy. With 1 an outage as long as the window is
   * followed by minutes without calls.
   */
  readonly maxProbability?: number | undefined
  /** The throttle rejects nothing until the window holds this many calls; default 10. */
  readonly minimumCalls?: number | undefined
  /**
   * The priorities of calls, the most important first; default none, all are alike. One that is not listed counts as the last.
   */
  readonly priorities?: ReadonlyArray<string> | undefined
  /** What an exit says about the server; default `Outcome.of`. It is not asked about interruptions, which are ignored. */
  readonly classify?: Outcome.Classify | undefined
}

const multiplier = /* @__PURE__ */ Field.number({ min: 1 })
const priorities: Field.Field<Options["priorities"], ReadonlyArray<string>> = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.oneOrMore(Field.text)),
  (names = []) => names
)

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: Field.name,
  multiplier: /* @__PURE__ */ Field.withDefault(multiplier, 2),
  k: /* @__PURE__ */ Field.optional(multiplier),
  window: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ min: 10, finite: true }), "10 seconds"),
  maxProbability: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 1 }), 0.8),
  minimumCalls: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 0 }), 10),
  priorities,
  classify: Outcome.field
} satisfies Field.Fields<Options>

/**
 * The throttle kept a call from an overloaded server. It did not run.
 *
 * @category errors
 * @since 0.1.0
 */
export class Throttled extends Rejection.TaggedError("Throttled") {
  /** Tells to retry, as after `overloaded`: it is the server that has too much work. */
  override [Recovery.symbol](): Recovery.Recovery {
    return overloaded
  }
  override get message(): string {
    return `The server behind "${this.policy}" rejects too much; this call was not sent. Try again later.`
  }
}

/**
 * Makes a throttle. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Throttle> => {
  const settings = Field.read("Throttle", fields, options)
  return Effect.sync(() => new Counting(settings, settings.name))
}

const makeKeyed = /* @__PURE__ */ Keyed.policies(
  "Throttle",
  fields,
  (settings, key) => new Counting(settings, key),
  () => true
)

/**
 * Makes a throttle for each key, which is its name.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (options: Options & Keyed.Options = {}): Effect.Effect<Keyed.Keyed<Throttle>> => makeKeyed(options)

/**
 * A throttle that rejects nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Throttle = /* @__PURE__ */ Policy.noop<Snapshot>({
  requests: 0,
  accepts: 0,
  inFlight: 0,
  probability: 0,
  rejected: 0
})

/**
 * Runs an effect through a throttle.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withThrottle: Policy.Combinator<Throttle, Throttled> = Policy.withPolicy

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
 * Provides a throttle that rejects nothing.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<Throttle> = /* @__PURE__ */ Layer.succeed(Throttle, noop)

type Settings = Field.Settings<typeof fields>

class Counting implements Throttle, PolicyEvent.Rejecting {
  readonly name: string
  readonly kind = "Throttle"
  rejected = 0
  private readonly settings: Settings
  private readonly multiplier: number
  private readonly slices: Slices
  private readonly inFlight: InFlight
  private readonly ranks: ReadonlyArray<Slices>
  private rejection: Exit.Exit<never, Throttled> | undefined

  constructor(settings: Settings, name: string) {
    this.name = name
    this.settings = settings
    this.multiplier = settings.k ?? settings.multiplier
    const windowMillis = Duration.toMillis(settings.window)
    this.slices = new Slices(windowMillis)
    this.inFlight = new InFlight(windowMillis)
    this.ranks = settings.priorities.map(() => new Slices(windowMillis))
  }

  get snapshot() {
    return Effect.withFiber((fiber) => {
      const probability = this.probabilityAt(monotonicMillis(fiber.getRef(Clock.Clock)))
      const { totalCalls, totalMarked: accepts } = this.slices
      const inFlight = this.inFlight.total
      return Effect.succeed({
        requests: totalCalls + inFlight,
        accepts,
        inFlight,
        probability,
        rejected: this.rejected
      })
    })
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Throttled, R> {
    return Effect.withFiber((fiber) => {
      let admission: Policy.Admission | undefined
      const begin = Effect.suspend((): Effect.Effect<A, E | Throttled, R> => {
        const clock = fiber.getRef(Clock.Clock)
        const now = monotonicMillis(clock)
        const rank = this.rankOf(fiber)
        const probability = this.probabilityFor(rank, now)
        if (probability > 0 && fiber.getRef(Random.Random).nextDoubleUnsafe() < probability) {
          this.count(now, rank, false)
          PolicyEvent.rejectUnsafe(this, fiber.context, "Throttled")
          return this.rejection ??= Exit.fail(new Throttled({ policy: this.name }))
        }
        admission = this.admission(clock, now, rank)
        return self
      })
      // The frame comes first, so that no interruption can come between the beginning of a call and what counts its end.
      return Effect.onExitPrimitive(begin, (exit) => admission?.(exit))
    })
  }

  /** Admits calls while none are rejected; otherwise chance decides, in `execute`. */
  admitUnsafe(caller: Policy.Caller): Policy.Admission | undefined {
    const clock = caller.getRef(Clock.Clock)
    const now = monotonicMillis(clock)
    const rank = this.rankOf(caller)
    return this.probabilityFor(rank, now) > 0 ? undefined : this.admission(clock, now, rank)
  }

  private admission(clock: Clock.Clock, began: number, rank: number): Policy.Admission {
    this.inFlight.begin(began)
    return (exit) => {
      this.inFlight.end(began)
      const outcome = this.settings.classify(exit)
      if (outcome._tag === "Ignored") return undefined
      const now = monotonicMillis(clock)
      const accepted = outcome._tag === "Success"
      if (accepted) this.inFlight.accepted(now - began, now)
      this.count(now, rank, accepted)
      return undefined
    }
  }

  private count(now: number, rank: number, accepted: boolean) {
    this.slices.add(now, accepted)
    this.ranks[rank]?.add(now, accepted)
  }

  private rankOf(caller: Policy.Caller): number {
    const { priorities } = this.settings
    if (priorities.length === 0) return 0
    const rank = priorities.indexOf(caller.getRef(Priority.Current))
    return rank === -1 ? priorities.length - 1 : rank
  }

  private probabilityAt(now: number): number {
    this.slices.advance(now)
    this.inFlight.advance(now)
    const { totalCalls, totalMarked } = this.slices
    const { maxProbability, minimumCalls } = this.settings
    const requests = totalCalls + this.inFlight.late(now)
    if (requests < minimumCalls) return 0
    return Math.min(maxProbability, Math.max(0, (requests - this.multiplier * totalMarked) / (requests + 1)))
  }

  // The share to reject is filled from the last rank upwards. Only the first rank keeps the cap for itself.
  private probabilityFor(rank: number, now: number): number {
    const probability = this.probabilityAt(now)
    if (probability === 0 || this.ranks.length === 0) return probability
    let left = probability
    for (let below = this.ranks.length - 1; below > rank; below--) left -= this.shareOf(below, now)
    const share = left / this.shareOf(rank, now)
    return Math.min(rank === 0 ? this.settings.maxProbability : 1, Math.max(0, share))
  }

  private shareOf(rank: number, now: number): number {
    const calls = this.ranks[rank]
    calls?.advance(now)
    return (calls?.totalCalls ?? 0) / Math.max(1, this.slices.totalCalls)
  }
}
