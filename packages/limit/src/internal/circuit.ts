import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import type { CircuitBreaker, CircuitOpen, State, Transition, TripPolicy } from "../CircuitBreaker.ts"
import * as Outcome from "../Outcome.ts"
import type { Gate } from "./gated.ts"
import { Gated } from "./gated.ts"
import * as tripWindow from "./tripWindow.ts"

export interface Settings {
  readonly key: string
  readonly keyed: boolean
  readonly tripPolicies: ReadonlyArray<TripPolicy>
  readonly backoff: Backoff.Backoff
  readonly maxOpenMillis: number
  readonly probes: number
  readonly probeLeaseMillis: number
  readonly classify: (exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome
  readonly classifiesSuccess: boolean
  /** Whether a trip policy needs the time of a call. */
  readonly timed: boolean
  /** Whether no trip policy looks at successes before the first failure. */
  readonly ignoresFirstSuccesses: boolean
  /** A probe that takes longer fails. */
  readonly slowMillis: number
  readonly refuse: (
    key: string,
    state: CircuitOpen["state"],
    retryAfter: Duration.Duration | undefined
  ) => CircuitOpen
}

/** Hears how a call ended; an effect tells others what came of it. */
export type Settle = (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void> | undefined

type AnyFiber = Fiber.Fiber<unknown, unknown>

export const make = (settings: Settings, key: string, hub: PubSub.PubSub<Transition>): CircuitBreaker =>
  new Circuit(settings, key, hub)

/** A circuit that was not used lately is not kept, open or not: without a bound, failing keys would add up. */
export const isIdle = (breaker: CircuitBreaker): boolean => isCircuit(breaker) && breaker.isIdle

export const isCircuit = (breaker: CircuitBreaker): breaker is Circuit => breaker instanceof Circuit

export class Circuit implements CircuitBreaker, Gate<CircuitOpen> {
  readonly key: string
  readonly hub: PubSub.PubSub<Transition>
  phase: State["_tag"] = "Closed"

  private readonly settings: Settings
  private windows: ReadonlyArray<tripWindow.TripWindow> | undefined
  // Every transition starts a generation. A call belongs to the one that admitted it; later ones do not hear of it.
  private generation = 0
  private kept: Settle | undefined
  private openings = 0
  private nextOpen: (() => Duration.Duration) | undefined
  private random: Random.Random | undefined
  private openMillis = 0
  private openUntil = 0
  private closedAt = 0
  private probing = 0
  private succeeded = 0
  private probedAt = 0
  private refusal: Exit.Exit<never, CircuitOpen> | undefined
  private refusedAt = 0

  constructor(settings: Settings, key: string, hub: PubSub.PubSub<Transition>) {
    this.settings = settings
    this.key = key
    this.hub = hub
    this.keep()
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | CircuitOpen, R> {
    return new Gated(this, self)
  }

  enter<A, E, R>(self: Effect.Effect<A, E, R>, fiber: AnyFiber): Effect.Effect<A, E | CircuitOpen, R> {
    const settle = this.admitUnsafe(fiber)
    if (settle !== undefined) return Effect.onExitPrimitive(self, settle, true)
    const clock = fiber.getRef(Clock.Clock)
    // Whoever is refused within the same millisecond is told the same. The wall clock is the cheaper one to read.
    const wall = clock.currentTimeMillisUnsafe()
    if (this.phase === "Open" && this.refusal !== undefined && this.refusedAt === wall) return this.refusal
    this.refusedAt = wall
    return this.refusalAt(monotonicMillis(clock)) ?? this.probe(self)
  }

  get isIdle(): boolean {
    return this.phase !== "Isolated" && this.probing === 0
  }

  /** What to do with the exit of a call that may run now; `undefined` where the circuit is not closed. */
  admitUnsafe(fiber: AnyFiber): Settle | undefined {
    if (this.phase !== "Closed") return undefined
    return this.kept ?? this.settleClosed(this.settings.timed ? stopwatch(fiber) : undefined)
  }

  get state(): Effect.Effect<State> {
    return Effect.withFiber((fiber) => {
      const { key, openings: consecutiveOpenings } = this
      switch (this.phase) {
        case "Closed":
        case "Isolated":
          return Effect.succeed<State>({ _tag: this.phase, key })
        case "Open": {
          const retryAfter = Duration.millis(Math.max(0, this.openUntil - nowMillis(fiber)))
          return Effect.succeed<State>({ _tag: "Open", key, retryAfter, consecutiveOpenings })
        }
        case "HalfOpen":
          return Effect.succeed<State>({ _tag: "HalfOpen", key, probing: this.probing, consecutiveOpenings })
      }
    })
  }

  get isolate(): Effect.Effect<void> {
    return Effect.withFiber((fiber) => this.phase === "Isolated" ? Effect.void : this.become("Isolated", fiber))
  }

  get reset(): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      this.openings = 0
      this.nextOpen = undefined
      return this.become("Closed", fiber)
    })
  }

