import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Timer from "../Timer.ts"

/** An infinite `millis` is no limit. */
export const after = <A, E, R, A2, E2, R2>(
  self: Effect.Effect<A, E, R>,
  millis: number,
  orElse: () => Effect.Effect<A2, E2, R2>
): Effect.Effect<A | A2, E | E2, R | R2> =>
  millis === Infinity
    ? self
    : Effect.withFiber((parent) => within(parent, self, millis, orElse))

/**
 * Runs `self` in a fiber of its own and interrupts it after `millis`. An effect that finishes without waiting meets no
 * timer at all. The effect has always ended before the result is known; a defect is kept where the time was up, anything
 * else becomes `orElse`.
 */
export const within = <A, E, R, A2, E2, R2>(
  parent: Fiber.Fiber<unknown, unknown>,
  self: Effect.Effect<A, E, R>,
  millis: number,
  orElse: () => Effect.Effect<A2, E2, R2>
): Effect.Effect<A | A2, E | E2, R | R2> => {
  // The effect that is returned needs R, so the fiber that runs it has R.
  const child = Effect.runForkWith(parent.context as Context.Context<R>)(self)
  return child.pollUnsafe() ?? ended(parent, child, millis, orElse)
}

const ended = <A, E, A2, E2, R2>(
  parent: Fiber.Fiber<unknown, unknown>,
  child: Fiber.Fiber<A, E>,
  millis: number,
  orElse: () => Effect.Effect<A2, E2, R2>
): Effect.Effect<A | A2, E | E2, R2> => {
  // The child may have interrupted its parent already; then the callback below is never reached.
  const release = parent.addObserver(() => child.interruptUnsafe())
  return Effect.callback((resume) => {
    let timedOut = false
    const wait = Timer.startUnsafe(parent.context, millis, () => {
      timedOut = true
      child.interruptUnsafe()
    })
    child.addObserver((exit) => {
      release()
      wait.cancel()
      resume(timedOut && Exit.isFailure(exit) && !Cause.hasDies(exit.cause) ? Effect.suspend(orElse) : exit)
    })
    return Fiber.interrupt(child)
  })
}
