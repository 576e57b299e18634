import * as Direct from "@effect-resilience/kernel/Direct"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Surroundings from "@effect-resilience/kernel/Surroundings"
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Attempt from "@effect-resilience/retry/Attempt"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { type Admissions, admitFrom, after, type News, none, report } from "./admissions.ts"
import { admit, entered, type FastPath, reportAround, reportInside } from "./path.ts"

const interrupted = /* @__PURE__ */ Exit.interrupt()

type Step = () => void

/**
 * A call: its attempts, the waits between them, and the effects that others hear of it by. One of these runs at a time. A success
 * ends it at once; all other steps are made by what runs the call.
 */
export class Call<A, E, R> extends Direct.Ending<A, unknown> implements Policy.Caller {
  context: Context.Context<R>
  protected stopped = false
  protected next: Step | undefined = undefined
  protected wake: (() => void) | undefined = undefined
  private readonly path: FastPath
  private readonly self: Effect.Effect<A, E, R>
  /** Of the first attempt and of what stands around the retry, inside out. */
  private admissions: Admissions
  private isFirst = true
  /** Those of an attempt after the first one. */
  private inside: Admissions = none
  private loop: RetryPolicy.Loop<A, unknown> | undefined = undefined
  private running: Direct.Running<unknown> | undefined = undefined
  private wait: Timer.Wait | undefined = undefined
  private timedOut = false
  private left = false
  private stepping = false

  constructor(path: FastPath, self: Effect.Effect<A, E, R>, context: Context.Context<R>, admissions = none) {
    super()
    this.path = path
    this.self = self
    this.context = context
    this.admissions = admissions
  }

  getRef<S>(ref: Context.Reference<S>): S {
    return Context.get(this.context, ref)
  }

  /** Whether all policies let it begin at once. */
  admit(): boolean {
    const admissions = admit(this.path, this)
    if (admissions === undefined) return false
    this.admissions = admissions
    return true
  }

  /** Makes its first step: `begin`, `attempted` or `tellAndLeave`. */
  start(first: Step): void {
    this.stepping = true
    try {
      first()
    } catch (thrown) {
      this.leave(Exit.die(thrown))
    }
    this.stepping = false
    if (this.next !== undefined) this.go()
  }

  /** Begins its first attempt. */
  begin(): void {
    this.context = entered(this.path, this.context)
    this.attempt(this.self, this.context)
  }

  /** Goes on with an attempt that runs. */
  observe(running: Direct.Running<A>, context: Context.Context<R> = this.context, admitted = true): void {
    this.running = running
    const { timeoutMillis } = this.path
    if (admitted && timeoutMillis < Infinity) {
      this.wait = Timer.startUnsafe(context, timeoutMillis, () => this.elapse())
    }
    running.addObserver((exit) => this.attempted(exit))
    // What began may have interrupted the call.
    if (this.stopped) running.interruptUnsafe()
  }

  /** Goes on after an attempt. */
  attempted(exit: Exit.Exit<A, unknown>): void {
    this.wait?.cancel()
    this.running = undefined
    if (Exit.isFailure(exit) || this.stopped) this.enter(() => this.failed(exit))
    else {
      const news = this.reportInside(exit)
      // News of a success may be that a policy threw.
      if (news === undefined) this.leave(exit)
      else this.tellAndLeave(news, exit)
    }
  }

  /** Ends with the success of its first attempt, when others have heard what came of it inside the retry. */
  tellAndLeave(news: Effect.Effect<void>, exit: Exit.Exit<A, unknown>): void {
    this.isFirst = false
    this.tell(news, () => this.leave(exit))
  }

  override interruptUnsafe(by?: number): void {
    if (this.stopped) return
    this.stopped = true
    this.wait?.cancel()
    if (this.stepping) this.running?.interruptUnsafe(by)
    else if (this.next !== undefined) this.stepAll()
    else if (this.running === undefined) this.leave(interrupted)
    else this.running.interruptUnsafe(by)
  }

  /** Makes the steps that are due. */
  protected go(): void {
    this.stepAll()
  }

