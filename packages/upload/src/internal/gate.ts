import { monotonicMillis } from "@effect-resilience/kernel/Time"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** Spaces the attempts of a batch, and delays all of them while the server asks clients to wait. */
export interface Gate {
  readonly pass: Effect.Effect<void>
  readonly pauseFor: (duration: Duration.Duration) => void
}

export const make = (options: {
  readonly clock: Clock.Clock
  readonly pace: Duration.Duration
  readonly concurrency: number
}): Gate => {
  const { clock, concurrency } = options
  const pace = Duration.toMillis(options.pace)
  const now = () => monotonicMillis(clock)
  let next = -Infinity
  let pausedUntil = -Infinity
  let slowStart = 0

  const pass: Effect.Effect<void> = Effect.suspend(() => {
    const time = now()
    const opening = Math.max(next, pausedUntil)
    // Checked again after the sleep, since another failure may have prolonged the pause.
    if (opening > time) return Effect.andThen(Effect.sleep(opening - time), pass)
    const spacing = slowStart > 0 ? Math.max(pace, resumeSpacing) : pace
    if (slowStart > 0) slowStart--
    next = time + spacing
    return Effect.void
  })
  return {
    pass,
    pauseFor: (duration) => {
      pausedUntil = Math.max(pausedUntil, now() + Duration.toMillis(duration))
      slowStart = concurrency
    }
  }
}

/** In milliseconds: the least time between the first attempts after a pause, so that they are no burst. */
const resumeSpacing = 100
