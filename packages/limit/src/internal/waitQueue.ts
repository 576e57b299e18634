import type { Deadline } from "@effect-resilience/deadline/Deadline"
import type * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { SchedulerDispatcher } from "effect/Scheduler"
import * as Priority from "../Priority.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** Why a call does not begin. */
export type Reason = "QueueFull" | "QueueTimeout" | "Deadline" | "TooHeavy"

/** Which of the calls that wait is next. `standsSince` is when the queue was empty last. */
export interface Discipline {
  readonly newestFirst: (now: number, standsSince: number) => boolean
  /** Until when a call may wait that came at `since`. Never earlier than for one that came before. */
  readonly until: (since: number, standsSince: number) => number
}

/** How calls wait; without a discipline first in, first out. */
export interface Waits {
  readonly queue: number
  readonly queueTimeoutMillis: number
  readonly discipline?: Discipline | undefined
  /** The most important first. */
  readonly priorities?: ReadonlyArray<string> | undefined
  /** The deadline that a call must be able to meet, where that matters. */
  readonly deadline?: Context.Reference<Deadline> | undefined
}

/** A call that waits. */
export interface Waiter {
  readonly weight: number
  /** Where it waits. */
  line: Line | undefined
  previous: Waiter | undefined
  next: Waiter | undefined
  since: number
  /** Until when it must begin, if it has a deadline. */
  deadlineAt: number | undefined
  go(): void
  /** Rejects it. Its caller goes on later: it may come again at once, while the queue is about to let another call wait. */
  stop(reason: Reason): void
}

interface Host {
  readonly dispatcher: SchedulerDispatcher
  readonly clock: Clock.Clock
}

interface Line {
  readonly rank: number
  size: number
}

class Waiters implements Line {
  readonly rank: number
  size = 0
  oldest: Waiter | undefined
  newest: Waiter | undefined

  constructor(rank: number) {
    this.rank = rank
  }
}

/**
 * Calls that wait until there is room: a line for each priority.
 *
 * hack: permits. A line is a list of the calls themselves, so a call that waits costs the same however long the line is.
 */
export abstract class WaitQueue implements PolicyEvent.Rejecting {
  readonly name: string
  readonly kind: string
  rejected = 0
  protected waiting = 0
  private waits: Waits
  private lines: Array<Waiters> = []
  private granting = false
  /** Where the latest of the calls that wait runs, and its time: a call may end outside of any fiber, or in one of another time. */
  private host: Host | undefined
  private reaper: Fiber.Fiber<void> | undefined
  private standsSince = 0
  private countedSince = 0
  private granted = 0
  /** Whether the time of a call can be up while it waits. */
  private isTimed: boolean

  constructor(kind: string, name: string, waits: Waits) {
    this.kind = kind
    this.name = name
    this.waits = waits
    this.isTimed = isTimed(waits)
  }

  protected abstract hasRoom(waiter: Waiter): boolean
  /** Whether there can never be room for it. */
  protected abstract isTooHeavy(weight: number): boolean

  protected wait(waits: Waits, fiber: AnyFiber) {
    this.waits = waits
    this.isTimed = isTimed(waits)
    this.reaper?.interruptUnsafe()
    this.reaper = undefined
    if (this.waiting > 0 && this.isTimed) this.watch(fiber)
    this.grantSoon()
  }

  /** Why a call cannot wait, if it cannot. */
  protected objection(weight: number, fiber: AnyFiber): Reason | undefined {
    const { deadline, queue } = this.waits
    if (this.isTooHeavy(weight)) return "TooHeavy"
    if (queue === 0) return "QueueFull"
    const isFull = this.waiting >= queue
    const atMillis = deadline === undefined ? Infinity : fiber.getRef(deadline).atMillis
    // Most calls are asked nothing here that needs the time.
    if (!isFull && atMillis === Infinity) return undefined
    const rank = this.rankOf(fiber)
    const now = monotonicMillis(fiber.getRef(Clock.Clock))
    if (isFull && this.victim(rank, now) === undefined) return "QueueFull"
    return atMillis < Infinity && now + this.expectedMillis(rank, now) >= atMillis ? "Deadline" : undefined
  }