  /** Makes them in a fiber, which `wake` tells to go on. */
  protected get turn(): Effect.Effect<A, unknown> {
    const pausing = Effect.callback<void>((resume) => {
      const wake = () => resume(Effect.void)
      this.wake = wake
      // The fiber may have yielded since its turn.
      return this.next === undefined && this.pollUnsafe() === undefined ? this.interrupt : wake()
    })
    // A pause that was resumed with the turn would keep its frame until the call has ended.
    const paused = Effect.flatMap(pausing, () => turn)
    const turn: Effect.Effect<A, unknown> = Effect.suspend(() => this.step() ? turn : this.pollUnsafe() ?? paused)
    return turn
  }

  /** Makes the next step. Whether there is another one then. */
  protected step(): boolean {
    const { next } = this
    this.next = undefined
    this.stepping = true
    try {
      next?.()
    } catch (thrown) {
      this.leave(Exit.die(thrown))
    }
    this.stepping = false
    return this.next !== undefined
  }

  private stepAll(): void {
    while (this.step());
  }

  /** Goes on with a step when the present one has ended, so that no number of them fills the stack. */
  protected enter(step: Step): void {
    this.next = step
    // Once it is interrupted, what runs it only waits for its end.
    if (this.stepping) return
    if (this.stopped) this.stepAll()
    else this.go()
  }

  /** An attempt that is admitted; one that is not passes the policies inside the retry one by one. */
  private attempt(self: Effect.Effect<A, unknown, R>, context: Context.Context<R>, admitted = true): void {
    const running = Direct.startUnsafe(self, context)
    const exit = running.pollUnsafe()
    if (exit === undefined) this.observe(running, context, admitted)
    else this.attempted(exit)
  }

  /** An attempt has had its time. */
  private elapse(): void {
    this.timedOut = true
    this.running?.interruptUnsafe()
  }

  private failed(exit: Exit.Exit<A, unknown>): void {
    if (this.stopped) return this.leave(interrupted)
    const late = this.timedOut && Exit.isFailure(exit) && !Cause.hasDies(exit.cause)
    this.timedOut = false
    const ended = late ? this.path.timedOut(this) : exit
    const news = this.reportInside(ended)
    if (news === undefined) this.follow(ended)
    else this.tell(news, () => this.follow(ended))
  }

  private follow(exit: Exit.Exit<A, unknown>): void {
    const { retry } = this.path
    if (retry === undefined || Exit.isSuccess(exit)) return this.leave(exit)
    this.loop ??= RetryPolicy.loopUnsafe<A, unknown>(retry.policy, retry.options)
    this.proceed(RetryPolicy.nextUnsafe(this, this.loop, exit.cause))
  }

  private proceed(next: RetryPolicy.Next<A, unknown> | Effect.Effect<RetryPolicy.Next<A, unknown>>): void {
    if (typeof next !== "number") {
      if (Exit.isExit(next)) this.leave(next)
      else this.tell(next, (decided) => this.proceed(decided))
    } else if (next > 0) {
      this.wait = Timer.waitUnsafe(this.context, next, () => this.enter(() => this.again()))
      if (!this.stopped) return
      // What decided it, or the clock, has interrupted the call.
      this.wait.cancel()
      this.leave(interrupted)
    } else this.again()
  }

  /** Makes the attempt that the loop has come to. */
  protected again(): void {
    const { context, loop, path } = this
    if (loop === undefined || this.stopped) return this.leave(interrupted)
    const inside = Context.add(context, Attempt.Current, loop.attempt)
    this.context = inside
    const admissions = admitFrom(path.policies, path.insideFrom, this)
    this.context = context
    this.inside = admissions ?? none
    // Who was asked may have interrupted the call.
    if (this.stopped) this.leave(interrupted)
    else if (admissions !== undefined) this.attempt(this.self, inside)
    // Its policies need no more than the call.
    else this.attempt(path.attempt(this.self) as Effect.Effect<A, unknown, R>, inside, false)
  }

