import * as Direct from "@effect-resilience/kernel/Direct"
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/**
 * As `interruptAfter`, but after `millis` the effect is not awaited: it is interrupted, and unless it dies at once, its result is lost.
 */
export const leaveAfter = <A, E, R, A2, E2, R2>(
  self: Effect.Effect<A, E, R>,
  millis: number,
  orElse: () => Effect.Effect<A2, E2, R2>
): Effect.Effect<A | A2, E | E2, R | R2> => {
  if (millis === Infinity) return self
  return Effect.callback((resume) => {
    // The returned effect needs R, so the fiber that runs it has R.
    const context = (Fiber.getCurrent()?.context ?? Context.empty()) as Context.Context<R>
    const child = Direct.startUnsafe(self, context)
    const exit = child.pollUnsafe()
    if (exit !== undefined) return resume(exit)
    let isLeft = false
    const wait = Timer.startUnsafe(context, millis, () => {
      isLeft = true
      child.interruptUnsafe()
      resume(Effect.suspend(orElse))
    })
    child.addObserver((exit) => {
      wait.cancel()
      if (!isLeft || (Exit.isFailure(exit) && Cause.hasDies(exit.cause))) resume(exit)
    })
    return Effect.sync(() => {
      wait.cancel()
      child.interruptUnsafe()
    })
  })
}
