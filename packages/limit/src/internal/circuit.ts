import * as Recovery from "@effect-resilience/errors/Recovery"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import type * as Outcome from "../Outcome.ts"
import * as Rejection from "../Rejection.ts"
import type { Gate } from "./gated.ts"
import { Gated } from "./gated.ts"
import type { TripRule, TripWindow } from "./tripRule.ts"

/**
 * The state of a circuit. `retryAfter` is the rest of the open time; `consecutiveOpenings` counts openings without a
 * stable time in between; `probing` is how many probes are running; `rejected` counts calls since the circuit was made.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot =
  & { readonly rejected: number }
  & (
    | { readonly _tag: "Closed" }
    | { readonly _tag: "Open"; readonly retryAfter: Duration.Duration; readonly consecutiveOpenings: number }
    | { readonly _tag: "HalfOpen"; readonly probing: number; readonly consecutiveOpenings: number }
    | { readonly _tag: "Isolated" }
  )

/**
 * A change of state. `retryAfter` is how long the circuit stays open; only an opening has it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transition {
  readonly policy: string
  readonly from: Snapshot["_tag"]
  readonly to: Snapshot["_tag"]
  readonly retryAfter: Duration.Duration | undefined
  readonly consecutiveOpenings: number
}

/**
 * The circuit did not let a call through.
 *
 * - `state`: why. `"Unknown"` comes from a `SharedCircuitBreaker` that fails closed and cannot read its store.
 * - `retryAfter`: the rest of the open time; unknown in the other states.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpen extends Rejection.TaggedError("CircuitOpen")<{
  readonly state: "Open" | "HalfOpen" | "Isolated" | "Unknown"
  readonly retryAfter: Duration.Duration | undefined
}> {
  override [Recovery.symbol](): Recovery.Recovery {
    return this.state === "Isolated" ? Recovery.giveUp : super[Recovery.symbol]()
  }
  override get message(): string {
    switch (this.state) {
      case "Open":
        return `The circuit "${this.policy}" is open. Try again in ${
          Duration.format(this.retryAfter ?? Duration.zero)
        }.`
      case "HalfOpen":
        return `The circuit "${this.policy}" is half-open and its probes are under way. Try again later.`
      case "Isolated":
        return `The circuit "${this.policy}" is isolated by hand. Wait for its reset.`
      case "Unknown":
        return `The state of the circuit "${this.policy}" cannot be read. Try again later.`
    }
  }
}

export interface Settings {
  /** The name in metrics, which all circuits of a keyed breaker share. */
  readonly name: string
  readonly tripPolicy: ReadonlyArray<TripRule>
  readonly openDuration: Backoff.Settings
  readonly maxOpenMillis: number
  readonly probes: number
  readonly probeLeaseMillis: number
  readonly classify: Outcome.Classify
  /** Whether a rule needs the time of a call. */
  readonly timed: boolean
  /** Whether no rule looks at successes before the first failure. */
  readonly ignoresFirstSuccesses: boolean
  /** A probe that takes longer fails. */
  readonly slowMillis: number
}

type AnyFiber = Fiber.Fiber<unknown, unknown>

export class Circuit implements Policy.Policy<CircuitOpen, Snapshot>, Gate<CircuitOpen>, PolicyEvent.Rejecting {
  readonly name: string
  readonly kind = "CircuitBreaker"
  rejected = 0
  readonly hub: PubSub.PubSub<Transition>
  #phase: Snapshot["_tag"] = "Closed"
  readonly #settings: Settings
  #windows: ReadonlyArray<TripWindow> | undefined
  // Every transition starts a generation. A call that ends in a later one than it began in changes nothing.
  #generation = 0
  #openings = 0
  #nextOpen: (() => Duration.Duration) | undefined
  #random: Random.Random | undefined
  #openMillis = 0
  #openUntil = 0
  #closedAt = 0
  #probing = 0
  #succeeded = 0
  #probedAt = 0
  #rejection: Exit.Exit<never, CircuitOpen> | undefined
  #rejectedAt = 0

