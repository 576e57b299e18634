/**
 * Starts a second attempt where the first response is late, and takes the response that comes first.
 *
 * **Why**
 *
 * A retry helps against failures, not against the one call in a hundred that hangs behind a garbage collection. A second
 * request after the 95th percentile costs five percent more load and cuts the tail (Dean and Barroso, *The Tail at
 * Scale*, Communications of the ACM 56(2), 2013).
 *
 * **Details**
 *
 * Attempts start `after` one another, at most `1 + times` of them. The first success wins; the others are interrupted. What a
 * failed attempt asks for (its `Recovery`) decides how the call goes on:
 *
 * | the failure | what follows |
 * | --- | --- |
 * | `Retry` | the next attempt starts at once, or when the time has passed that the server named (at most 1 minute) |
 * | throttled (429) without a time, `GiveUp`, *not asked* | no further attempt starts; those that still run may save the call |
 * | any other, and a defect | the call ends |
 *
 * Where no attempt saves the call, it fails with the last failure of one that was asked. These rules are those of gRPC's hedging
 * (gRFC A6), with a pushback that forbids retries as `GiveUp`. `Attempt.Current` counts attempts and hedges.
 *
 * An attempt that says that it has a response and reads it (`Attempt.Responding`) is not late: no other starts unless it fails.
 * `PolicyStream` and `ResponseLifetime` say so, and `@effect-resilience/client` with them.
 *
 * **What it costs**
 *
 * When a server gets slow, all calls are late, and a hedge would double its load. So further attempts are bounded twice: to a
 * `share` of the calls that go through this hedge, and by the `AttemptBudget` of the surroundings, which retries use too.
 *
 * **Losers**
 *
 * An attempt that lost is interrupted, and the call does not wait for it. If it cannot be interrupted, or takes its time to clean
 * up, it ends in the background: its result is dropped, and its failure is logged at debug level. Where the effect needs a `Scope`,
 * each attempt has its own: that of a loser closes when the loser has ended, that of the winner with the caller's. The
 * interruption of a call waits for all its attempts.
 *
 * **Gotchas**
 *
 * - Both attempts may be processed, so nothing is hedged that its caller has not declared idempotent. `withHedge` takes an effect
 *   that is declared so. `execute`, and so a pipeline, hedges a call where `Repetition.Current` is `always`, or where it says
 *   nothing and the option `idempotent` does.
 * - A loser may still run when its caller has gone on. What it uses and did not acquire itself, such as a connection that the
 *   caller closes, may be gone by then.
 *
 * **Example** (A slow first response)
 *
 * ```ts import.meta.vitest
 * import { Attempt, Hedge } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 *
 * const lookup = Effect.gen(function*() {
 *   const { attempt } = yield* Attempt.Current
 *   if (attempt === 1) yield* Effect.never
 *   return `attempt ${attempt}`
 * })
 *
 * const program = Effect.flatMap(Hedge.make({ after: "5 millis" }), (hedge) =>
 *   lookup.pipe(Hedge.idempotent, Hedge.withHedge(hedge)))
 * await Effect.runPromise(program) // => "attempt 2"
 * ```
 *
 * **Example** (A policy that hedges what says that it may be repeated)
 *
 * ```ts import.meta.vitest
 * import { Repetition } from "@effect-resilience/errors"
 * import { Attempt, Hedge } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 *
 * const lookup = Effect.flatMap(Attempt.Current, ({ hedge }) => hedge === 0 ? Effect.never : Effect.succeed("found"))
 *
 * const program = Effect.gen(function*() {
 *   const hedge = yield* Hedge.make({ after: "5 millis" })
 *   return yield* hedge.execute(lookup).pipe(Repetition.allow("always"))
 * })
 * await Effect.runPromise(program) // => "found"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Classifier from "@effect-resilience/errors/Classifier"
import * as Repetition from "@effect-resilience/errors/Repetition"
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as budgets from "./internal/budget.ts"
import type { Percentile } from "./internal/hedgeWait.ts"
import * as waits from "./internal/hedgeWait.ts"
import type { CallOptions, Hedging } from "./internal/race.ts"
import { race } from "./internal/race.ts"

export type { CallOptions, Percentile }

/**
 * A hedge: what its `execute` and `withHedge` work with, and the policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hedge extends Policy.Policy<never, Snapshot>, Hedging {
  /** The name of the hedge, which events and metrics carry. */
  readonly name: string
}

/**
 * A look at a hedge.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** How long it waits at present before it starts the next attempt. */
  readonly after: Duration.Duration
  /** How many further attempts it has started. */
  readonly hedges: number
  /** How many of those were the first to succeed. */
  readonly winners: number
  /** How many it left out since its share was used up. */
  readonly rejected: number
}

/**
 * An effect that may run more than once at the same time with the result of one run, says the caller.
 *
 * @category models
 * @since 0.1.0
 */
export interface Idempotent<out A, out E = never, out R = never> {
  readonly _tag: "Idempotent"
  /** The effect. */
  readonly effect: Effect.Effect<A, E, R>
}

