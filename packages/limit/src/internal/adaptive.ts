import type * as Policy from "@effect-resilience/kernel/Policy"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { monotonicMillis, tookMillis } from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import type * as Outcome from "../Outcome.ts"
import * as Priority from "../Priority.ts"
import type { Estimator, Start } from "./limitWindow.ts"
import { WaitingCall } from "./waitingCall.ts"
import type { Reason, Waiter, Waits } from "./waitQueue.ts"
import { WaitQueue } from "./waitQueue.ts"

/** How the limit is found, how calls wait, and what a call fails with that finds no room. */
export interface Limits<out Full> extends Waits {
  readonly start: Start
  readonly shares: { readonly [priority: string]: number }
  readonly classify: Outcome.Classify
  readonly reached: (why: Why) => Full
}

interface Why {
  readonly limit: number
  readonly priority: string
  readonly reason: Exclude<Reason, "QueueFull"> | "LimitReached"
}

/** `name` is the one that all limits of a keyed one share: a thousand keys add no series. They have no gauge, which is of one. */
interface Metrics {
  readonly name: string
  readonly limit: Metric.Gauge<number> | undefined
  readonly rejected: Metric.Counter<number>
}

interface Partition<Full> {
  readonly priority: string
  share: number
  running: number
  readonly rejected: Metric.Counter<number>
  rejections: { [_ in Why["reason"]]?: Exit.Exit<never, Full> }
}

/** Permits of a limit that an algorithm finds, with a bounded queue. `Full` is the error of a call that finds no room. */
export class Adaptive<Full> extends WaitQueue {
  private limits: Limits<Full>
  private estimator: Estimator
  private readonly partitions = new Map<string, Partition<Full>>()
  private readonly metrics: Metrics
  private readonly gauge: Metric.Gauge<number> | undefined
  private guarantees: boolean
  private running = 0
  private known = 0

  constructor(kind: string, name: string, limits: Limits<Full>, metrics: Metrics) {
    super(kind, name, limits)
    this.limits = limits
    this.estimator = limits.start()
    this.guarantees = guarantees(limits)
    this.metrics = metrics
    this.gauge = metrics.limit && Metric.withAttributes(metrics.limit, { "resilience.policy": metrics.name })
  }

  get isIdle(): boolean {
    return this.running === 0 && this.waiting === 0
  }

  get snapshot() {
    return Effect.sync(() => ({
      limit: this.estimator.limit,
      running: this.running,
      waiting: this.waiting,
      rejected: this.rejected
    }))
  }