  // A circuit of its own keeps it from call to call. Of many circuits it would have left the processor's cache.
  private settleClosed(stopwatch: Stopwatch | undefined): Settle {
    const generation = this.generation
    return (exit) => {
      if (generation !== this.generation) return undefined
      const outcome = this.outcomeOf(exit)
      return this.trips(outcome, stopwatch) ? this.trip(generation, outcome) : undefined
    }
  }

  private outcomeOf(exit: Exit.Exit<unknown, unknown>): Outcome.Outcome {
    if (exit._tag === "Success") return this.settings.classifiesSuccess ? this.settings.classify(exit) : Outcome.success
    return Cause.hasInterruptsOnly(exit.cause) ? Outcome.ignored : this.settings.classify(exit)
  }

  private trips(outcome: Outcome.Outcome, stopwatch: Stopwatch | undefined): boolean {
    if (outcome._tag === "Ignored") return false
    const failed = outcome._tag === "Failure"
    if (this.windows === undefined) {
      if (!failed && this.settings.ignoresFirstSuccesses) return false
      this.windows = this.settings.tripPolicies.map(tripWindow.make)
    }
    const now = stopwatch === undefined ? 0 : stopwatch.now()
    const took = stopwatch === undefined ? 0 : now - stopwatch.startedAt
    let trips = false
    for (const window of this.windows) {
      if (window.record(failed, took, now)) trips = true
    }
    return trips
  }

  private trip(generation: number, outcome: Outcome.Outcome): Effect.Effect<void> {
    return Effect.withFiber((fiber) => generation === this.generation ? this.open(fiber, outcome) : Effect.void)
  }

  private open(fiber: AnyFiber, outcome: Outcome.Outcome): Effect.Effect<void> {
    const now = nowMillis(fiber)
    if (this.phase === "Closed" && now - this.closedAt >= this.openMillis) {
      this.openings = 0
      this.nextOpen = undefined
    }
    this.random = fiber.getRef(Random.Random)
    this.nextOpen ??= Backoff.delays(this.settings.backoff, () => this.random?.nextDoubleUnsafe() ?? 0.5)
    const hint = outcome._tag === "Failure" && outcome.retryAfter !== undefined
      ? Duration.toMillis(outcome.retryAfter)
      : 0
    this.openMillis = Math.min(this.settings.maxOpenMillis, Math.max(Duration.toMillis(this.nextOpen()), hint))
    this.openUntil = now + this.openMillis
    this.openings++
    return this.become("Open", fiber)
  }

  private refusalAt(now: number): Exit.Exit<never, CircuitOpen> | undefined {
    switch (this.phase) {
      case "Closed":
        return undefined
      case "Open": {
        if (now >= this.openUntil) return undefined
        return this.refusal = this.refuse("Open", Duration.millis(Math.ceil(this.openUntil - now)))
      }
      case "HalfOpen":
        return this.probing + this.succeeded < this.settings.probes || this.leaseEnded(now)
          ? undefined
          : this.refusal ??= this.refuse("HalfOpen", undefined)
      case "Isolated":
        return this.refusal ??= this.refuse("Isolated", undefined)
    }
  }

