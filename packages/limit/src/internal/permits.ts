import type * as Policy from "@effect-resilience/kernel/Policy"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Gate } from "./gated.ts"
import { Gated } from "./gated.ts"
import type { Reason, Waiter, Waits } from "./waitQueue.ts"
import { WaitQueue } from "./waitQueue.ts"

/** How many run and wait, and what a call fails with that finds no room. */
export interface Limits<Full> extends Waits {
  readonly permits: number
  readonly full: (reason: Reason, permits: number) => Full
}

/** Permits with a bounded queue. `Full` is the error of a call that finds no room. */
export class Permits<Full> extends WaitQueue implements Gate<Full> {
  protected limits: Limits<Full>
  private running = 0
  private rejections: { [_ in Reason]?: Effect.Effect<never, Full> } = {}

  constructor(kind: string, name: string, limits: Limits<Full>) {
    super(kind, name, limits)
    this.limits = limits
  }

  get isIdle(): boolean {
    return this.running === 0 && this.waiting === 0
  }

  get snapshot() {
    return Effect.sync(() => ({
      permits: this.limits.permits,
      running: this.running,
      waiting: this.waiting,
      rejected: this.rejected
    }))
  }

  protected change(limits: Limits<Full>): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      this.limits = limits
      this.rejections = {}
      this.wait(limits, fiber)
      return Effect.void
    })
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Full, R> {
    return new Gated(this, self)
  }

  enter<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Full, R> {
    return this.run(new Call(this, self, 1))
  }

  executeWith<A, E, R>(self: Effect.Effect<A, E, R>, weight: number): Effect.Effect<A, E | Full, R> {
    return Effect.suspend(() => this.run(new Call(this, self, weight)))
  }

  /** Permits that are held until the scope closes. */
  hold(weight: number): Effect.Effect<void, Full, Scope.Scope> {
    return Effect.withFiber((fiber) => {
      const scope = Context.get(fiber.context as Context.Context<Scope.Scope>, Scope.Scope)
      const handOver = Effect.uninterruptible(Effect.suspend(() => {
        call.holds = false
        return Scope.addFinalizer(scope, Effect.sync(() => this.release(weight)))
      }))
      const call: Call<void, never, never, Full> = new Call(this, handOver, weight)
      return this.run(call)
    })
  }

  // The frame comes first, so that no interruption can come between a permit and the frame that gives it back.
  private run<A, E, R>(call: Call<A, E, R, Full>): Effect.Effect<A, E | Full, R> {
    return Effect.onExitPrimitive(call, () => this.leave(call))
  }

  begin<A, E, R>(call: Call<A, E, R, Full>): Effect.Effect<A, E | Full, R> {
    const fiber = Fiber.getCurrent()
    return this.admit(call, fiber) ?? Effect.callback((resume) => {
      // The fiber may have yielded since.
      const admitted = this.admit(call, fiber)
      if (admitted !== undefined || fiber === undefined) return resume(admitted ?? this.rejection("QueueFull"))
      call.resume = resume
      this.append(call, fiber)
    })
  }

  private admit<A, E, R>(
    call: Call<A, E, R, Full>,
    fiber: Fiber.Fiber<unknown, unknown> | undefined
  ): Effect.Effect<A, E | Full, R> | undefined {
    if (this.take(call.weight)) {
      call.holds = true
      return call.self
    }
    const objection = fiber === undefined ? "QueueFull" : this.objection(call.weight, fiber)
    return objection && this.rejection(objection)
  }

  private leave<A, E, R>(call: Call<A, E, R, Full>): undefined {
    if (call.holds) this.release(call.weight)
    else this.remove(call)
  }

  admitUnsafe(): Policy.Admission | undefined {
    return this.take(1) ? this.releaseOne : undefined
  }

  private readonly releaseOne = (): undefined => {
    this.release(1)
  }

  /** Takes permits if there are so many for a call that comes now. */
  private take(weight: number): boolean {
    if (this.running + weight > this.limits.permits || this.waiting > 0) return false
    this.running += weight
    return true
  }

  takeFor(weight: number) {
    this.running += weight
  }

  private release(weight: number) {
    this.running -= weight
    this.grantSoon()
  }

  protected hasRoom({ weight }: Waiter): boolean {
    return this.running + weight <= this.limits.permits
  }

  protected isTooHeavy(weight: number): boolean {
    return weight > this.limits.permits
  }

  // Counted where the call fails, whichever fiber decided it: an interruption can still come first.
  rejection(reason: Reason): Effect.Effect<never, Full> {
    return this.rejections[reason] ??= this.reject(reason)
  }

  private reject(reason: Reason): Effect.Effect<never, Full> {
    const exit = Exit.fail(this.limits.full(reason, this.limits.permits))
    return Effect.withFiber((fiber) => {
      PolicyEvent.rejectUnsafe(this, fiber.context, reason)
      return exit
    })
  }
}

// Many of them can wait, so a call holds what it must.
class Call<A, E, R, Full> extends Effectable.Class<A, E | Full, R> implements Waiter {
  readonly self: Effect.Effect<A, E, R>
  readonly weight: number
  private readonly permits: Permits<Full>
  /** Whether it holds permits. */
  holds = false
  line: Waiter["line"] = undefined
  previous: Waiter | undefined = undefined
  next: Waiter | undefined = undefined
  since = 0
  deadlineAt: number | undefined = undefined
  resume: ((effect: Effect.Effect<A, E | Full, R>) => void) | undefined = undefined

  constructor(permits: Permits<Full>, self: Effect.Effect<A, E, R>, weight: number) {
    super()
    this.permits = permits
    this.self = self
    this.weight = weight
  }

  asEffect() {
    return this.permits.begin(this)
  }

  go() {
    this.holds = true
    this.permits.takeFor(this.weight)
    this.resume?.(this.self)
  }

  stop(reason: Reason) {
    this.resume?.(Effect.andThen(Effect.yieldNow, this.permits.rejection(reason)))
  }
}
