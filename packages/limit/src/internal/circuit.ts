import * as Policy from "@effect-resilience/kernel/Policy"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { monotonicMillis, tookMillis } from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import * as Outcome from "../Outcome.ts"
import { nowMillis, permit, stopwatch, told } from "./circuitFiber.ts"
import type { Stopwatch } from "./circuitFiber.ts"
import type { Isolation, Permit, Snapshot, Transition } from "./circuitState.ts"
import { CircuitOpen, log, logTripped, tell } from "./circuitState.ts"
import type { Gate } from "./gated.ts"
import { Gated } from "./gated.ts"
import { Holders } from "./holders.ts"
import type { OpenTimeSettings } from "./openTimes.ts"
import { OpenTimes } from "./openTimes.ts"
import type { ProbeSettings } from "./probes.ts"
import { Probes } from "./probes.ts"
import type { RampSettings } from "./ramp.ts"
import type { Saved } from "./savedCircuit.ts"
import { saved as savedField } from "./savedCircuit.ts"
import type { TripRule, WindowCounts } from "./tripRule.ts"
import { nothing, Windows } from "./windows.ts"

export interface Settings extends OpenTimeSettings, ProbeSettings {
  /** The name in metrics, which all circuits of a keyed breaker share. */
  readonly name: string
  readonly tripPolicy: ReadonlyArray<TripRule>
  readonly ramp: RampSettings | undefined
  readonly mode: Base
  readonly classify: Outcome.Classify
  /** Whether a rule needs the time of a call. */
  readonly timed: boolean
  /** Whether no rule looks at successes before the first failure. */
  readonly ignoresFirstSuccesses: boolean
  /** A probe that takes longer fails. */
  readonly slowMillis: number
}

/** Where a circuit is when nothing has opened it. */
type Base = "Closed" | "MetricsOnly" | "ForcedClosed"

type ByHand = Base | "Open" | "HalfOpen"

type Rejected = Exit.Exit<never, CircuitOpen>

/** A call that may begin. `announced` tells others what has changed. */
interface Admitted {
  readonly announced: Effect.Effect<void>
  readonly admission: Policy.Admission
}

export class Circuit implements Policy.Policy<CircuitOpen, Snapshot>, Gate<CircuitOpen>, PolicyEvent.Rejecting {
  readonly name: string
  readonly kind = "CircuitBreaker"
  rejected = 0
  readonly hub: PubSub.PubSub<Transition>
  #phase: Snapshot["_tag"]
  #settings: Settings
  #windows: Windows | undefined
  // A call that ends in a later generation than it began in changes nothing.
  #generation = 0
  readonly #openTimes = new OpenTimes()
  #openUntil = 0
  #openedBy: WindowCounts = nothing
  #probes = new Probes()
  #tripped = 0
  #isTripped = false
  readonly #holders = new Holders()
  #base: Base
  #afterIsolation: ByHand
  #rejection: Rejected | undefined
  #rejectedAt = 0

