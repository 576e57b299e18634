import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Timer from "@effect-resilience/kernel/Timer"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { AnyPolicy, Placed } from "../Part.ts"
import { type Admissions, type Admitting, report } from "./admissions.ts"
import { Call, CallInFiber, CallOnItsOwn } from "./call.ts"
import { isRetried, isTimed, retried, type Retry, timed, type Wrap } from "./marks.ts"
import { admit, entered, type FastPath, reportAround, reportInside } from "./path.ts"

/**
 * The fast path through policies, outside in: admissions, perhaps a retry, admissions, a time limit. `undefined` where they are
 * not such a list.
 *
 * hack: fast-path
 */
export const through = (
  placed: ReadonlyArray<Placed>,
  oneByOne: (placed: ReadonlyArray<Placed>) => Wrap
): Wrap | undefined => {
  const path = make(placed, oneByOne)
  return path && ((self) => new Through(path, self))
}

const make = (
  placed: ReadonlyArray<Placed>,
  oneByOne: (placed: ReadonlyArray<Placed>) => Wrap
): FastPath | undefined => {
  const limit = placed.at(-1)?.policy
  if (!isTimed(limit)) return undefined
  const { timeout } = limit[timed]
  const policies: Array<Admitting> = []
  let insideFrom = 0
  let retry: Retry | undefined
  for (const { policy } of placed.slice(0, -1)) {
    if (isAdmitting(policy)) policies.push(policy)
    else if (retry === undefined && isRetried(policy) && policy[retried] !== undefined) {
      retry = policy[retried]
      insideFrom = policies.length
    } else return undefined
  }
  return {
    policies,
    insideFrom,
    retry,
    timeoutMillis: Duration.toMillis(timeout),
    timedOut: (caller) => Exit.fail(Timeout.timedOutUnsafe(caller, timeout)),
    attempt: oneByOne(retry === undefined ? placed : placed.slice(insideFrom + 1)),
    slow: oneByOne(placed)
  }
}

const isAdmitting = (policy: AnyPolicy): policy is AnyPolicy & Admitting => policy.admitUnsafe !== undefined

/**
 * A call through the fast path. Where a policy has to reject it or to make it wait, nothing has happened and it takes the slow path.
 *
 * An attempt has the fiber that a timeout needs anyhow, or none where it begins without one. Attempts that follow pass the policies
 * inside the retry in the same way.
 */
class Through<A, E, R> extends Effectable.Class<A, unknown, R> implements Direct.Direct<A> {
  private readonly path: FastPath
  private readonly self: Effect.Effect<A, E, R>
  private inFiber: Effect.Effect<A, unknown, R> | undefined = undefined

  constructor(path: FastPath, self: Effect.Effect<A, E, R>) {
    super()
    this.path = path
    this.self = self
  }

  override asEffect(): Effect.Effect<A, unknown, R> {
    return this.inFiber ??= Effect.callback((resume) => {
      const fiber = Fiber.getCurrent()
      return fiber === undefined ? resume(this.slow) : this.startIn(fiber, resume)
    })
  }

  [Direct.direct](context: Context.Context<never>): Direct.Running<A> {
    // What begins the call has all that it needs.
    const inside = context as Context.Context<R>
    const call = Timer.isSimulated(context)
      ? new Call(this.path, this.self, inside)
      : new CallOnItsOwn(this.path, this.self, inside)
    if (!call.admit()) return Direct.startUnsafe(this.slow, inside)
    call.start(() => call.begin())
    return call
  }

  /** A first attempt that succeeds at once needs no call. */
  private startIn(
    fiber: Fiber.Fiber<unknown, unknown>,
    resume: (effect: Effect.Effect<A, unknown, R>) => void
  ): Effect.Effect<void> | undefined | void {
    const { path, self } = this
    const admissions = admit(path, fiber)
    if (admissions === undefined) return resume(this.slow)
    const context = enteredWith(path, admissions, fiber.context as Context.Context<R>)
    const begun = Direct.startUnsafe(self, context)
    const exit = begun.pollUnsafe()
    const succeeded = exit !== undefined && Exit.isSuccess(exit) ? exit : undefined
    const news = succeeded && reportInside(path, admissions, succeeded)
    if (succeeded !== undefined && news === undefined) {
      const around = reportAround(path, admissions, context, succeeded)
      return resume(around === undefined ? succeeded : Effect.andThen(Effect.uninterruptible(around), succeeded))
    }
    const isSimulated = Timer.isSimulated(context)
    const call = isSimulated
      ? new Call(path, self, context, admissions)
      : new CallInFiber(path, self, context, admissions, fiber, resume)
    if (exit === undefined) call.observe(begun)
    else call.start(() => succeeded && news ? call.tellAndLeave(news, succeeded) : call.attempted(exit))
    if (isSimulated) call.addObserver(resume)
    return call.pollUnsafe() === undefined ? call.interrupt : undefined
  }

  // Who runs this effect has R.
  private get slow(): Effect.Effect<A, unknown, R> {
    return this.path.slow(this.self) as Effect.Effect<A, unknown, R>
  }
}

/** Where a budget throws as it is told of a call, the call has not begun. */
const enteredWith = <R>(path: FastPath, admissions: Admissions, context: Context.Context<R>): Context.Context<R> => {
  let inside: Context.Context<R> | undefined
  try {
    inside = entered(path, context)
    return inside
  } finally {
    if (inside === undefined) report(admissions, Policy.neverBegan)
  }
}
