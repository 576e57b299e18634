import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Reason, Waiter } from "./waitQueue.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** What a call waits for. */
interface Host<out Full> {
  begin(caller: Policy.Caller): Policy.Admission
  beginHeld(caller: Policy.Caller, permits: number): Policy.Admission
  reject(fiber: AnyFiber, reason: Reason): Effect.Effect<never, Full>
}

/** A call of a fiber that waits until it is admitted. */
export class WaitingCall<A, E, R, Full> implements Waiter {
  /** How many it holds without a measure of its time, or `undefined`: one, and its time is measured. */
  readonly permits: number | undefined
  readonly self: Effect.Effect<A, E, R>
  readonly fiber: AnyFiber
  private readonly host: Host<Full>
  admission: Policy.Admission | undefined = undefined
  line: Waiter["line"] = undefined
  previous: Waiter | undefined = undefined
  next: Waiter | undefined = undefined
  since = 0
  deadlineAt: number | undefined = undefined
  resume: ((effect: Effect.Effect<A, E | Full, R>) => void) | undefined = undefined

  constructor(host: Host<Full>, fiber: AnyFiber, self: Effect.Effect<A, E, R>, permits: number | undefined) {
    this.host = host
    this.fiber = fiber
    this.self = self
    this.permits = permits
  }

  get weight(): number {
    return this.permits ?? 1
  }

  go() {
    const { fiber, host, permits } = this
    this.admission = permits === undefined ? host.begin(fiber) : host.beginHeld(fiber, permits)
    this.resume?.(this.self)
  }

  // Counted where the call fails: an interruption can still come first.
  stop(reason: Reason) {
    this.resume?.(Effect.flatMap(Effect.yieldNow, () => this.host.reject(this.fiber, reason)))
  }
}