  constructor(settings: Settings, name: string, hub: PubSub.PubSub<Transition>) {
    this.#settings = settings
    this.name = name
    this.hub = hub
    this.#base = settings.mode
    this.#phase = this.#base
    this.#afterIsolation = this.#base
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | CircuitOpen, R> {
    return new Gated(this, self)
  }

  enter<A, E, R>(self: Effect.Effect<A, E, R>, caller: Policy.Caller): Effect.Effect<A, E | CircuitOpen, R> {
    const admission = this.admitUnsafe(caller)
    if (admission !== undefined) return Effect.onExitPrimitive(self, admission, true)
    const clock = caller.getRef(Clock.Clock)
    // hack: shared-rejection. Rejections within one millisecond share one error. The wall clock is the cheaper one to read.
    const wall = clock.currentTimeMillisUnsafe()
    if (this.#phase === "Open" && this.#rejection !== undefined && this.#rejectedAt === wall) {
      return this.#tell(caller, this.#rejection)
    }
    this.#rejectedAt = wall
    const rejection = this.#rejectionAt(monotonicMillis(clock))
    return rejection === undefined ? this.#pass(self) : this.#tell(caller, rejection)
  }

  /** Whether it can be forgotten, open or not: without a bound, the circuits of failing keys would add up. */
  get isIdle(): boolean {
    return this.#phase !== "Isolated" && this.#base === this.#settings.mode && this.#probes.running === 0
  }

  admitUnsafe(caller: Policy.Caller): Policy.Admission | undefined {
    if (this.#phase !== "Closed") return this.#admitUnjudged(caller)
    return this.#admission(this.#settings.timed ? stopwatch(caller) : undefined)
  }

  get tryAcquire(): Effect.Effect<Permit, CircuitOpen> {
    return Effect.uninterruptible(Effect.withFiber((fiber): Effect.Effect<Permit, CircuitOpen> => {
      const admission = this.admitUnsafe(fiber)
      if (admission !== undefined) return Effect.succeed(permit(fiber, admission))
      const decision = this.#decide(fiber)
      return "admission" in decision
        ? Effect.as(decision.announced, permit(fiber, decision.admission))
        : decision
    }))
  }

  get snapshot(): Effect.Effect<Snapshot> {
    return Effect.withFiber((fiber) => {
      const now = nowMillis(fiber)
      const counts = { rejected: this.rejected, ...this.#countsAt(now) }
      const consecutiveOpenings = this.#openTimes.openings
      return Effect.succeed<Snapshot>(((): Snapshot => {
        switch (this.#phase) {
          case "Closed":
          case "ForcedClosed":
            return { _tag: this.#phase, ...counts }
          case "Partial":
            return { _tag: "Partial", probability: this.#shareAt(now, true), ...counts }
          case "Open": {
            const retryAfter = Duration.millis(Math.max(0, this.#openUntil - now))
            return { _tag: "Open", retryAfter, consecutiveOpenings, ...counts }
          }
          case "HalfOpen":
            return { _tag: "HalfOpen", probing: this.#probes.running, consecutiveOpenings, ...counts }
          case "Isolated":
            return { _tag: "Isolated", holders: this.#holders.size, ...counts }
          case "MetricsOnly":
            return { _tag: "MetricsOnly", tripped: this.#tripped, ...counts }
        }
      })())
    })
  }

  get isolate(): Effect.Effect<Isolation> {
    return told((fiber) => {
      const isolation = this.#holders.add(told((fiber) => this.#move(this.#afterIsolation, fiber)))
      if (this.#phase === "Isolated") return Effect.succeed(isolation)
      this.#afterIsolation = this.#base
      return Effect.as(this.#become("Isolated", fiber), isolation)
    })
  }

  get reset(): Effect.Effect<void> {
    return told((fiber) => {
      this.#holders.clear()
      return this.#move(this.#settings.mode, fiber)
    })
  }

  transitionTo(state: ByHand): Effect.Effect<void> {
    return told((fiber) => {
      if (this.#phase !== "Isolated") return this.#move(state, fiber)
      this.#afterIsolation = state
      return Effect.void
    })
  }

  /** Takes other settings. */
  protected change(settings: Settings): Effect.Effect<void> {
    return told((fiber) => {
      const { mode, name } = this.#settings
      this.#settings = { ...settings, name }
      if (this.#phase !== "Isolated") return this.#move(this.#base === mode ? settings.mode : this.#base, fiber)
      if (this.#afterIsolation === mode) this.#afterIsolation = settings.mode
      return Effect.void
    })
  }

  get save(): Effect.Effect<Saved> {
    return Effect.withFiber((fiber) => {
      const now = nowMillis(fiber)
      const { millis, openings, stableSince } = this.#openTimes
      const windows = this.#windows?.save(now)
      return Effect.succeed<Saved>({
        state: this.#phase === "Open" || this.#phase === "HalfOpen" ? this.#phase : "Closed",
        savedAt: fiber.getRef(Clock.Clock).currentTimeMillisUnsafe(),
        consecutiveOpenings: openings,
        openMillis: millis,
        restMillis: this.#phase === "Open" ? Math.max(0, this.#openUntil - now) : 0,
        stableMillis: now - stableSince,
        ...windows === undefined ? {} : { windows }
      })
    })
  }

  restore(saved: Saved): Effect.Effect<void> {
    const { consecutiveOpenings, openMillis, restMillis, savedAt, stableMillis, state, windows } = savedField.read(
      saved,
      "CircuitBreaker.restore"
    )
    return told((fiber) => {
      const now = nowMillis(fiber)
      const elapsed = Math.max(0, fiber.getRef(Clock.Clock).currentTimeMillisUnsafe() - savedAt)
      const openTimes = this.#openTimes
      openTimes.restore(this.#settings, fiber.getRef(Random.Random), consecutiveOpenings, openMillis)
      openTimes.stableSince = now - stableMillis - elapsed
      const judges = this.#phase !== "Isolated" && this.#base === "Closed"
      const rest = Math.min(restMillis, openTimes.millis) - elapsed
      this.#openUntil = now + Math.max(0, rest)
      this.#openedBy = nothing
      const closed = now < openTimes.stableSince ? "Partial" : "Closed"
      const announced = judges ? this.#become(state === "Closed" ? closed : state, fiber) : Effect.void
      if (windows !== undefined && (judges ? state === "Closed" : this.#phase === "MetricsOnly")) {
        this.#windows = new Windows(this.#settings.tripPolicy)
        this.#windows.restore(windows, now, elapsed)
      }
      return announced
    })
  }

  /** Of the states in which no call is rejected, those that are chosen by hand. */
  #admitUnjudged(caller: Policy.Caller): Policy.Admission | undefined {
    if (this.#phase === "ForcedClosed") return Policy.unobserved
    return this.#phase === "MetricsOnly" ? this.#admission(stopwatch(caller)) : undefined
  }

  #admission(stopwatch: Stopwatch | undefined): Policy.Admission {
    const generation = this.#generation
    return (exit) => {
      if (generation !== this.#generation) return undefined
      const outcome = this.#settings.classify(exit)
      const share = this.#count(outcome, stopwatch, exit)
      return share === 0 && !this.#isTripped ? undefined : this.#judge(generation, share, outcome, exit)
    }
  }

  /** The share of calls to reject from now on. */
  #count(outcome: Outcome.Outcome, stopwatch: Stopwatch | undefined, exit: Exit.Exit<unknown, unknown>): number {
    if (outcome._tag === "Ignored") return 0
    const failed = outcome._tag === "Failure"
    if (this.#windows === undefined) {
      if (!failed && this.#settings.ignoresFirstSuccesses) return 0
      this.#windows = new Windows(this.#settings.tripPolicy)
    }
    const now = stopwatch === undefined ? 0 : stopwatch.now()
    const took = stopwatch === undefined ? 0 : tookMillis(exit, stopwatch.startedAt, now)
    return this.#windows.record(failed, took, now)
  }

  #judge(
    generation: number,
    share: number,
    outcome: Outcome.Outcome,
    exit: Exit.Exit<unknown, unknown>
  ): Effect.Effect<void> | undefined {
    if (this.#phase === "MetricsOnly") {
      if (outcome._tag === "Ignored") return undefined
      const trips = share >= 1
      const begins = trips && !this.#isTripped
      this.#isTripped = trips
      if (!begins) return undefined
      this.#tripped++
      return logTripped(this.name)
    }
    if (share < 1 && this.#phase === "Partial") return undefined
    return Effect.withFiber((fiber) => {
      if (generation !== this.#generation) return Effect.void
      return share >= 1 ? this.#open(fiber, outcome, exit) : this.#goOn("Partial", fiber)
    })
  }

  #open(
    caller: Policy.Caller,
    outcome: Outcome.Outcome,
    exit: Exit.Exit<unknown, unknown> | undefined
  ): Effect.Effect<void> {
    const now = nowMillis(caller)
    const counts = this.#countsAt(now)
    const closed = this.#phase === "Closed" || this.#phase === "Partial"
    if (closed && this.#openTimes.isStable(now)) this.#openTimes.forget()
    const retryAfter = outcome._tag === "Failure" ? outcome.retryAfter : undefined
    this.#openTimes.draw(this.#settings, caller.getRef(Random.Random), { ...counts, exit, retryAfter })
    this.#openUntil = now + this.#openTimes.millis
    this.#openedBy = counts
    return this.#become("Open", caller)
  }

  #countsAt(now: number): WindowCounts {
    switch (this.#phase) {
      case "Open":
        return this.#openedBy
      case "HalfOpen":
        return this.#probes.counts()
      default:
        return this.#windows?.countsAt(now) ?? nothing
    }
  }

  /** The share of calls that a closed circuit rejects. A reader that only `looks` changes nothing. */
  #shareAt(now: number, looks?: boolean): number {
    const ramping = this.#settings.ramp?.share(this.#openTimes.stableSince - now) ?? 0
    return Math.max(ramping, this.#windows?.shareAt(now, looks) ?? 0)
  }

  /** Whether nothing but chance can let a call through now. */
  #rejectionAt(now: number): Rejected | undefined {
    switch (this.#phase) {
      case "Open": {
        const left = this.#openUntil - now
        // Timers count whole milliseconds: who waited as long as it was told may be early by a part of one.
        return left < 1 ? undefined : this.#reject("Open", Duration.millis(Math.ceil(left)))
      }
      case "HalfOpen":
        return this.#probes.isFull(this.#settings) && !this.#probes.leaseEnded(now, this.#settings)
          ? this.#reject("HalfOpen", undefined)
          : undefined
      case "Isolated":
        return this.#reject("Isolated", undefined)
      default:
        return undefined
    }
  }

  #reject(state: CircuitOpen["state"], retryAfter: Duration.Duration | undefined): Rejected {
    return state === "Open" || this.#rejection === undefined
      ? this.#rejection = Exit.fail(new CircuitOpen({ policy: this.name, state, retryAfter }))
      : this.#rejection
  }

  #tell(caller: Policy.Caller, rejection: Rejected): Rejected {
    PolicyEvent.rejectUnsafe(this, caller.context, this.#phase)
    return rejection
  }

  #pass<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | CircuitOpen, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiber((fiber): Effect.Effect<A, E | CircuitOpen, R> => {
        // The fiber may have yielded since `enter` looked.
        const decision = this.#decide(fiber)
        if (!("admission" in decision)) return decision
        return Effect.andThen(decision.announced, Effect.onExitPrimitive(restore(self), decision.admission))
      })
    )
  }

  #decide(caller: Policy.Caller): Admitted | Rejected {
    const now = nowMillis(caller)
    const rejection = this.#rejectionAt(now)
    if (rejection !== undefined) return this.#tell(caller, rejection)
    const admission = this.admitUnsafe(caller)
    if (admission !== undefined) return { admission, announced: Effect.void }
    return this.#phase === "Partial" ? this.#draw(caller, now) : this.#probe(caller, now)
  }

  #draw(caller: Policy.Caller, now: number): Admitted | Rejected {
    const share = this.#shareAt(now)
    if (share > 0 && caller.getRef(Random.Random).nextDoubleUnsafe() < share) {
      return this.#tell(caller, this.#reject("Partial", undefined))
    }
    const announced = share > 0 ? Effect.void : this.#goOn("Closed", caller)
    return { announced, admission: this.#admission(this.#settings.timed ? stopwatch(caller) : undefined) }
  }

  #probe(caller: Policy.Caller, startedAt: number): Admitted {
    if (this.#phase === "Open" || this.#probes.isFull(this.#settings)) this.#startGeneration()
    // It has its place before others hear of it, who may call as well.
    this.#probes.begin(startedAt)
    const generation = this.#generation
    return {
      announced: this.#goOn("HalfOpen", caller),
      admission: (exit) => Effect.withFiber((caller) => this.#settle(caller, generation, exit, startedAt))
    }
  }

  #settle(
    caller: Policy.Caller,
    generation: number,
    exit: Exit.Exit<unknown, unknown>,
    startedAt: number
  ): Effect.Effect<void> {
    if (generation !== this.#generation) return Effect.void
    this.#probes.running--
    const { classify, ramp, slowMillis } = this.#settings
    const outcome = classify(exit)
    if (outcome._tag === "Ignored") return Effect.void
    const now = nowMillis(caller)
    const failed = outcome._tag === "Failure" || tookMillis(exit, startedAt, now) > slowMillis
    const verdict = this.#probes.record(failed, this.#settings)
    if (verdict === undefined) return Effect.void
    if (verdict === "Open") return this.#open(caller, outcome, exit)
    this.#openTimes.stableSince = now + (ramp?.millis ?? 0)
    return this.#become(ramp === undefined ? "Closed" : "Partial", caller)
  }

  /** Goes to a state by hand. */
  #move(state: ByHand, caller: Policy.Caller): Effect.Effect<void> {
    this.#base = state === "MetricsOnly" || state === "ForcedClosed" ? state : "Closed"
    if (state === "Open") return this.#open(caller, Outcome.failure(), undefined)
    if (state !== "HalfOpen") {
      this.#openTimes.forget()
      this.#openTimes.stableSince = nowMillis(caller)
    }
    return this.#become(state, caller)
  }

  #startGeneration() {
    this.#generation++
    this.#probes = new Probes()
    this.#rejection = undefined
  }

  /** Changes the state at once and forgets what was counted in it; the effect only tells others. */
  #become(to: Snapshot["_tag"], caller: Policy.Caller): Effect.Effect<void> {
    this.#startGeneration()
    this.#windows = undefined
    this.#tripped = 0
    this.#isTripped = false
    return this.#goOn(to, caller)
  }

  /** The same, but counts on. */
  #goOn(to: Snapshot["_tag"], caller: Policy.Caller): Effect.Effect<void> {
    const from = this.#phase
    this.#phase = to
    this.#rejection = undefined
    if (from === to) return Effect.void
    const transition: Transition = {
      policy: this.name,
      from,
      to,
      retryAfter: to === "Open" ? Duration.millis(this.#openTimes.millis) : undefined,
      consecutiveOpenings: this.#openTimes.openings
    }
    tell(transition, this.#settings.name, caller.context)
    return Effect.andThen(PubSub.publish(this.hub, transition), log(transition))
  }
}
