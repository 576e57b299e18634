import * as Deadline from "@effect-resilience/deadline/Deadline"
import type { Kind, Recovery } from "@effect-resilience/errors/Recovery"
import { kindOf } from "@effect-resilience/errors/Recovery"
import * as Time from "@effect-resilience/kernel/Time"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type { StopReason } from "../RetryEvent.ts"
import * as budgets from "./budget.ts"
import * as delays from "./delays.ts"

/** The options of a policy, as they were read. */
export interface Settings {
  readonly times: number
  readonly backoff: { readonly draw: delays.Draw }
  readonly cost: number
  readonly kinds: { readonly [K in Kind]?: KindSettings | undefined } | undefined
  readonly maxRetryAfter: Duration.Duration
  readonly clampRetryAfter: number | undefined
  readonly maxDuration: number
}

/** What a policy does otherwise after failures of one kind. */
export interface KindSettings {
  readonly times: number
  readonly backoff: { readonly draw: delays.Draw } | undefined
  readonly cost: number | undefined
}

/** Where a call stands: in the backoff of its policy, and in what the policy does otherwise for kinds. */
export interface Progress extends delays.Position {
  kinds: Map<KindSettings, OfKind> | undefined
}

/** `count`: how many retries followed a failure of the kind. The rest is where its own backoff stands. */
interface OfKind extends delays.Position {
  readonly settings: KindSettings
  count: number
}

/** An attempt that failed, and everything that is known of its call. */
export interface Failed<out E = unknown> {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly settings: Settings
  readonly error: E
  readonly recovery: Recovery
  readonly attempt: number
  readonly startMillis: number
  readonly progress: Progress
}

export type Verdict = number | StopReason

/**
 * Whether a failure is retried.
 *
 * @category models
 * @since 0.1.0
 */
export type When<in E> = (error: E, attempt: number) => boolean | Effect.Effect<boolean>

/**
 * Continues with the wait before the next attempt, or with why there is none. `when` has the last word of the call on a failure
 * that the policy would retry.
 */
export const decide = <A, E, R, Error>(
  failed: Failed<Error>,
  when: When<Error> | undefined,
  then: (verdict: Verdict) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const ofKind = kindProgress(failed)
  const stop = stopped(failed, ofKind)
  if (stop !== undefined) return then(stop)
  const allows = when === undefined || when(failed.error, failed.attempt)
  return typeof allows === "boolean"
    ? then(allows ? wait(failed, ofKind) : notRetryable)
    : Effect.flatMap(allows, (allows) => then(allows ? wait(failed, ofKind) : notRetryable))
}

const kindProgress = ({ progress, recovery, settings }: Failed): OfKind | undefined => {
  const kind = settings.kinds && kindOf(recovery)
  const ofKind = kind && settings.kinds[kind]
  if (ofKind === undefined) return undefined
  const kinds = progress.kinds ??= new Map()
  const known = kinds.get(ofKind)
  if (known !== undefined) return known
  const begun: OfKind = { settings: ofKind, count: 0, retries: 0, previous: 0 }
  kinds.set(ofKind, begun)
  return begun
}

const stopped = (
  { attempt, error, fiber, recovery, settings: { times } }: Failed,
  ofKind: OfKind | undefined
): StopReason | undefined => {
  if (recovery._tag !== "Retry" && !(recovery._tag === "Reauthenticate" && ofKind)) return notRetryable
  fiber.getRef(budgets.current).failedUnsafe?.(attempt > 1, error)
  if (attempt > times) return { _tag: "TimesUsedUp", times }
  return ofKind !== undefined && ofKind.count >= ofKind.settings.times
    ? { _tag: "TimesUsedUp", times: ofKind.settings.times, kind: kindOf(recovery) }
    : undefined
}

const notRetryable: StopReason = { _tag: "NotRetryable" }

// The budget is asked last, since asking it costs.
const wait = (failed: Failed, ofKind: OfKind | undefined): Verdict => {
  const { fiber, recovery, settings, startMillis } = failed
  const after = recovery._tag === "Retry" ? recovery.after : undefined
  if (after !== undefined && Duration.isGreaterThan(after, settings.maxRetryAfter)) {
    return { _tag: "RetryAfterTooLong", after, max: settings.maxRetryAfter }
  }
  const delay = delayOf(failed, ofKind, after === undefined ? 0 : Duration.toMillis(after))
  if (settings.maxDuration < Infinity && Time.nowUnsafe(fiber.context) - startMillis + delay > settings.maxDuration) {
    return { _tag: "OutOfTime", limit: "maxDuration" }
  }
  if (delay >= Deadline.remainingMillisUnsafe(fiber)) return { _tag: "OutOfTime", limit: "deadline" }
  const budget = fiber.getRef(budgets.current)
  return budget === budgets.noop || budgets.withdraw(budget, fiber.context, ofKind?.settings.cost ?? settings.cost)
    ? delay
    : { _tag: "BudgetExhausted", budget: budget.name }
}

/**
 * Never before `after`. Where chance has a part in the delay, that comes on top, so that callers do not return together; where
 * the policy clamps, the delay is its bound instead.
 */
const delayOf = ({ error, fiber, progress, settings }: Failed, ofKind: OfKind | undefined, after: number): number => {
  const random = fiber.getRef(Random.Random)
  let drawn = false
  const drawRandom = () => {
    drawn = true
    return random.nextDoubleUnsafe()
  }
  let { backoff } = settings
  let position: delays.Position = progress
  if (ofKind !== undefined) {
    ofKind.count++
    if (ofKind.settings.backoff !== undefined) {
      backoff = ofKind.settings.backoff
      position = ofKind
      // Retries of all kinds count, so that a failure of another kind does not begin anew. AWS's SDKs do so too.
      position.retries = progress.retries++
    }
  }
  const delay = delays.next(backoff.draw, position, drawRandom, error)
  if (after <= delay) return delay
  const { clampRetryAfter } = settings
  if (clampRetryAfter !== undefined) return Math.ceil(Math.min(after, delay + clampRetryAfter))
  return Math.ceil(drawn ? after + delay : after)
}
