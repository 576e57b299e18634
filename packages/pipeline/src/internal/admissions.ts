import * as Policy from "@effect-resilience/kernel/Policy"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/** A policy that can let a call begin at once. */
export interface Admitting {
  readonly admitUnsafe: (caller: Policy.Caller) => Policy.Admission | undefined
}

export type Admissions = ReadonlyArray<Policy.Admission>

export const none: Admissions = []

/** The admissions of the policies from one inward, inside out. Where one has none, or throws, those inside it get theirs back. */
export const admitFrom = (
  policies: ReadonlyArray<Admitting>,
  from: number,
  caller: Policy.Caller
): Admissions | undefined => {
  const admissions: Array<Policy.Admission> = []
  try {
    for (let i = policies.length - 1; i >= from; i--) {
      const admission = policies[i]?.admitUnsafe(caller)
      if (admission === undefined) return undefined
      admissions.push(admission)
    }
    return admissions
  } finally {
    if (admissions.length < policies.length - from) report(admissions, Policy.neverBegan)
  }
}

/**
 * Tells policies how a call ended, those inside first. The effect tells others what came of it. Where a policy throws, as the
 * classifier of a user may, the call ends with that for all policies outside it.
 */
export const report = (
  admissions: Admissions,
  exit: Exit.Exit<unknown, unknown>,
  from = 0,
  to = admissions.length
): News => {
  let news: News
  for (let i = from; i < to; i++) {
    try {
      news = after(news, admissions[i]?.(exit))
    } catch (thrown) {
      const died = Exit.die(thrown)
      return after(news, after(report(admissions, died, i + 1, to), died))
    }
  }
  return news
}

export type News = Effect.Effect<void> | undefined

/** Both, even where the first is a defect or is interrupted: what opens a circuit is news too. */
export const after = (news: News, more: News): News => {
  if (news === undefined) return more
  return more === undefined ? news : Effect.ensuring(news, more)
}