  constructor(settings: Settings, name: string, hub: PubSub.PubSub<Transition>) {
    this.#settings = settings
    this.name = name
    this.hub = hub
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | CircuitOpen, R> {
    return new Gated(this, self)
  }

  enter<A, E, R>(self: Effect.Effect<A, E, R>, fiber: AnyFiber): Effect.Effect<A, E | CircuitOpen, R> {
    const admission = this.admitUnsafe(fiber)
    if (admission !== undefined) return Effect.onExitPrimitive(self, admission, true)
    const clock = fiber.getRef(Clock.Clock)
    // hack: shared-rejection. Rejections within one millisecond share one error. The wall clock is the cheaper one to read.
    const wall = clock.currentTimeMillisUnsafe()
    if (this.#phase === "Open" && this.#rejection !== undefined && this.#rejectedAt === wall) {
      return this.#tell(fiber, this.#rejection)
    }
    this.#rejectedAt = wall
    const rejection = this.#rejectionAt(monotonicMillis(clock))
    return rejection === undefined ? this.#probe(self) : this.#tell(fiber, rejection)
  }

  /** Whether it can be forgotten, open or not: without a bound, the circuits of failing keys would add up. */
  get isIdle(): boolean {
    return this.#phase !== "Isolated" && this.#probing === 0
  }

  admitUnsafe(fiber: AnyFiber): Policy.Admission | undefined {
    if (this.#phase !== "Closed") return undefined
    return this.#admission(this.#settings.timed ? stopwatch(fiber) : undefined)
  }

  get snapshot(): Effect.Effect<Snapshot> {
    return Effect.withFiber((fiber) => {
      const phase = this.#phase
      const consecutiveOpenings = this.#openings
      const { rejected } = this
      switch (phase) {
        case "Closed":
        case "Isolated":
          return Effect.succeed<Snapshot>({ _tag: phase, rejected })
        case "Open": {
          const retryAfter = Duration.millis(Math.max(0, this.#openUntil - nowMillis(fiber)))
          return Effect.succeed<Snapshot>({ _tag: phase, retryAfter, consecutiveOpenings, rejected })
        }
        case "HalfOpen":
          return Effect.succeed<Snapshot>({ _tag: phase, probing: this.#probing, consecutiveOpenings, rejected })
      }
    })
  }

  get isolate(): Effect.Effect<void> {
    return Effect.withFiber((fiber) => this.#phase === "Isolated" ? Effect.void : this.#become("Isolated", fiber))
  }

  get reset(): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      this.#openings = 0
      this.#nextOpen = undefined
      return this.#become("Closed", fiber)
    })
  }

  #admission(stopwatch: Stopwatch | undefined): Policy.Admission {
    const generation = this.#generation
    return (exit) => {
      if (generation !== this.#generation) return undefined
      const outcome = this.#settings.classify(exit)
      return this.#trips(outcome, stopwatch) ? this.#trip(generation, outcome) : undefined
    }
  }

  #trips(outcome: Outcome.Outcome, stopwatch: Stopwatch | undefined): boolean {
    if (outcome._tag === "Ignored") return false
    const failed = outcome._tag === "Failure"
    if (this.#windows === undefined) {
      if (!failed && this.#settings.ignoresFirstSuccesses) return false
      this.#windows = this.#settings.tripPolicy.map((rule) => rule.start())
    }
    const now = stopwatch === undefined ? 0 : stopwatch.now()
    const took = stopwatch === undefined ? 0 : now - stopwatch.startedAt
    let trips = false
    for (const window of this.#windows) {
      if (window.record(failed, took, now)) trips = true
    }
    return trips
  }

  #trip(generation: number, outcome: Outcome.Outcome): Effect.Effect<void> {
    return Effect.withFiber((fiber) => generation === this.#generation ? this.#open(fiber, outcome) : Effect.void)
  }

  #open(fiber: AnyFiber, outcome: Outcome.Outcome): Effect.Effect<void> {
    const now = nowMillis(fiber)
    if (this.#phase === "Closed" && now - this.#closedAt >= this.#openMillis) {
      this.#openings = 0
      this.#nextOpen = undefined
    }
    this.#random = fiber.getRef(Random.Random)
    this.#nextOpen ??= Backoff.delays(this.#settings.openDuration, () => this.#random?.nextDoubleUnsafe() ?? 0.5)
    const hint = outcome._tag === "Failure" && outcome.retryAfter !== undefined
      ? Duration.toMillis(outcome.retryAfter)
      : 0
    this.#openMillis = Math.min(this.#settings.maxOpenMillis, Math.max(Duration.toMillis(this.#nextOpen()), hint))
    this.#openUntil = now + this.#openMillis
    this.#openings++
    return this.#become("Open", fiber)
  }

  #rejectionAt(now: number): Exit.Exit<never, CircuitOpen> | undefined {
    switch (this.#phase) {
      case "Closed":
        return undefined
      case "Open": {
        if (now >= this.#openUntil) return undefined
        return this.#rejection = this.#reject("Open", Duration.millis(Math.ceil(this.#openUntil - now)))
      }
      case "HalfOpen":
        return this.#probing + this.#succeeded < this.#settings.probes || this.#leaseEnded(now)
          ? undefined
          : this.#rejection ??= this.#reject("HalfOpen", undefined)
      case "Isolated":
        return this.#rejection ??= this.#reject("Isolated", undefined)
    }
  }

  #reject(state: CircuitOpen["state"], retryAfter: Duration.Duration | undefined) {
    return Exit.fail(new CircuitOpen({ policy: this.name, state, retryAfter }))
  }

  #tell(fiber: AnyFiber, rejection: Exit.Exit<never, CircuitOpen>): Exit.Exit<never, CircuitOpen> {
    PolicyEvent.rejectUnsafe(this, fiber.context, this.#phase)
    return rejection
  }

  #leaseEnded(now: number): boolean {
    return now - this.#probedAt >= this.#settings.probeLeaseMillis
  }

  #probe<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | CircuitOpen, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiber((fiber): Effect.Effect<A, E | CircuitOpen, R> => {
        // The fiber may have yielded since `execute` looked.
        const now = nowMillis(fiber)
        const rejection = this.#rejectionAt(now)
        if (rejection !== undefined) return this.#tell(fiber, rejection)
        if (this.#phase === "Closed") return restore(this.execute(self))
        const announced = this.#phase === "Open" ? this.#become("HalfOpen", fiber) : Effect.void
        if (this.#probing + this.#succeeded >= this.#settings.probes) this.#startGeneration()
        this.#probing++
        this.#probedAt = now
        const generation = this.#generation
        const slowMillis = this.#settings.slowMillis
        const call = Effect.onExitPrimitive(
          restore(self),
          (exit) =>
            Effect.withFiber((fiber) => this.#settle(fiber, generation, exit, nowMillis(fiber) - now > slowMillis)),
          true
        )
        return Effect.andThen(announced, call)
      })
    )
  }

