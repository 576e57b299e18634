import * as Deadline from "@effect-resilience/deadline/Deadline"
import type { StoreTimeout } from "@effect-resilience/deadline/StoreTimeout"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import type * as Field from "@effect-resilience/kernel/Field"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { RateLimiter } from "effect/persistence/RateLimiter"
import type * as Outcome from "../Outcome.ts"
import type { Cost, Reservation, Snapshot } from "./pacing.ts"
import { checkCost, CurrentCost, CurrentReservation, ofCalls, PaceExceeded } from "./pacing.ts"
import { Permits } from "./permits.ts"
import type { rateFields, StoreError } from "./rate.ts"
import { Rate } from "./rate.ts"

export interface Settings {
  readonly rates: ReadonlyArray<readonly [name: string, Field.Settings<typeof rateFields>]>
  readonly maxWaitMillis: number
  readonly maxPauseMillis: number
  readonly onStoreError: "allow" | "fail"
  readonly within: StoreTimeout
  readonly classify: Outcome.Classify
}

export class Turns implements PolicyEvent.Rejecting {
  readonly name: string
  readonly kind = "Pacer"
  readonly admitUnsafe = undefined
  rejected = 0
  readonly settings: Settings
  readonly rates: ReadonlyArray<Rate>
  // One call at a time takes its turn, so that they go in order and a pause holds the next one.
  readonly queue: Permits<PaceExceeded>
  pausedUntil = -Infinity
  /** Wakes the call that waits for its turn. */
  wake: (() => void) | undefined = undefined
  private readonly usual: ReadonlyArray<number>

  constructor(settings: Settings, name: string, limiterKey: string, limiter: RateLimiter) {
    this.name = name
    this.settings = settings
    this.rates = settings.rates.map(([rate, options], index) =>
      new Rate(options, index === 0 ? limiterKey : `${limiterKey}#${rate}`, limiter, settings.within)
    )
    this.usual = this.rates.map(({ cost }) => cost)
    this.queue = new Permits("Pacer", name, {
      permits: 1,
      queue: Infinity,
      queueTimeoutMillis: Infinity,
      full: () => new PaceExceeded({ policy: name, reason: "Wait", rate: undefined, retryAfter: undefined })
    })
  }

  get isIdle(): boolean {
    return this.queue.isIdle
  }

  get snapshot(): Effect.Effect<Snapshot> {
    return Effect.withFiber((fiber) =>
      Effect.map(this.queue.snapshot, ({ running, waiting }) => {
        const now = monotonicMillis(fiber.getRef(Clock.Clock))
        return {
          waiting: running + waiting,
          pausedFor: Duration.millis(Math.max(0, this.pausedUntil - now)),
          balance: Object.fromEntries(this.rates.map((rate, index) => [this.nameOf(index), rate.balanceAt(now)])),
          rejected: this.rejected
        }
      })
    )
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>, cost?: Cost): Effect.Effect<A, E | PaceExceeded, R> {
    const stated = cost === undefined ? undefined : this.costsOf(checkCost(cost), true)
    return Effect.withFiber((fiber) => {
      const said = fiber.getRef(CurrentCost)
      const costs = stated ?? (said === undefined ? this.usual : this.costsOf(said, false))
      const turn = new Turn(this, fiber.getRef(Clock.Clock), costs)
      // The frame comes first, so that no interruption can come between what is taken and what gives it back.
      return Effect.onExitPrimitive(
        Effect.flatMap(turn.begin(fiber), () => {
          turn.began = true
          return costs === this.usual && costs.length === 1
            ? self
            : Effect.provideService(self, CurrentReservation, turn)
        }),
        (exit) => turn.end(exit)
      )
    })
  }

