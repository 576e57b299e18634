import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

// The clock of every fiber that was given no other. Only for it may a platform timer stand in for `clock.sleep`.
const liveClock = /* @__PURE__ */ Context.get(/* @__PURE__ */ Context.empty(), Clock.Clock)

const longestPlatformTimer = 2 ** 31 - 1

/**
 * Calls `onElapsed` after `millis` on the context's clock, unless the returned function was called before. The platform's
 * timer saves the fiber that `clock.sleep` would need: a third of what a timeout costs.
 */
export const start = (
  context: Context.Context<never>,
  millis: number,
  onElapsed: () => void
): () => void => {
  const clock = Context.get(context, Clock.Clock)
  if (clock === liveClock && millis <= longestPlatformTimer) {
    // oxlint-disable-next-line no-restricted-globals -- the one place where a platform timer is allowed
    const handle = setTimeout(onElapsed, millis)
    return () => clearTimeout(handle)
  }
  const sleeping = Effect.runForkWith(context)(Effect.map(clock.sleep(Duration.millis(millis)), onElapsed))
  return () => sleeping.interruptUnsafe()
}

/** The monotonic clock in milliseconds. */
export const now = (context: Context.Context<never>): number =>
  Number(Context.get(context, Clock.Clock).monotonicTimeNanosUnsafe()) / 1_000_000
