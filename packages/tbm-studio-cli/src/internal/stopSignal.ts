import * as Time from "@effect-resilience/kernel/Time"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/** The signals that stop a process: Ctrl-C, that of a supervisor, and that of a closed terminal. */
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** How long an interrupted program may take to clean up. Docker kills after 10 s. */
const grace = "5 seconds"

/** A Ctrl-C under npm arrives twice: from the terminal, and from npm, which forwards it. Two within this time count as one. */
const echo = Effect.sleep("100 millis")

// A signal reaches the process, not a fiber, so the waiting effect registers here.
let listener: (() => void) | undefined

/** Completes on the first signal, which then does not interrupt the program. The next one does. */
export const first: Effect.Effect<void> = Effect.callback((resume) => {
  listener = () => resume(Effect.void)
  return Effect.sync(() => {
    listener = undefined
  })
})

/** Why a batch ends before everything is sent. */
export type Reason = "signal" | "time"

/** Completes on the first signal, or when the time has come. `endsAt` is in monotonic milliseconds. */
export const firstOrAt = (endsAt: number | undefined): Effect.Effect<Reason> => {
  const signal = Effect.as(first, "signal" as const)
  if (endsAt === undefined) return signal
  const time = Effect.flatMap(Time.now, (now) => Effect.sleep(Math.max(0, endsAt - now)))
  return Effect.raceFirst(signal, Effect.as(time, "time" as const))
}

let limitCleanup: (() => void) | undefined

/** Begins the grace period for a program that ends without being interrupted. */
export const cleanUp: Effect.Effect<void> = Effect.sync(() => limitCleanup?.())

const notifyListener = (): boolean => {
  const notify = listener
  listener = undefined
  notify?.()
  return notify !== undefined
}

/**
 * Ends a program cleanly: the first signal completes `first` if an effect waits for it, the next one interrupts, and a
 * further one, or the end of the grace period, calls `giveUp`. `cleanUp` begins the grace period, too.
 */
export const install = (program: Fiber.Fiber<unknown, unknown>, giveUp: () => void) => {
  const withinGrace = (ended: Effect.Effect<unknown>) =>
    Effect.timeoutOrElse(ended, { duration: grace, orElse: () => Effect.sync(giveUp) })
  const interrupt = withinGrace(Fiber.interrupt(program))
  limitCleanup = () => {
    Effect.runFork(withinGrace(Fiber.await(program)))
  }
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
    if (notifyListener()) return
    if (interrupted) return giveUp()
    interrupted = true
    Effect.runFork(interrupt)
  }
  for (const signal of signals) process.on(signal, onSignal)
}