/**
 * When a further attempt starts, and how many.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name for those who look at several policies; default `"default"`. */
  readonly name?: string | undefined
  /**
   * How long to wait for each attempt before the next one starts. A `Percentile` learns it; `"Infinity"` starts one only where
   * one has failed. Default `{ percentile: 0.95 }`, as *The Tail at Scale* has it.
   */
  readonly after?: Duration.Input | Percentile | undefined
  /** Further attempts of a call at most, up to 10 (Polly's bound); default 1, as Polly and failsafe-go have it. */
  readonly times?: number | undefined
  /**
   * Further attempts for each call, on average, between 0 and 1; default 0.05, what the default wait starts in normal times. Up
   * to 10 can be saved up, and are at the start: `n` calls start at most `10 + share * n`.
   */
  readonly share?: number | undefined
  /** Whether `execute` may repeat the calls of which `Repetition.Current` says nothing; default false. */
  readonly idempotent?: boolean | undefined
  /** The recovery of errors that do not carry the right one; `undefined` falls back to `Classifier.classify`. */
  readonly classify?: Classifier.Classifier | undefined
}

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: Field.name,
  after: /* @__PURE__ */ Field.withDefault(
    /* @__PURE__ */ Field.either(
      Predicate.not(Field.isDuration),
      /* @__PURE__ */ Field.map(/* @__PURE__ */ Field.struct(waits.percentileFields), waits.learning),
      /* @__PURE__ */ Field.map(/* @__PURE__ */ Field.duration(), waits.fixed)
    ),
    { percentile: 0.95 }
  ),
  times: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 0, max: 10 }), 1),
  share: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 1 }), 0.05),
  idempotent: /* @__PURE__ */ Field.withDefault(Field.boolean, false),
  classify: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.fn<Classifier.Classifier>())
} satisfies Field.Fields<Options>

/**
 * Declares that running an effect twice does no harm.
 *
 * @category constructors
 * @since 0.1.0
 */
export const idempotent = <A, E, R>(effect: Effect.Effect<A, E, R>): Idempotent<A, E, R> => ({
  _tag: "Idempotent",
  effect
})

/**
 * Makes a hedge. Make one for each kind of call where it learns its wait. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Hedge> => {
  const settings = Field.read("Hedge", fields, options)
  return Effect.sync(() => makeUnsafe(settings, settings.name))
}

/**
 * Makes a hedge for each key, which is its name.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. One that is forgotten learns anew.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed: (options: Options & Keyed.Options) => Effect.Effect<Keyed.Keyed<Hedge>> = /* @__PURE__ */ Keyed
  .policies("Hedge", fields, (settings, key) => makeUnsafe(settings, key), () => true)

/**
 * Starts no further attempts.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Hedge = {
  .../* @__PURE__ */ Policy.noop<Snapshot>({ after: Duration.infinity, hedges: 0, winners: 0, rejected: 0 }),
  .../* @__PURE__ */ waits.fixed(Duration.infinity)(),
  times: 0,
  classify: undefined,
  depositUnsafe: () => {},
  withdrawUnsafe: () => false,
  wonUnsafe: () => {}
}

/**
 * Runs an idempotent effect with further attempts where it is late.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withHedge: {
  (hedge: Hedge, options?: CallOptions): <A, E, R>(self: Idempotent<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Idempotent<A, E, R>, hedge: Hedge, options?: CallOptions): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  (args) => "effect" in args[0],
  <A, E, R>(self: Idempotent<A, E, R>, hedge: Hedge, options: CallOptions = {}): Effect.Effect<A, E, R> =>
    race(self.effect, hedge, options)
)

/**
 * The service for programs that have one hedge.
 *
 * @category services
 * @since 0.1.0
 */
export const Hedge: Context.Service<Hedge, Hedge> = /* @__PURE__ */ Context.Service<Hedge>(
  "@effect-resilience/retry/Hedge"
)

/**
 * Provides a hedge.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Hedge> => Layer.effect(Hedge, make(options))

/**
 * Provides a hedge that starts no further attempts.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<Hedge> = /* @__PURE__ */ Layer.succeed(Hedge, noop)

// How many further attempts can be saved up.
const burst = 10

// The share is counted in millionths: ten times a tenth is one.
const attemptCost = 1_000_000

const makeUnsafe = (
  { after, classify, idempotent, share, times }: Field.Settings<typeof fields>,
  name: string
): Hedge => {
  const earned = Math.round(share * attemptCost)
  const most = burst * attemptCost
  const source = { name, kind: "Hedge", rejected: 0 }
  let balance = share === 0 ? 0 : most
  let hedges = 0
  let winners = 0
  const hedge: Hedge = {
    name,
    kind: "Hedge",
    times,
    classify,
    ...after(),
    depositUnsafe: () => {
      balance = Math.min(most, balance + earned)
    },
    withdrawUnsafe: (context) => {
      if (balance < attemptCost) {
        PolicyEvent.rejectUnsafe(source, context, "ShareUsedUp")
        return false
      }
      if (!budgets.withdraw(Context.get(context, budgets.current), context)) return false
      balance -= attemptCost
      hedges++
      return true
    },
    wonUnsafe: () => {
      winners++
    },
    admitUnsafe: undefined,
    execute: (self) =>
      Effect.withFiber((fiber) => {
        const repetition = Repetition.currentUnsafe(fiber)
        return (repetition === undefined ? idempotent : repetition === "always") ? race(self, hedge, {}) : self
      }),
    snapshot: Effect.sync(() => ({ after: hedge.afterUnsafe(), hedges, winners, rejected: source.rejected }))
  }
  return hedge
}
