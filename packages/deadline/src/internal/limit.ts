import * as Direct from "@effect-resilience/kernel/Direct"
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/**
 * Runs `self`, in a fiber of its own unless it can do without (`Direct`), and interrupts it after `millis`, unless `remaining`
 * then returns more. `Infinity` is no limit. An effect that finishes without waiting starts no timer. The result comes after the
 * effect has ended: when the time was up, a defect stays, anything else becomes `orElse`.
 */
export const interruptAfter = <A, E, R, A2, E2, R2>(
  self: Effect.Effect<A, E, R>,
  millis: number,
  orElse: () => Effect.Effect<A2, E2, R2>,
  remaining: (look: () => void) => number = none
): Effect.Effect<A | A2, E | E2, R | R2> => {
  if (millis === Infinity) return self
  return Effect.callback((resume) => {
    // The returned effect needs R, so the fiber that runs it has R.
    const context = (Fiber.getCurrent()?.context ?? Context.empty()) as Context.Context<R>
    const child = Direct.startUnsafe(self, context)
    const exit = child.pollUnsafe()
    if (exit !== undefined) return resume(exit)
    const limit = new Limit(child, context, millis, remaining)
    child.addObserver((exit) => resume(limit.isReached(exit) ? Effect.suspend(orElse) : exit))
    return Direct.interrupt(child)
  })
}

/** The same for a caller that needs no fiber to wait in, and has just read the time. */
export const startUnsafe = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  context: Context.Context<R>,
  millis: number,
  late: () => Exit.Exit<never, E2>,
  remaining: (look: () => void) => number,
  now: number
): Direct.Running<A, E | E2> => {
  const child = Direct.startUnsafe(self, context)
  return child.pollUnsafe() === undefined ? new Limited(child, context, millis, late, remaining, now) : child
}

class Limit {
  private readonly child: Direct.Running<unknown>
  private readonly context: Context.Context<never>
  private readonly remaining: (look: () => void) => number
  private readonly look: () => void
  private wait: Timer.Wait
  private timedOut = false

  constructor(
    child: Direct.Running<unknown>,
    context: Context.Context<never>,
    millis: number,
    remaining: (look: () => void) => number,
    now?: number
  ) {
    this.child = child
    this.context = context
    this.remaining = remaining
    // A function that is assigned to a property directly goes into the old generation, with all that it can see.
    const look = () => this.elapse()
    this.look = look
    this.wait = Timer.startUnsafe(context, millis, look, now)
  }

  /** The effect has ended. Whether it was the limit that ended it. */
  isReached(exit: Exit.Exit<unknown, unknown>): boolean {
    this.wait.cancel()
    return this.timedOut && Exit.isFailure(exit) && !Cause.hasDies(exit.cause)
  }

  leave(by?: number): void {
    this.timedOut = false
    this.wait.cancel()
    this.child.interruptUnsafe(by)
  }

  private elapse(): void {
    const millis = this.remaining(this.look)
    if (millis === Infinity) return
    if (millis > 0) {
      this.wait = Timer.startUnsafe(this.context, millis, this.look)
      return
    }
    this.timedOut = true
    this.child.interruptUnsafe()
  }
}

class Limited<A, E, E2> extends Direct.Around<A, E | E2> {
  private readonly limit: Limit

  constructor(
    child: Direct.Running<A, E>,
    context: Context.Context<never>,
    millis: number,
    late: () => Exit.Exit<never, E2>,
    remaining: (look: () => void) => number,
    now: number
  ) {
    super(child)
    const limit = new Limit(child, context, millis, remaining, now)
    this.limit = limit
    child.addObserver((exit) => this.end(limit.isReached(exit) ? late() : exit))
  }

  // What is given up is not late, however long it takes to end.
  override interruptUnsafe(by?: number): void {
    this.limit.leave(by)
  }
}

const none = () => 0