  /** Runs an effect, and goes on with what it succeeds with. */
  private tell<B>(effect: Effect.Effect<B, unknown>, then: (value: B) => void): void {
    const running = Direct.startUnsafe(effect, this.context)
    const told = (exit: Exit.Exit<B, unknown>) =>
      this.enter(() => {
        this.running = undefined
        if (this.stopped) this.leave(interrupted)
        else if (Exit.isSuccess(exit)) then(exit.value)
        else this.leave(Exit.failCause(exit.cause))
      })
    const exit = running.pollUnsafe()
    if (exit !== undefined) return told(exit)
    this.running = running
    running.addObserver(told)
    if (this.stopped) running.interruptUnsafe()
  }

  private reportInside(exit: Exit.Exit<unknown, unknown>): News {
    const { admissions, inside, isFirst } = this
    this.isFirst = false
    this.inside = none
    return isFirst ? reportInside(this.path, admissions, exit) : report(inside, exit)
  }

  private leave(exit: Exit.Exit<A, unknown>): void {
    if (this.left) return
    this.left = true
    const ofInside = this.reportInside(exit)
    const news = after(ofInside, reportAround(this.path, this.admissions, this.context, exit))
    if (news === undefined) return this.end(exit)
    const telling = Direct.startUnsafe(Effect.uninterruptible(news), this.context)
    const told = (told: Exit.Exit<void>) => this.end(Exit.isSuccess(told) ? exit : Exit.failCause(told.cause))
    const ended = telling.pollUnsafe()
    if (ended === undefined) telling.addObserver(told)
    else told(ended)
  }
}

/**
 * A call in its caller's fiber, which brings back what timers lose: the surroundings of `AsyncLocalStorage`, and a turn for others.
 */
export class CallInFiber<A, E, R> extends Call<A, E, R> {
  private readonly fiber: Fiber.Fiber<unknown, unknown>
  private readonly resume: (effect: Effect.Effect<A, unknown>) => void
  private isAwaited = true

  constructor(
    path: FastPath,
    self: Effect.Effect<A, E, R>,
    context: Context.Context<R>,
    admissions: Admissions,
    fiber: Fiber.Fiber<unknown, unknown>,
    resume: (effect: Effect.Effect<A, unknown>) => void
  ) {
    super(path, self, context, admissions)
    this.fiber = fiber
    this.resume = resume
  }

  /** An interruption of the fiber reaches only what the fiber awaits. So the call makes the steps before that, and no attempt more. */
  override start(first: Step): void {
    this.isAwaited = false
    super.start(first)
    while (this.next !== undefined) this.step()
    this.isAwaited = true
  }

  protected override again(): void {
    if (this.isAwaited) super.again()
    else this.fiber.currentDispatcher.scheduleTask(() => this.enter(() => super.again()), 0)
  }

  protected override go(): void {
    if (!this.isAwaited) return
    if (this.wake === undefined) this.resume(this.turn)
    else this.wake()
  }

  protected override end(exit: Exit.Exit<A, unknown>): void {
    super.end(exit)
    this.resume(exit)
    this.wake?.()
  }
}

/** A call without a caller's fiber. It gets one of its own where its first attempt does not succeed. */
export class CallOnItsOwn<A, E, R> extends Call<A, E, R> {
  private surroundings: Surroundings.Surroundings | undefined = undefined
  private hasFiber = false

  override start(first: Step): void {
    this.surroundings = Surroundings.captureUnsafe()
    super.start(first)
  }

  override interruptUnsafe(by?: number): void {
    this.within(() => super.interruptUnsafe(by))
  }

  protected override go(): void {
    if (this.hasFiber) return this.wake?.()
    this.hasFiber = true
    this.within(() => Effect.runForkWith(this.context)(this.turn))
  }

  protected override end(exit: Exit.Exit<A, unknown>): void {
    super.end(exit)
    this.surroundings?.emitDestroy()
    this.wake?.()
  }

  /** Those who interrupt it, timers for example, have surroundings of their own. */
  private within(f: () => void): void {
    if (this.surroundings === undefined) f()
    else this.surroundings.runInAsyncScope(f)
  }
}
