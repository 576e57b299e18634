import * as Effect from "effect/Effect"

// Signals come to the process, not to a fiber, so what waits for one is known here.
let listener: (() => void) | undefined

/** Completes on the first SIGINT or SIGTERM, which then does not interrupt the program; the next one does. */
export const first: Effect.Effect<void> = Effect.callback((resume) => {
  listener = () => resume(Effect.void)
  return Effect.sync(() => {
    listener = undefined
  })
})

/** Passes a signal on to whoever waits for it; false where nobody does. */
export const pass = (): boolean => {
  const passOn = listener
  listener = undefined
  passOn?.()
  return passOn !== undefined
}