  pause(duration: Duration.Input): Effect.Effect<void> {
    const millis = Math.min(Duration.toMillis(duration), this.settings.maxPauseMillis)
    return Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      const until = monotonicMillis(clock) + millis
      if (!(until > this.pausedUntil)) return Effect.void
      this.pausedUntil = until
      return Effect.forEach(this.rates, (rate) => rate.pause(millis, clock), { discard: true })
    })
  }

  nameOf(index: number): string {
    return this.settings.rates[index]?.[0] ?? "calls"
  }

  /** What a call costs at each rate. A name that this pacer does not have belongs to another one, or is an error. */
  private costsOf(cost: Cost, mine: boolean): ReadonlyArray<number> {
    const costs = ofCalls(cost)
    if (mine) this.requireNames(costs)
    return this.usual.map((usual, index) => costs[this.nameOf(index)] ?? usual)
  }

  requireNames(costs: { readonly [rate: string]: number }) {
    for (const name of Object.keys(costs)) {
      const names = this.rates.map((_, index) => this.nameOf(index))
      requireArgument(names.includes(name), `Pacer.cost`, `by rates of the pacer: ${names.join(", ")}`, name)
    }
  }

  reject(
    reason: PaceExceeded["reason"],
    index: number | undefined,
    retryAfter?: Duration.Duration
  ): Effect.Effect<never, PaceExceeded> {
    return Effect.withFiber((fiber) => {
      PolicyEvent.rejectUnsafe(this, fiber.context, reason)
      const rate = index === undefined || this.rates.length === 1 ? undefined : this.nameOf(index)
      return Effect.fail(new PaceExceeded({ policy: this.name, reason, rate, retryAfter }))
    })
  }
}

/** One call: its way through the queue, and what it has taken. */
class Turn implements Reservation {
  began = false
  private ended = false
  private queued = false
  /** Before this its turn must come. Timers count whole milliseconds: who waited as long as it was told may be early by a part of one. */
  private latest = Infinity
  private readonly turns: Turns
  private readonly clock: Clock.Clock
  private readonly costs: ReadonlyArray<number>
  private readonly taken: Array<number> = []
  // The longest wait, and the rate that asks for it.
  private wait = 0
  private slowest = 0
  private woken = false

  constructor(turns: Turns, clock: Clock.Clock, costs: ReadonlyArray<number>) {
    this.turns = turns
    this.clock = clock
    this.costs = costs
  }