  #settle(
    fiber: AnyFiber,
    generation: number,
    exit: Exit.Exit<unknown, unknown>,
    slow: boolean
  ): Effect.Effect<void> {
    if (generation !== this.#generation) return Effect.void
    this.#probing--
    const outcome = this.#settings.classify(exit)
    if (outcome._tag === "Ignored") return Effect.void
    if (outcome._tag === "Failure" || slow) return this.#open(fiber, outcome)
    this.#succeeded++
    if (this.#succeeded < this.#settings.probes) return Effect.void
    this.#closedAt = nowMillis(fiber)
    return this.#become("Closed", fiber)
  }

  #startGeneration() {
    this.#generation++
    this.#probing = 0
    this.#succeeded = 0
    this.#rejection = undefined
  }

  /** Changes the state at once; the effect only tells others. */
  #become(to: Snapshot["_tag"], fiber: AnyFiber): Effect.Effect<void> {
    const from = this.#phase
    this.#phase = to
    this.#startGeneration()
    this.#windows = undefined
    if (from === to) return Effect.void
    const transition: Transition = {
      policy: this.name,
      from,
      to,
      retryAfter: to === "Open" ? Duration.millis(this.#openMillis) : undefined,
      consecutiveOpenings: this.#openings
    }
    tell(transition, this.#settings.name, fiber.context)
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

/** Counts a transition under the name that all circuits of a keyed breaker share, and tells it. */
export const tell = (
  { from, policy, retryAfter, to }: Transition,
  name: string,
  context: Context.Context<never>
): void => {
  const attributes = { "resilience.policy": name, "resilience.from": from, "resilience.to": to }
  Metric.withAttributes(transitionsTotal, attributes).updateUnsafe(1, context)
  PolicyEvent.emitUnsafe(context, { _tag: "Transitioned", policy, kind: "CircuitBreaker", from, to, retryAfter })
}

const log = ({ from, policy, retryAfter, to }: Transition): Effect.Effect<void> => {
  const message = `Circuit "${policy}": ${from} to ${to}`
  return retryAfter === undefined
    ? Effect.logInfo(message)
    : Effect.logWarning(`${message} for ${Duration.format(retryAfter)}`)
}
