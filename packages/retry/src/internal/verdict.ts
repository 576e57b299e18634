import * as Deadline from "@effect-resilience/deadline/Deadline"
import type { Kind, Recovery } from "@effect-resilience/errors/Recovery"
import { kindOf } from "@effect-resilience/errors/Recovery"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Time from "@effect-resilience/kernel/Time"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
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

/** A call that is retried: where it stands in the backoff of its policy, and in what the policy does otherwise for kinds. */
export interface Call extends delays.Position {
  /** What the policy says. */
  readonly settings: Settings
  /** When the call began, by the monotonic clock. */
  readonly startMillis: number
  /** Where it stands after failures of some kinds; `undefined` before the first that the policy treats otherwise. */
  kinds: Map<KindSettings, OfKind> | undefined
}

/** `count`: how many retries followed a failure of the kind. The rest is where its own backoff stands. */
interface OfKind extends delays.Position {
  readonly settings: KindSettings
  count: number
}

/** The wait before the next attempt in milliseconds, or why there is none. */
export type Verdict = number | StopReason

/**
 * Whether a failure is retried.
 *
 * @category models
 * @since 0.1.0
 */
export type When<in E> = (error: E, attempt: number) => boolean | Effect.Effect<boolean>

/** `when` has the last word of the call on a failure that the policy would retry, and may be an effect. */
export const decide = <Error>(
  caller: Policy.Caller,
  call: Call,
  error: Error,
  recovery: Recovery,
  attempt: number,
  when: When<Error> | undefined
): Verdict | Effect.Effect<Verdict> => {
  const ofKind = kindProgress(call, recovery)
  const stop = stopped(caller, call, error, recovery, attempt, ofKind)
  if (stop !== undefined) return stop
  if (when === undefined) return wait(caller, call, error, recovery, ofKind)
  const allows = when(error, attempt)
  if (typeof allows === "boolean") return allows ? wait(caller, call, error, recovery, ofKind) : notRetryable
  return Effect.map(allows, (allows) => allows ? wait(caller, call, error, recovery, ofKind) : notRetryable)
}

const kindProgress = (call: Call, recovery: Recovery): OfKind | undefined => {
  const { kinds } = call.settings
  const kind = kinds && kindOf(recovery)
  const ofKind = kind && kinds[kind]
  if (ofKind === undefined) return undefined
  const known = call.kinds?.get(ofKind)
  if (known !== undefined) return known
  const begun: OfKind = { settings: ofKind, count: 0, retries: 0, previous: 0 }
  call.kinds ??= new Map()
  call.kinds.set(ofKind, begun)
  return begun
}

const stopped = (
  caller: Policy.Caller,
  { settings: { times } }: Call,
  error: unknown,
  recovery: Recovery,
  attempt: number,
  ofKind: OfKind | undefined
): StopReason | undefined => {
  if (recovery._tag !== "Retry" && !(recovery._tag === "Reauthenticate" && ofKind)) return notRetryable
  caller.getRef(budgets.current).failedUnsafe?.(attempt > 1, error)
  if (attempt > times) return { _tag: "TimesUsedUp", times }
  return ofKind !== undefined && ofKind.count >= ofKind.settings.times
    ? { _tag: "TimesUsedUp", times: ofKind.settings.times, kind: kindOf(recovery) }
    : undefined
}

const notRetryable: StopReason = { _tag: "NotRetryable" }

// The budget is asked last, since asking it costs.
const wait = (
  caller: Policy.Caller,
  call: Call,
  error: unknown,
  recovery: Recovery,
  ofKind: OfKind | undefined
): Verdict => {
  const { settings, startMillis } = call
  const after = recovery._tag === "Retry" ? recovery.after : undefined
  if (after !== undefined && Duration.isGreaterThan(after, settings.maxRetryAfter)) {
    return { _tag: "RetryAfterTooLong", after, max: settings.maxRetryAfter }
  }
  const delay = delayOf(caller, call, error, ofKind, after === undefined ? 0 : Duration.toMillis(after))
  if (settings.maxDuration < Infinity && Time.nowUnsafe(caller.context) - startMillis + delay > settings.maxDuration) {
    return { _tag: "OutOfTime", limit: "maxDuration" }
  }
  if (delay >= Deadline.remainingMillisUnsafe(caller)) return { _tag: "OutOfTime", limit: "deadline" }
  const budget = caller.getRef(budgets.current)
  return budget === budgets.noop || budgets.withdraw(budget, caller.context, ofKind?.settings.cost ?? settings.cost)
    ? delay
    : { _tag: "BudgetExhausted", budget: budget.name }
}

/**
 * Never before `after`. Where chance has a part in the delay, that comes on top, so that callers do not return together; where
 * the policy clamps, the delay is its bound instead.
 */
const delayOf = (
  caller: Policy.Caller,
  call: Call,
  error: unknown,
  ofKind: OfKind | undefined,
  after: number
): number => {
  const random = caller.getRef(Random.Random)
  let drawn = false
  const drawRandom = () => {
    drawn = true
    return random.nextDoubleUnsafe()
  }
  let { backoff } = call.settings
  let position: delays.Position = call
  if (ofKind !== undefined) {
    ofKind.count++
    if (ofKind.settings.backoff !== undefined) {
      backoff = ofKind.settings.backoff
      position = ofKind
      // Retries of all kinds count, so that a failure of another kind does not begin anew. AWS's SDKs do so too.
      position.retries = call.retries++
    }
  }
  const delay = delays.next(backoff.draw, position, drawRandom, error)
  if (after <= delay) return delay
  const { clampRetryAfter } = call.settings
  if (clampRetryAfter !== undefined) return Math.ceil(Math.min(after, delay + clampRetryAfter))
  return Math.ceil(drawn ? after + delay : after)
}