  begin(fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<void, PaceExceeded> {
    const { turns } = this
    const began = monotonicMillis(this.clock)
    const patience = Math.min(turns.settings.maxWaitMillis, Deadline.remainingMillisUnsafe(fiber))
    let expected = turns.pausedUntil
    let slowest: number | undefined
    for (let index = 0; index < this.costs.length; index++) {
      const rate = turns.rates[index]
      const cost = this.costs[index] ?? 0
      if (rate === undefined || cost === 0) continue
      if (cost > rate.burst) return turns.reject("Cost", index)
      const at = rate.expectedAt(cost)
      if (at <= expected) continue
      expected = at
      slowest = index
    }
    this.latest = began + patience + 1
    if (expected >= this.latest) return this.rejectLate(expected - began, slowest)
    this.queued = true
    this.addQueued(1)
    return turns.queue.execute(Effect.suspend(() => {
      this.leave()
      return this.take()
    }))
  }

  /** Counts what came of the call. What did not begin, or asked nothing, costs nothing. */
  end(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> | undefined {
    this.leave()
    this.ended = true
    if (!this.began || (exit._tag === "Failure" && wasNotAsked(exit.cause))) return this.giveBack()
    const outcome = this.turns.settings.classify(exit)
    return outcome._tag === "Failure" && outcome.retryAfter !== undefined
      ? this.turns.pause(outcome.retryAfter)
      : undefined
  }

  settle(cost: Cost): Effect.Effect<void> {
    const costs = ofCalls(checkCost(cost))
    this.turns.requireNames(costs)
    return this.change((index) => costs[this.turns.nameOf(index)])
  }

  private giveBack(): Effect.Effect<void> | undefined {
    return this.taken.some((tokens) => tokens > 0) ? this.change(() => 0) : undefined
  }

  private change(costOf: (index: number) => number | undefined): Effect.Effect<void> {
    const { clock, taken, turns } = this
    const changed = Effect.forEach(turns.rates, (rate, index) => {
      const before = taken[index] ?? 0
      const cost = costOf(index) ?? before
      taken[index] = cost
      if (cost === before) return Effect.void
      return cost > before ? Effect.ignore(rate.consume(cost - before, clock)) : rate.refund(before - cost, clock)
    }, { discard: true })
    return Effect.uninterruptible(Effect.andThen(changed, Effect.sync(() => turns.wake?.())))
  }

  private leave() {
    if (!this.queued) return
    this.queued = false
    this.addQueued(-1)
  }

  private addQueued(sign: 1 | -1) {
    for (let index = 0; index < this.costs.length; index++) {
      const rate = this.turns.rates[index]
      if (rate !== undefined) rate.queued += sign * (this.costs[index] ?? 0)
    }
  }

  private take(): Effect.Effect<void, PaceExceeded> {
    const { turns } = this
    return Effect.matchEffect(this.takeFrom(0), {
      onFailure: (): Effect.Effect<void, PaceExceeded> =>
        turns.settings.onStoreError === "fail" ? turns.reject("Store", undefined) : Effect.void,
      onSuccess: () => {
        const { slowest, wait } = this
        // However long the store took, a call whose turn it is goes.
        return wait <= 0 || monotonicMillis(this.clock) + wait < this.latest
          ? this.sleep(wait)
          : this.rejectLate(wait, slowest)
      }
    })
  }

  private takeFrom(index: number): Effect.Effect<void, StoreError> {
    const rate = this.turns.rates[index]
    if (rate === undefined) return Effect.void
    const cost = this.costs[index] ?? 0
    if (cost === 0) return this.takeFrom(index + 1)
    const consumed = rate.consume(cost, this.clock, () => {
      if (this.ended && !this.began) return rate.refund(cost, this.clock)
      this.taken[index] = (this.taken[index] ?? 0) + cost
      return undefined
    })
    return Effect.flatMap(consumed, ({ delay }) => {
      const wait = Duration.toMillis(delay)
      if (wait > this.wait) {
        this.wait = wait
        this.slowest = index
      }
      return this.takeFrom(index + 1)
    })
  }

  // A pause that begins while a call waits holds it too. A wait that has ended has lasted as long as it was meant to, though
  // fake timers leave the clock where it was.
  private sleep(millis: number): Effect.Effect<void, PaceExceeded> {
    const { clock, turns } = this
    const began = monotonicMillis(clock)
    if (millis <= 0 && turns.pausedUntil <= began) return this.woken ? this.spend() : Effect.void
    const until = began + millis
    return Effect.flatMap(millis > 0 ? this.sleepOrWake(millis) : Effect.succeed(false), (woken) => {
      const now = monotonicMillis(clock)
      if (woken && until > now) {
        this.woken = true
        return Effect.flatMap(this.rest(), (rest) => this.sleep(Math.min(rest, until - now)))
      }
      const reached = Math.max(until - 1, now)
      const rest = turns.pausedUntil - reached
      if (rest <= 0) return this.spend()
      return reached + rest >= this.latest ? this.rejectLate(rest, undefined) : this.sleep(rest)
    })
  }

  // A call that gives tokens back can make the wait shorter.
  private sleepOrWake(millis: number): Effect.Effect<boolean> {
    const slept = Effect.as(this.clock.sleep(Duration.millis(millis)), false)
    const woken = Effect.callback<boolean>((resume) => {
      this.turns.wake = () => resume(Effect.succeed(true))
      return Effect.sync(() => {
        this.turns.wake = undefined
      })
    })
    return Effect.raceFirst(slept, woken)
  }

  // Another process may have come later and made it longer, which does not concern this call.
  private rest(): Effect.Effect<number> {
    const delays = Effect.forEach(this.turns.rates, (rate, index) =>
      (this.costs[index] ?? 0) === 0
        ? Effect.succeed(0)
        : Effect.map(rate.consume(0, this.clock), ({ delay }) => Duration.toMillis(delay)))
    return Effect.match(delays, { onSuccess: (delays) => Math.max(...delays), onFailure: () => Infinity })
  }

  // Its tokens were taken before it goes. A bucket that has filled up since, or was refilled, holds more than after a call.
  private spend(): Effect.Effect<void> {
    if (this.costs.length === 1 && !this.woken) return Effect.void
    return Effect.forEach(this.turns.rates, (rate, index) => {
      const cost = this.costs[index] ?? 0
      return cost === 0 || (index === this.slowest && !this.woken) ? Effect.void : rate.spend(cost, this.clock)
    }, { discard: true })
  }

  private rejectLate(millis: number, index: number | undefined): Effect.Effect<never, PaceExceeded> {
    return this.turns.reject("Wait", index, Duration.millis(Math.ceil(millis)))
  }
}

const wasNotAsked = (cause: Cause.Cause<unknown>): boolean => {
  const failed = cause.reasons.find(Cause.isFailReason)
  return failed !== undefined && NotAsked.isNotAsked(failed.error)
}