  protected change(limits: Limits<Full>): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      this.limits = limits
      this.estimator = limits.start()
      this.guarantees = guarantees(limits)
      for (const partition of this.partitions.values()) partition.share = limits.shares[partition.priority] ?? 0
      this.limitNow(fiber)
      this.wait(limits, fiber)
      return Effect.void
    })
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Full, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiber((fiber): Effect.Effect<A, E | Full, R> => {
        const admission = this.admitUnsafe(fiber)
        if (admission !== undefined) return Effect.onExitPrimitive(restore(self), admission)
        const objection = this.objection(1, fiber)
        if (objection !== undefined) return this.reject(fiber, objection)
        const call = new WaitingCall(this, fiber, self, undefined)
        return Effect.onExitPrimitive(restore(this.await(call)), (exit) => this.leave(call, exit))
      })
    )
  }

  executeWith<A, E, R>(self: Effect.Effect<A, E, R>, permits: number): Effect.Effect<A, E | Full, R> {
    return Effect.withFiber((fiber) => this.run(new WaitingCall(this, fiber, self, permits)))
  }

  /** Permits that are held until the scope closes. */
  hold(permits: number): Effect.Effect<void, Full, Scope.Scope> {
    return Effect.withFiber((fiber) => {
      const scope = Context.get(fiber.context as Context.Context<Scope.Scope>, Scope.Scope)
      const handOver = Effect.uninterruptible(Effect.suspend(() => {
        const { admission } = call
        call.admission = undefined
        return Scope.addFinalizerExit(scope, (exit) => Effect.sync(() => admission?.(exit)))
      }))
      const call: WaitingCall<void, never, never, Full> = new WaitingCall(this, fiber, handOver, permits)
      return this.run(call)
    })
  }

  // The frame comes first, so that no interruption can come between a permit and the frame that gives it back.
  private run<A, E, R>(call: WaitingCall<A, E, R, Full>): Effect.Effect<A, E | Full, R> {
    return Effect.onExitPrimitive(this.await(call), (exit) => this.leave(call, exit))
  }

  // The fiber may have yielded since the first look.
  private await<A, E, R>(call: WaitingCall<A, E, R, Full>): Effect.Effect<A, E | Full, R> {
    return Effect.callback((resume) => {
      const { fiber } = call
      call.resume = resume
      call.admission = call.permits === undefined ? this.admitUnsafe(fiber) : this.admitHeld(fiber, call.permits)
      if (call.admission !== undefined) return resume(call.self)
      const objection = this.objection(call.weight, fiber)
      if (objection !== undefined) return resume(this.reject(fiber, objection))
      this.append(call, fiber)
    })
  }

  private leave<A, E, R>(call: WaitingCall<A, E, R, Full>, exit: Exit.Exit<unknown, unknown>): undefined {
    if (call.admission !== undefined) call.admission(exit)
    else this.remove(call)
  }

  admitUnsafe(caller: Policy.Caller): Policy.Admission | undefined {
    const limit = this.limitNow(caller)
    const partition = this.partitionOf(caller)
    return (this.running < limit && this.waiting === 0) || isBelowShare(partition, limit, 1)
      ? this.begin(caller, partition)
      : undefined
  }

  private admitHeld(caller: Policy.Caller, permits: number): Policy.Admission | undefined {
    const limit = this.limitNow(caller)
    return (this.running + permits <= limit && this.waiting === 0) ||
        isBelowShare(this.partitionOf(caller), limit, permits)
      ? this.beginHeld(caller, permits)
      : undefined
  }

  /** Takes permits, whatever the limit. How long they are held is no round trip. */
  beginHeld(caller: Policy.Caller, permits: number): Policy.Admission {
    const partition = this.partitionOf(caller)
    this.running += permits
    partition.running += permits
    return () => {
      this.running -= permits
      partition.running -= permits
      this.grantSoon()
      return undefined
    }
  }

  /** Lets a call begin, whatever the limit. */
  begin(
    caller: Policy.Caller,
    partition: Partition<Full> = this.partitionOf(caller)
  ): (exit: Exit.Exit<unknown, unknown>) => undefined {
    const clock = caller.getRef(Clock.Clock)
    const startedAt = monotonicMillis(clock)
    const inFlight = ++this.running
    partition.running++
    return (exit) => {
      this.running--
      partition.running--
      try {
        this.record(exit, startedAt, inFlight, clock, caller)
      } finally {
        // Also where `classify` throws.
        this.grantSoon()
      }
      return undefined
    }
  }

  protected hasRoom(waiter: Waiter): boolean {
    return this.running + waiter.weight <= this.estimator.limit || this.isGuaranteed(waiter)
  }

  private isGuaranteed(waiter: Waiter): boolean {
    return waiter instanceof WaitingCall &&
      isBelowShare(this.partitionOf(waiter.fiber), this.estimator.limit, waiter.weight)
  }

  // While the first that waits finds no room, one behind it may be below its share. Others do not overtake a heavy call.
  protected override overtaking(): Waiter | undefined {
    return this.guarantees ? this.find((waiter) => this.isGuaranteed(waiter)) : undefined
  }

  protected isTooHeavy(weight: number): boolean {
    return weight > this.estimator.limit
  }

  reject(fiber: Fiber.Fiber<unknown, unknown>, why: Reason): Exit.Exit<never, Full> {
    const limit = this.limitNow(fiber)
    const partition = this.partitionOf(fiber)
    const reason = why === "QueueFull" ? "LimitReached" : why
    partition.rejected.updateUnsafe(1, fiber.context)
    PolicyEvent.rejectUnsafe(this, fiber.context, reason)
    return partition.rejections[reason] ??= Exit.fail(
      this.limits.reached({ limit, priority: partition.priority, reason })
    )
  }

  private record(
    exit: Exit.Exit<unknown, unknown>,
    startedAt: number,
    inFlight: number,
    clock: Clock.Clock,
    caller: Policy.Caller
  ) {
    const outcome = this.limits.classify(exit)
    const dropped = outcome._tag === "Failure"
    // An error to which the server responded well came another way than a success. Its round trip is no measure.
    if (outcome._tag === "Ignored" || (!dropped && Exit.isFailure(exit))) return
    const now = monotonicMillis(clock)
    this.estimator.record({
      nowMillis: now,
      rttMillis: tookMillis(exit, startedAt, now),
      inFlight,
      dropped,
      random: () => caller.getRef(Random.Random).nextDoubleUnsafe()
    })
  }

  private limitNow(caller: Policy.Caller): number {
    const { limit } = this.estimator
    if (limit !== this.known) {
      this.known = limit
      this.gauge?.updateUnsafe(limit, caller.context)
      for (const partition of this.partitions.values()) partition.rejections = {}
    }
    return limit
  }

  private partitionOf(caller: Policy.Caller): Partition<Full> {
    const { shares } = this.limits
    const priority = caller.getRef(Priority.Current)
    const name = Object.hasOwn(shares, priority) ? priority : "default"
    const known = this.partitions.get(name)
    if (known !== undefined) return known
    const partition: Partition<Full> = {
      priority: name,
      share: shares[name] ?? 0,
      running: 0,
      rejected: Metric.withAttributes(this.metrics.rejected, {
        "resilience.policy": this.metrics.name,
        "resilience.priority": name
      }),
      rejections: {}
    }
    this.partitions.set(name, partition)
    return partition
  }
}

const isBelowShare = ({ running, share }: Partition<unknown>, limit: number, permits: number): boolean =>
  running + permits <= Math.ceil(limit * share)

const guarantees = ({ shares }: Limits<unknown>): boolean => Object.keys(shares).length > 0
