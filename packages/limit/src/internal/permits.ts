import type * as Policy from "@effect-resilience/kernel/Policy"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { SchedulerDispatcher } from "effect/Scheduler"
import type { Gate } from "./gated.ts"
import { Gated } from "./gated.ts"

export type Reason = "QueueFull" | "QueueTimeout"

/** How many run and wait, and what a call fails with that finds no room. */
export interface Limits<Full> {
  readonly permits: number
  readonly queue: number
  readonly queueTimeoutMillis: number
  readonly full: (reason: Reason, permits: number) => Full
}

/**
 * Permits with a bounded queue, first in, first out. `Full` is the error of a call that finds no room.
 *
 * hack: permits. The queue is a list of the calls themselves, so a call that waits costs the same however long the queue is.
 */
export class Permits<Full> implements Gate<Full>, PolicyEvent.Rejecting {
  readonly name: string
  readonly kind: string
  rejected = 0
  protected limits: Limits<Full>
  private running = 0
  private waiting = 0
  private first: Waiter<Full> | undefined
  private last: Waiter<Full> | undefined
  private granting = false
  private reaper: Fiber.Fiber<void> | undefined

  private queueFull: Effect.Effect<never, Full> | undefined
  private queueTimeout: Effect.Effect<never, Full> | undefined

