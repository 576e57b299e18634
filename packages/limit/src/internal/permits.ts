import { monotonicMillis } from "@effect-resilience/deadline/Timer"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { SchedulerDispatcher } from "effect/Scheduler"
import type { Bulkhead, BulkheadFull } from "../Bulkhead.ts"
import type { Gate } from "./gated.ts"
import { Gated } from "./gated.ts"

export type Reason = "QueueFull" | "QueueTimeout"

/** Permits with a bounded queue, first in, first out. `Full` is the error of a call that finds no room. */
export class Permits<Full> implements Gate<Full> {
  readonly key: string
  private permits: number
  private running = 0
  private waiting = 0
  private first: Waiter<Full> | undefined
  private last: Waiter<Full> | undefined
  private granting = false
  private reaper: Fiber.Fiber<void> | undefined

  private readonly queue: number
  private readonly queueTimeoutMillis: number
  private readonly full: (reason: Reason, permits: number) => Full
  private queueFull: Exit.Exit<never, Full> | undefined
  private queueTimeout: Exit.Exit<never, Full> | undefined

  constructor(
    key: string,
    permits: number,
    queue: number,
    queueTimeoutMillis: number,
    full: (reason: Reason, permits: number) => Full
  ) {
    this.key = key
    this.permits = permits
    this.queue = queue
    this.queueTimeoutMillis = queueTimeoutMillis
    this.full = full
  }

  get isIdle(): boolean {
    return this.running === 0 && this.waiting === 0
  }

  get stats() {
    return Effect.sync(() => ({ permits: this.permits, running: this.running, waiting: this.waiting }))
  }

  resize(permits: number): Effect.Effect<void> {
    check(permits)
    return Effect.sync(() => {
      this.permits = permits
      this.queueFull = this.queueTimeout = undefined
      this.grantSoon()
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
      if (this.queueTimeoutMillis !== Infinity) this.limitWait(call)
    })
  }

  private admit<A, E, R>(call: Call<A, E, R, Full>): Effect.Effect<A, E | Full, R> | undefined {
    if (this.takeUnsafe()) {
      call.holds = true
      return call.self
    }
    return this.waiting < this.queue ? undefined : this.queueFull ??= Exit.fail(this.full("QueueFull", this.permits))
  }

  private leave(call: Waiter<Full>): undefined {
    if (call.holds) this.release()
    else this.remove(call)
  }

  /** Takes a permit if there is one for a call that comes now. */
  takeUnsafe(): boolean {
    if (this.running >= this.permits || this.waiting > 0) return false
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
    while (this.first !== undefined && this.running < this.permits) {
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
    waiter.until = monotonicMillis(fiber.getRef(Clock.Clock)) + this.queueTimeoutMillis
    if (this.reaper !== undefined) return
    const reaper = Effect.runForkWith(fiber.context)(this.reap(-Infinity))
    // It has ended where there is no time to wait.
    if (reaper.pollUnsafe() === undefined) this.reaper = reaper
  }

  // A wait that has ended has lasted as long as it was meant to, though fake timers leave the clock where it was.
  private reap(instant: number): Effect.Effect<void> {
    return Effect.withFiber((fiber): Effect.Effect<void> => {
      const clock = fiber.getRef(Clock.Clock)
      const now = Math.max(instant, monotonicMillis(clock))
      while (this.first !== undefined) {
        const { until } = this.first
        if (until > now) return Effect.flatMap(clock.sleep(Duration.millis(until - now)), () => this.reap(until))
        const waiter = this.first
        this.remove(waiter)
        waiter.stop(this.queueTimeout ??= Exit.fail(this.full("QueueTimeout", this.permits)))
      }
      return Effect.void
    })
  }
}

const turnsBeforeYield = 1024

/** Throws `RangeError` where so many permits make no sense. */
export const check = (permits: number) => {
  if (!Number.isInteger(permits) || permits < 1) {
    throw new RangeError(`Bulkhead: permits must be an integer of at least 1, not ${permits}`)
  }
}

interface Waiter<in Full> {
  /** Whether it holds a permit. */
  holds: boolean
  queued: boolean
  previous: Waiter<Full> | undefined
  next: Waiter<Full> | undefined
  until: number
  go(): void
  stop(exit: Exit.Exit<never, Full>): void
}

// Many of them can wait, so a call holds what it must.
class Call<A, E, R, Full> extends Effectable.Class<A, E | Full, R> implements Waiter<Full> {
  readonly self: Effect.Effect<A, E, R>
  private readonly permits: Permits<Full>
  holds = false
  queued = false
  previous: Waiter<Full> | undefined = undefined
  next: Waiter<Full> | undefined = undefined
  until = Infinity
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

  stop(exit: Exit.Exit<never, Full>) {
    this.resume?.(exit)
  }
}

export const isPermits = (bulkhead: Bulkhead): bulkhead is Permits<BulkheadFull> => bulkhead instanceof Permits
