/**
 * Whether the running call may be made again, known to all policies around and inside it.
 *
 * **Why**
 *
 * A `Recovery` says that a retry can help, not that it is safe. An order whose response did not come in time may have been
 * placed, and the retry places a second one. Who knows the call says so once, around its policies: a retry, a hedge and a time limit
 * read it.
 *
 * **Details**
 *
 * | value | a retry repeats | a hedge | an attempt that ran out of time |
 * | --- | --- | --- | --- |
 * | `undefined`, the default | what its `Recovery` says | by its own option `idempotent` | is retried |
 * | `always` | what its `Recovery` says | repeats | is retried |
 * | `inTurn` | what its `Recovery` says | does not repeat | is retried |
 * | `unlessApplied` | failures that show that nothing was applied | does not repeat | has an unknown outcome |
 * | `unlessBegun` | failures of work that never began (`NotAsked`) | does not repeat | has an unknown outcome |
 *
 * A failure shows that nothing was applied where
 *
 * - it is `NotAsked`, or says so itself by the mark `notApplied`,
 * - its recovery is a retry of the kind `throttled`, or to log in again: the server rejected the call,
 * - it has a status of 3xx or 4xx,
 * - or the connection failed before a byte of the request left (`Transport.mayHaveBeenRead`).
 *
 * The recovery of any other failure of an `unlessApplied` call is `Recovery.verify`. Clients made by `http` and `client` say it for
 * each request.
 *
 * **Gotchas**
 *
 * It holds for all calls inside, those of nested retries too.
 *
 * **Example** (An order that is placed once)
 *
 * ```ts import.meta.vitest
 * import { Recovery, Repetition } from "@effect-resilience/errors"
 * import { Data } from "effect"
 *
 * class Unavailable extends Data.TaggedError("Unavailable") {}
 * class Throttled extends Data.TaggedError("Throttled") {}
 *
 * Repetition.judge("unlessApplied", new Unavailable(), Recovery.retry) // => Recovery.verify
 * Repetition.judge("unlessApplied", new Throttled(), Recovery.retryAs("throttled"))._tag // => "Retry"
 * Repetition.judge("always", new Unavailable(), Recovery.retry) // => Recovery.retry
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Predicate from "effect/Predicate"
import { property } from "./internal/property.ts"
import * as NotAsked from "./NotAsked.ts"
import * as Recovery from "./Recovery.ts"
import * as Transport from "./Transport.ts"

/**
 * Whether a call may be made again.
 *
 * - `always`: applying the call twice does no harm, and two attempts may run at once.
 * - `inTurn`: applying it twice does no harm, but an attempt begins when the one before has ended: they share a body, for example.
 * - `unlessApplied`: the call must not be applied twice.
 * - `unlessBegun`: the call can be made once, since its body can be read once.
 *
 * @category models
 * @since 0.1.0
 */
export type Repetition = "always" | "inTurn" | "unlessApplied" | "unlessBegun"

const reference = /* @__PURE__ */ Context.Reference<Repetition | undefined>(
  "@effect-resilience/errors/Repetition/Current",
  { defaultValue: () => undefined }
)

let judging: typeof judge | undefined

// Nothing can be said but by `Current`.
function judgedBy(f: typeof judge): Context.Reference<Repetition | undefined> {
  judging = f
  return reference
}

/**
 * What holds for the running call. By default its errors decide.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Repetition | undefined> = /* @__PURE__ */ judgedBy(judge)

/**
 * What holds for the call that a fiber runs. Policies read it here: a program that never says it then loads none of its judgement.
 *
 * @category accessors
 * @since 0.1.0
 */
export const currentUnsafe = (caller: Policy.Caller): Repetition | undefined => currentIn(caller.context)

/**
 * The same for a context.
 *
 * @category accessors
 * @since 0.1.0
 */
export const currentIn = (context: Context.Context<never>): Repetition | undefined => Context.get(context, reference)

/**
 * `judge`, for the call that a fiber runs.
 *
 * @category accessors
 * @since 0.1.0
 */
export const judgeUnsafe = (
  caller: Policy.Caller,
  error: unknown,
  recovery: Recovery.Recovery
): Recovery.Recovery => judging === undefined ? recovery : judging(currentUnsafe(caller), error, recovery)

/**
 * Says what holds for a call. It belongs around its policies: `pipeline.execute(call).pipe(Repetition.allow("unlessApplied"))`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const allow: {
  (repetition: Repetition): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, repetition: Repetition): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, repetition: Repetition): Effect.Effect<A, E, R> =>
    Effect.provideService(self, Current, repetition)
)

/**
 * The key of the mark of an error that knows whether its work was applied: `true` where it was certainly not.
 *
 * @category symbols
 * @since 0.1.0
 */
export const notApplied: "~@effect-resilience/errors/NotApplied" = "~@effect-resilience/errors/NotApplied"

/**
 * Whether work that was begun and broken off leaves an unknown outcome.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isDoubtful = (repetition: Repetition | undefined): boolean =>
  repetition === "unlessApplied" || repetition === "unlessBegun"

/**
 * The recovery of a failed call, where `recovery` is that of its error: `verify` where it may have been applied and must not be
 * twice, `giveUp` where it cannot be made again, otherwise `recovery`.
 *
 * @category accessors
 * @since 0.1.0
 */
export function judge(
  repetition: Repetition | undefined,
  error: unknown,
  recovery: Recovery.Recovery
): Recovery.Recovery {
  if (!isDoubtful(repetition) || Recovery.kindOf(recovery) === undefined || NotAsked.isNotAsked(error)) return recovery
  if (repetition === "unlessBegun") return Recovery.giveUp
  return isNotApplied(error, recovery) ? recovery : Recovery.verify
}

/**
 * Whether a failure shows that the call was not applied.
 *
 * @category guards
 * @since 0.1.0
 */
export const isNotApplied = (error: unknown, recovery: Recovery.Recovery): boolean => {
  const kind = Recovery.kindOf(recovery)
  if (kind === "throttled" || kind === "expired") return true
  if (Predicate.hasProperty(error, notApplied)) return error[notApplied] === true
  const status = statusOf(error) ?? statusOf(property(error, "reason"))
  if (status !== undefined) return status >= 300 && status < 500
  return Predicate.isObject(error) && !Transport.mayHaveBeenRead(Transport.diagnose(error))
}

const statusOf = (error: unknown): number | undefined => {
  const status = property(property(error, "response"), "status") ?? property(error, "status")
  return typeof status === "number" ? status : undefined
}