  constructor(kind: string, name: string, limits: Limits<Full>) {
    this.kind = kind
    this.name = name
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
      this.queueFull = this.queueTimeout = undefined
      this.reaper?.interruptUnsafe()
      this.reaper = undefined
      if (this.waiting > 0) this.watch(fiber)
      this.grantSoon()
      return Effect.void
    })
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Full, R> {
    return new Gated(this, self)
  }

  // The frame comes first, so that no interruption can come between a permit and the frame that gives it back.
  enter<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Full, R> {
    const call = new Call(this, self)
    return Effect.onExitPrimitive(call, () => this.leave(call))
  }

  begin<A, E, R>(call: Call<A, E, R, Full>): Effect.Effect<A, E | Full, R> {
    return this.admit(call) ?? Effect.callback((resume) => {
      // The fiber may have yielded since.
      const admitted = this.admit(call)
      if (admitted !== undefined) return resume(admitted)
      call.resume = resume
      this.append(call)
      this.limitWait(call)
    })
  }

  private admit<A, E, R>(call: Call<A, E, R, Full>): Effect.Effect<A, E | Full, R> | undefined {
    if (this.take()) {
      call.holds = true
      return call.self
    }
    return this.waiting < this.limits.queue ? undefined : this.queueFull ??= this.rejection("QueueFull")
  }

  // Counted where the call fails, whichever fiber decided it: an interruption can still come first.
  private rejection(reason: Reason): Effect.Effect<never, Full> {
    const exit = Exit.fail(this.limits.full(reason, this.limits.permits))
    return Effect.withFiber((fiber) => {
      PolicyEvent.rejectUnsafe(this, fiber.context, reason)
      return exit
    })
  }

  private leave(call: Waiter<Full>): undefined {
    if (call.holds) this.release()
    else this.remove(call)
  }

  admitUnsafe(): Policy.Admission | undefined {
    return this.take() ? this.release : undefined
  }

  /** Takes a permit if there is one for a call that comes now. */
  private take(): boolean {
    if (this.running >= this.limits.permits || this.waiting > 0) return false
    this.running++
    return true
  }

  readonly release = (): undefined => {
    this.running--
    if (this.waiting > 0) this.grantSoon()
  }

  private append(waiter: Waiter<Full>) {
    waiter.queued = true
    waiter.previous = this.last
    if (this.last === undefined) this.first = waiter
    else this.last.next = waiter
    this.last = waiter
    this.waiting++
  }

  private remove(waiter: Waiter<Full>) {
    if (!waiter.queued) return
    waiter.queued = false
    if (waiter.previous === undefined) this.first = waiter.next
    else waiter.previous.next = waiter.next
    if (waiter.next === undefined) this.last = waiter.previous
    else waiter.next.previous = waiter.previous
    waiter.previous = waiter.next = undefined
    this.waiting--
    if (this.waiting === 0 && this.reaper !== undefined) {
      this.reaper.interruptUnsafe()
      this.reaper = undefined
    }
  }

  // A waiter runs inside its `grant`, so granting from the end of a call would nest as deep as the queue is long.
  private grantSoon() {
    if (this.granting) return
    this.granting = true
    const dispatcher = Fiber.getCurrent()?.currentDispatcher
    if (dispatcher === undefined) this.grant(undefined)
    else dispatcher.scheduleTask(() => this.grant(dispatcher), 0)
  }

  private grant(dispatcher: SchedulerDispatcher | undefined) {
    let turns = turnsBeforeYield
    while (this.first !== undefined && this.running < this.limits.permits) {
      if (dispatcher !== undefined && turns-- === 0) {
        dispatcher.scheduleTask(() => this.grant(dispatcher), 0)
        return
      }
      const waiter = this.first
      this.remove(waiter)
      this.running++
      waiter.go()
    }
    this.granting = false
  }

  // All wait equally long, so the first in the queue is the first whose time is up, and one fiber watches for all.
  private limitWait(waiter: Waiter<Full>) {
    const fiber = Fiber.getCurrent()
    if (fiber === undefined) return
    waiter.since = monotonicMillis(fiber.getRef(Clock.Clock))
    if (this.reaper === undefined) this.watch(fiber)
  }

  private watch(fiber: Fiber.Fiber<unknown, unknown>) {
    if (this.limits.queueTimeoutMillis === Infinity) return
    const reaper = Effect.runForkWith(fiber.context)(this.reap(-Infinity))
    // It has ended where there is no time to wait.
    if (reaper.pollUnsafe() === undefined) this.reaper = reaper
  }

  // A wait that has ended has lasted as long as it was meant to, though fake timers leave the clock where it was.
  private reap(instant: number): Effect.Effect<void> {
    return Effect.withFiber((fiber): Effect.Effect<void> => {
      const { queueTimeoutMillis } = this.limits
      const clock = fiber.getRef(Clock.Clock)
      const now = Math.max(instant, monotonicMillis(clock))
      while (this.first !== undefined) {
        const until = this.first.since + queueTimeoutMillis
        if (until > now) return Effect.flatMap(clock.sleep(Duration.millis(until - now)), () => this.reap(until))
        const waiter = this.first
        this.remove(waiter)
        waiter.stop(this.queueTimeout ??= this.rejection("QueueTimeout"))
      }
      return Effect.void
    })
  }
}

const turnsBeforeYield = 1024

interface Waiter<in Full> {
  /** Whether it holds a permit. */
  holds: boolean
  queued: boolean
  previous: Waiter<Full> | undefined
  next: Waiter<Full> | undefined
  since: number
  go(): void
  stop(rejection: Effect.Effect<never, Full>): void
}

// Many of them can wait, so a call holds what it must.
class Call<A, E, R, Full> extends Effectable.Class<A, E | Full, R> implements Waiter<Full> {
  readonly self: Effect.Effect<A, E, R>
  private readonly permits: Permits<Full>
  holds = false
  queued = false
  previous: Waiter<Full> | undefined = undefined
  next: Waiter<Full> | undefined = undefined
  since = Infinity
  resume: ((effect: Effect.Effect<A, E | Full, R>) => void) | undefined = undefined

  constructor(permits: Permits<Full>, self: Effect.Effect<A, E, R>) {
    super()
    this.permits = permits
    this.self = self
  }

  asEffect() {
    return this.permits.begin(this)
  }

  go() {
    this.holds = true
    this.resume?.(this.self)
  }

  stop(rejection: Effect.Effect<never, Full>) {
    this.resume?.(rejection)
  }
}