  /** Lets a call wait that has no objection to meet. */
  protected append(waiter: Waiter, fiber: AnyFiber) {
    const { deadline, queue } = this.waits
    const isFull = this.waiting >= queue
    const clock = fiber.getRef(Clock.Clock)
    const now = monotonicMillis(clock)
    if (clock !== this.host?.clock) this.host = { dispatcher: fiber.currentDispatcher, clock }
    const rank = this.rankOf(fiber)
    if (isFull) this.drop(this.victim(rank, now), "QueueFull")
    if (this.waiting === 0) {
      this.standsSince = this.countedSince = now
      this.granted = 0
    }
    const line = this.line(rank)
    waiter.line = line
    waiter.since = now
    const atMillis = deadline === undefined ? Infinity : fiber.getRef(deadline).atMillis
    if (atMillis < Infinity) waiter.deadlineAt = atMillis
    waiter.previous = line.newest
    if (line.newest === undefined) line.oldest = waiter
    else line.newest.next = waiter
    line.newest = waiter
    line.size++
    this.waiting++
    if (this.isTimed && this.reaper === undefined) this.watch(fiber)
    // A heavy call that waits leaves room for a lighter one. That one may be more important, or the time of the heavy one up.
    if (this.hasRoom(waiter)) this.grantSoon()
  }

  protected remove(waiter: Waiter) {
    const line = waiter.line === undefined ? undefined : this.lines[waiter.line.rank]
    if (line === undefined) return
    waiter.line = undefined
    if (waiter.previous === undefined) line.oldest = waiter.next
    else waiter.previous.next = waiter.next
    if (waiter.next === undefined) line.newest = waiter.previous
    else waiter.next.previous = waiter.previous
    waiter.previous = waiter.next = undefined
    line.size--
    this.waiting--
    if (this.waiting === 0 && this.reaper !== undefined) {
      this.reaper.interruptUnsafe()
      this.reaper = undefined
    }
    // There may have been room for those behind it.
    if (waiter.weight > 1) this.grantSoon()
  }

  // A waiter runs inside its `go`, so granting from the end of a call would nest as deep as the queue is long.
  protected grantSoon() {
    if (this.granting || this.waiting === 0 || this.host === undefined) return
    this.granting = true
    this.grantLater(this.host, monotonicMillis(this.host.clock))
  }

  private grantLater(host: Host, now: number) {
    host.dispatcher.scheduleTask(() => this.grant(host, now), 0)
  }

  private grant(host: Host, now: number) {
    let turns = turnsBeforeYield
    for (let first = this.next(now); first !== undefined; first = this.next(now)) {
      if (turns-- === 0) return this.grantLater(host, now)
      const leaves = isLate(first, now) || this.isTooHeavy(first.weight) || this.hasRoom(first)
      const waiter = leaves ? first : this.overtaking()
      if (waiter === undefined) break
      if (isLate(waiter, now)) this.drop(waiter, "Deadline")
      else if (this.isTooHeavy(waiter.weight)) this.drop(waiter, "TooHeavy")
      else {
        this.remove(waiter)
        this.count(now)
        waiter.go()
      }
    }
    this.granting = false
  }

  private next(now: number): Waiter | undefined {
    if (this.waiting === 0) return undefined
    const line = this.lines.length === 1 ? this.lines[0] : this.lines.find(({ size }) => size > 0)
    return this.isNewestFirst(now) ? line?.newest : line?.oldest
  }

  /** Which call may begin though there is no room for the first. */
  protected overtaking(): Waiter | undefined {
    return undefined
  }

