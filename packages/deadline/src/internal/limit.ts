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
 * effect has ended: when the time was up, a defect stays, anything else becomes `orElse`. With `leave`, the effect is interrupted
 * and not awaited, and its result is lost.
 */
export const interruptAfter = <A, E, R, A2, E2, R2>(
  self: Effect.Effect<A, E, R>,
  millis: number,
  orElse: () => Effect.Effect<A2, E2, R2>,
  remaining: (look: () => void) => number = none,
  leave = false
): Effect.Effect<A | A2, E | E2, R | R2> => {
  if (millis === Infinity) return self
  return Effect.callback((resume) => {
    // The returned effect needs R, so the fiber that runs it has R.
    const context = (Fiber.getCurrent()?.context ?? Context.empty()) as Context.Context<R>
    const child = Direct.startUnsafe(self, context)
    const exit = child.pollUnsafe()
    if (exit !== undefined) return resume(exit)
    let timedOut = false
    const elapsed = () => {
      const millis = remaining(elapsed)
      if (millis === Infinity) return
      if (millis > 0) {
        wait = Timer.startUnsafe(context, millis, elapsed)
        return
      }
      timedOut = true
      child.interruptUnsafe()
      if (leave) resume(Effect.suspend(orElse))
    }
    let wait = Timer.startUnsafe(context, millis, elapsed)
    child.addObserver((exit) => {
      wait.cancel()
      resume(timedOut && Exit.isFailure(exit) && !Cause.hasDies(exit.cause) ? Effect.suspend(orElse) : exit)
    })
    return leave
      ? Effect.sync(() => {
        wait.cancel()
        child.interruptUnsafe()
      })
      : Direct.interrupt(child)
  })
}

const none = () => 0
