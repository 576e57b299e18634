import type * as Timeout from "@effect-resilience/deadline/Timeout"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Attempt from "@effect-resilience/retry/Attempt"
import * as AttemptBudget from "@effect-resilience/retry/AttemptBudget"
import type * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import { type Admissions, admitFrom, type Admitting, after, type News, report } from "./admissions.ts"
import type { Retry, Wrap } from "./marks.ts"

/** Policies that a call passes in one step, while none of them rejects it or lets it wait. */
export interface FastPath {
  /** Outside in. Those from `insideFrom` on stand inside the retry. */
  readonly policies: ReadonlyArray<Admitting>
  readonly insideFrom: number
  readonly retry: Retry | undefined
  readonly timeoutMillis: number
  readonly timedOut: (caller: Policy.Caller) => Exit.Exit<never, Timeout.TimedOut>
  /** One attempt through the policies inside the retry, one by one. */
  readonly attempt: Wrap
  /** A call through all policies, one by one. */
  readonly slow: Wrap
}

/** The admissions of a call, where all policies let it begin at once. */
export const admit = ({ policies, retry }: FastPath, caller: Policy.Caller): Admissions | undefined =>
  retry !== undefined && caller.getRef(Attempt.Current) !== Attempt.first ? undefined : admitFrom(policies, 0, caller)

/** What the retry would do before the first attempt. */
export const entered = <R>({ retry }: FastPath, context: Context.Context<R>): Context.Context<R> => {
  if (retry === undefined) return context
  const counted = AttemptBudget.depositUnsafe(context)
  return Attempt.callTracker()?.(counted) ?? counted
}

/** Tells the policies inside the retry how the first attempt ended. */
export const reportInside = (
  { insideFrom }: FastPath,
  admissions: Admissions,
  exit: Exit.Exit<unknown, unknown>
): News => report(admissions, exit, 0, admissions.length - insideFrom)

/** Tells the retry, and the policies around it, how a call ended. */
export const reportAround = (
  { insideFrom, retry }: FastPath,
  admissions: Admissions,
  context: Context.Context<never>,
  exit: Exit.Exit<unknown, unknown>
): News =>
  after(
    retry === undefined ? undefined : endBudget(context, exit),
    report(admissions, exit, admissions.length - insideFrom)
  )

const endBudget = (context: Context.Context<never>, exit: Exit.Exit<unknown, unknown>): News => {
  try {
    AttemptBudget.endUnsafe(context, exit)
    return undefined
  } catch (thrown) {
    return Exit.die(thrown)
  }
}