  /** The most important call with a property, of those that are alike the oldest. */
  protected find(has: (waiter: Waiter) => boolean): Waiter | undefined {
    for (const { oldest } of this.lines) {
      for (let waiter = oldest; waiter !== undefined; waiter = waiter.next) if (has(waiter)) return waiter
    }
    return undefined
  }

  private isNewestFirst(now: number): boolean {
    return this.waits.discipline?.newestFirst(now, this.standsSince) === true
  }

  private drop(waiter: Waiter | undefined, reason: Reason) {
    if (waiter === undefined) return
    this.remove(waiter)
    waiter.stop(reason)
  }

  /** Which call gives way to a new one while the queue is full: of the least important ones, that which is last. */
  private victim(rank: number, now: number): Waiter | undefined {
    const newestFirst = this.isNewestFirst(now)
    const line = this.lines.findLast(({ size }) => size > 0)
    if (line === undefined || line.rank < rank || (line.rank === rank && !newestFirst)) return undefined
    return newestFirst ? line.oldest : line.newest
  }

  // While calls wait, the pace at which they begin tells how long a new one will: the mean of the last 64 or so.
  private count(now: number) {
    if (++this.granted < 64) return
    this.granted /= 2
    this.countedSince += (now - this.countedSince) / 2
  }

  private expectedMillis(rank: number, now: number): number {
    if (this.granted < fewestGrants || this.waiting === 0) return 0
    let ahead = 1
    if (!this.isNewestFirst(now)) { for (let i = 0; i <= rank; i++) ahead += this.lines[i]?.size ?? 0 }
    return ahead * (now - this.countedSince) / this.granted
  }

  private rankOf(fiber: AnyFiber): number {
    const { priorities } = this.waits
    if (priorities === undefined || priorities.length === 0) return 0
    const rank = priorities.indexOf(fiber.getRef(Priority.Current))
    return rank === -1 ? priorities.length - 1 : rank
  }

  private line(rank: number): Waiters {
    while (this.lines.length <= rank) this.lines.push(new Waiters(this.lines.length))
    return this.lines[rank] ?? new Waiters(rank)
  }

  // The longer a call waits the sooner its time is up, so one fiber watches for all.
  private watch(fiber: AnyFiber) {
    const reaper = Effect.runForkWith(fiber.context)(this.reap(-Infinity))
    // It has ended where there is no time to wait.
    if (reaper.pollUnsafe() === undefined) this.reaper = reaper
  }

  // A wait that has ended has lasted as long as it was meant to, though fake timers leave the clock where it was.
  private reap(instant: number): Effect.Effect<void> {
    return Effect.withFiber((fiber): Effect.Effect<void> => {
      const clock = fiber.getRef(Clock.Clock)
      const now = Math.max(instant, monotonicMillis(clock))
      for (let oldest = this.oldest; oldest !== undefined; oldest = this.oldest) {
        const until = this.until(oldest.since)
        if (until > now) return Effect.flatMap(clock.sleep(Duration.millis(until - now)), () => this.reap(until))
        this.drop(oldest, "QueueTimeout")
      }
      return Effect.void
    })
  }

  private until(since: number): number {
    const { discipline, queueTimeoutMillis } = this.waits
    return Math.min(since + queueTimeoutMillis, discipline?.until(since, this.standsSince) ?? Infinity)
  }

  private get oldest(): Waiter | undefined {
    let found: Waiter | undefined
    for (const { oldest } of this.lines) {
      if (oldest !== undefined && (found === undefined || oldest.since < found.since)) found = oldest
    }
    return found
  }
}

const isLate = ({ deadlineAt }: Waiter, now: number): boolean => deadlineAt !== undefined && deadlineAt <= now

const isTimed = ({ discipline, queueTimeoutMillis }: Waits): boolean =>
  queueTimeoutMillis < Infinity || (discipline !== undefined && discipline.until(0, 0) < Infinity)

const turnsBeforeYield = 1024

// The pace of fewer calls says little.
const fewestGrants = 8