  private refuse(state: CircuitOpen["state"], retryAfter: Duration.Duration | undefined) {
    return Exit.fail(this.settings.refuse(this.key, state, retryAfter))
  }

  private leaseEnded(now: number): boolean {
    return now - this.probedAt >= this.settings.probeLeaseMillis
  }

  private probe<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | CircuitOpen, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiber((fiber): Effect.Effect<A, E | CircuitOpen, R> => {
        // The fiber may have yielded since `execute` looked.
        const now = nowMillis(fiber)
        const refusal = this.refusalAt(now)
        if (refusal !== undefined) return refusal
        if (this.phase === "Closed") return restore(this.execute(self))
        const announced = this.phase === "Open" ? this.become("HalfOpen", fiber) : Effect.void
        if (this.probing + this.succeeded >= this.settings.probes) this.startGeneration()
        this.probing++
        this.probedAt = now
        const generation = this.generation
        const slowMillis = this.settings.slowMillis
        const call = Effect.onExitPrimitive(
          restore(self),
          (exit) =>
            Effect.withFiber((fiber) => this.settle(fiber, generation, exit, nowMillis(fiber) - now > slowMillis)),
          true
        )
        return Effect.andThen(announced, call)
      })
    )
  }

  private settle(
    fiber: AnyFiber,
    generation: number,
    exit: Exit.Exit<unknown, unknown>,
    slow: boolean
  ): Effect.Effect<void> {
    if (generation !== this.generation) return Effect.void
    this.probing--
    const outcome = this.outcomeOf(exit)
    if (outcome._tag === "Ignored") return Effect.void
    if (outcome._tag === "Failure" || slow) return this.open(fiber, outcome)
    this.succeeded++
    if (this.succeeded < this.settings.probes) return Effect.void
    this.closedAt = nowMillis(fiber)
    return this.become("Closed", fiber)
  }

  private startGeneration() {
    this.generation++
    this.keep()
    this.probing = 0
    this.succeeded = 0
    this.refusal = undefined
  }

  private keep() {
    if (!this.settings.keyed && !this.settings.timed) this.kept = this.settleClosed(undefined)
  }

  /** Changes the state at once; the effect only tells others. */
  private become(to: State["_tag"], fiber: AnyFiber): Effect.Effect<void> {
    const from = this.phase
    this.phase = to
    this.startGeneration()
    this.windows = undefined
    if (from === to) return Effect.void
    const transition: Transition = {
      key: this.key,
      from,
      to,
      retryAfter: to === "Open" ? Duration.millis(this.openMillis) : undefined,
      consecutiveOpenings: this.openings
    }
    Metric.withAttributes(transitionsTotal, attributesOf(this.settings.key, from, to)).updateUnsafe(1, fiber.context)
    return Effect.andThen(PubSub.publish(this.hub, transition), log(transition))
  }
}

interface Stopwatch {
  readonly startedAt: number
  readonly now: () => number
}

const stopwatch = (fiber: AnyFiber): Stopwatch => {
  const clock = fiber.getRef(Clock.Clock)
  return { startedAt: monotonicMillis(clock), now: () => monotonicMillis(clock) }
}

const nowMillis = (fiber: AnyFiber): number => monotonicMillis(fiber.getRef(Clock.Clock))

export const transitionsTotal = /* @__PURE__ */ Metric.counter("resilience.circuit.transitions", {
  description: "Changes of state of circuit breakers",
  incremental: true
})

export const attributesOf = (key: string, from: string, to: string) => ({
  "resilience.policy": key,
  "resilience.from": from,
  "resilience.to": to
})

const log = ({ from, key, retryAfter, to }: Transition): Effect.Effect<void> => {
  const message = `Circuit "${key}": ${from} to ${to}`
  return retryAfter === undefined
    ? Effect.logInfo(message)
    : Effect.logWarning(`${message} for ${Duration.format(retryAfter)}`)
}
