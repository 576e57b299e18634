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
  readonly clampRetryAfter: Duration.Duration | undefined
  readonly maxDuration: number
}

/** What a policy does otherwise after failures of one kind. */
export interface KindSettings {
  readonly times: number | undefined
  readonly backoff: { readonly draw: delays.Draw } | undefined
  readonly cost: number | undefined
}

/** Where a call stands: in the backoff of its policy, and in what the policy does otherwise for kinds. */
export interface Progress extends delays.Position {
  kinds: Map<Kind, OfKind> | undefined
}

/** `count`: how many retries followed a failure of the kind. The rest is where its own backoff stands. */
interface OfKind extends delays.Position {
  count: number
}

/** An attempt that failed, and everything that is known of its call. */
export interface Failed {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly settings: Settings
  readonly error: unknown
  readonly recovery: Recovery
  readonly attempt: number
  readonly startMillis: number
  readonly progress: Progress
}

export type Verdict = number | StopReason

/**
 * Continues with the wait before the next attempt, or with why there is none. `allowed` has the last word of the call on a
 * failure that the policy would retry.
 */
export const decide = <A, E, R>(
  failed: Failed,
  allowed: () => boolean | Effect.Effect<boolean>,
  then: (verdict: Verdict) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const stop = stopped(failed)
  if (stop !== undefined) return then(stop)
  const allows = allowed()
  return typeof allows === "boolean"
    ? then(allows ? wait(failed) : notRetryable)
    : Effect.flatMap(allows, (allows) => then(allows ? wait(failed) : notRetryable))
}

const stopped = ({ attempt, fiber, progress, recovery, settings }: Failed): StopReason | undefined => {
  const { kinds, times } = settings
  if (recovery._tag !== "Retry" && !(recovery._tag === "Reauthenticate" && kinds?.expired)) return notRetryable
  fiber.getRef(budgets.current).failedUnsafe?.(attempt > 1)
  if (attempt > times) return { _tag: "TimesUsedUp", times }
  const kind = kinds && kindOf(recovery)
  const timesOfKind = kind && kinds[kind]?.times
  return kind && timesOfKind !== undefined && (progress.kinds?.get(kind)?.count ?? 0) >= timesOfKind
    ? { _tag: "TimesUsedUp", times: timesOfKind, kind }
    : undefined
}

const notRetryable: StopReason = { _tag: "NotRetryable" }

// The budget is asked last, since asking it costs.
const wait = (failed: Failed): Verdict => {
  const { fiber, recovery, settings, startMillis } = failed
  const after = recovery._tag === "Retry" ? recovery.after : undefined
  if (after !== undefined && Duration.isGreaterThan(after, settings.maxRetryAfter)) {
    return { _tag: "RetryAfterTooLong", after, max: settings.maxRetryAfter }
  }
  const kind = settings.kinds && kindOf(recovery)
  const ofKind = kind && settings.kinds[kind]
  const delay = delayOf(failed, after === undefined ? 0 : Duration.toMillis(after), kind, ofKind)
  if (settings.maxDuration < Infinity && Time.nowUnsafe(fiber.context) - startMillis + delay > settings.maxDuration) {
    return { _tag: "OutOfTime", limit: "maxDuration" }
  }
  if (delay >= Deadline.remainingMillisUnsafe(fiber)) return { _tag: "OutOfTime", limit: "deadline" }
  const budget = fiber.getRef(budgets.current)
  const cost = ofKind?.cost ?? settings.cost
  return budget === budgets.noop || budgets.withdraw(budget, fiber.context, cost)
    ? delay
    : { _tag: "BudgetExhausted", budget: budget.name }
}

/**
 * Never before `after`. Where chance has a part in the delay, that comes on top, so that callers do not return together; where
 * the policy clamps, the delay is its bound instead.
 */
const delayOf = (
  { error, fiber, progress, settings }: Failed,
  after: number,
  kind: Kind | undefined,
  ofKind: KindSettings | undefined
): number => {
  const random = fiber.getRef(Random.Random)
  let drawn = false
  const drawRandom = () => {
    drawn = true
    return random.nextDoubleUnsafe()
  }
  let position: delays.Position = progress
  if (kind !== undefined && ofKind !== undefined) {
    const counted = progressOf(progress, kind)
    counted.count++
    if (ofKind.backoff !== undefined) {
      // Retries of all kinds count, so that a failure of another kind does not begin anew. AWS's SDKs do so too.
      counted.retries = progress.retries++
      position = counted
    }
  }
  const delay = delays.next((ofKind?.backoff ?? settings.backoff).draw, position, drawRandom, error)
  if (after <= delay) return delay
  const { clampRetryAfter } = settings
  if (clampRetryAfter !== undefined) return Math.ceil(Math.min(after, delay + Duration.toMillis(clampRetryAfter)))
  return Math.ceil(drawn ? after + delay : after)
}

const progressOf = (progress: Progress, kind: Kind): OfKind => {
  const kinds = progress.kinds ??= new Map()
  const known = kinds.get(kind)
  if (known !== undefined) return known
  const begun = { ...delays.begin(), count: 0 }
  kinds.set(kind, begun)
  return begun
}
