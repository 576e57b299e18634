import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/** The signals that ask a process to end: Ctrl-C, a supervisor's, and that of a terminal that goes away. */
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** How long an interrupted program may take to clean up behind itself. Docker kills after 10 s. */
const grace = "5 seconds"

/** A Ctrl-C under npm comes twice: from the terminal, and from npm, which passes it on. Two within so short a time are one. */
const echo = Effect.sleep("100 millis")

// Signals come to the process, not to a fiber, so what waits for one is known here.
let listener: (() => void) | undefined

/** Completes on the first signal, which then does not interrupt the program; the next one does. */
export const first: Effect.Effect<void> = Effect.callback((resume) => {
  listener = () => resume(Effect.void)
  return Effect.sync(() => {
    listener = undefined
  })
})

const pass = (): boolean => {
  const passOn = listener
  listener = undefined
  passOn?.()
  return passOn !== undefined
}

/**
 * Ends a program in order, signal by signal: the first goes to what waits for one, the next interrupts, and one more, or
 * the end of the grace, gives the program up.
 */
export const install = (program: Fiber.Fiber<unknown, unknown>, giveUp: () => void) => {
  const interrupt = Effect.timeoutOrElse(Fiber.interrupt(program), {
    duration: grace,
    orElse: () => Effect.sync(giveUp)
  })
  let interrupted = false
  let echoing = false
  const onSignal = () => {
    if (echoing) return
    echoing = true
    Effect.runFork(Effect.andThen(
      echo,
      Effect.sync(() => {
        echoing = false
      })
    ))
    if (pass()) return
    if (interrupted) return giveUp()
    interrupted = true
    Effect.runFork(interrupt)
  }
  for (const signal of signals) process.on(signal, onSignal)
}
