import { Clock, Duration, Effect, type Exit, Random, Scheduler, type Scope } from "effect"

/** A clock that only `advance` moves. `jump` moves the wall clock alone. */
class VirtualClock implements Clock.Clock {
  private elapsed = 0
  private wall = Date.UTC(2026, 0, 1)
  private readonly sleeping: Array<{ readonly at: number; readonly wake: () => void }> = []

  currentTimeMillisUnsafe = () => this.wall + this.elapsed
  currentTimeNanosUnsafe = () => BigInt(this.currentTimeMillisUnsafe()) * 1_000_000n
  monotonicTimeNanosUnsafe = () => BigInt(Math.round(this.elapsed * 1_000)) * 1_000n
  readonly currentTimeMillis = Effect.sync(this.currentTimeMillisUnsafe)
  readonly currentTimeNanos = Effect.sync(this.currentTimeNanosUnsafe)
  readonly monotonicTimeNanos = Effect.sync(this.monotonicTimeNanosUnsafe)

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const entry = { at: this.elapsed + Duration.toMillis(duration), wake: () => resume(Effect.void) }
      const index = this.sleeping.findLastIndex((other) => other.at <= entry.at) + 1
      this.sleeping.splice(index, 0, entry)
      return Effect.sync(() => {
        const index = this.sleeping.indexOf(entry)
        if (index >= 0) this.sleeping.splice(index, 1)
      })
    })
  }

  jump(millis: number): void {
    this.wall += millis
  }

  /** Wakes the next sleeper; `false` where there is none. */
  advance(): boolean {
    const next = this.sleeping.shift()
    if (next === undefined) return false
    this.elapsed = next.at
    next.wake()
    return true
  }
}

/**
 * Runs a program in virtual time, within this call: no timer, no turn of the event loop, and the same interleaving for the
 * same seed.
 */
export const run = <A, E>(
  seed: number | string,
  program: (jump: (millis: number) => Effect.Effect<void>) => Effect.Effect<A, E, Scope.Scope>
): Exit.Exit<A, E> => {
  const clock = new VirtualClock()
  const tasks: Array<() => void> = []
  const scheduler = new Scheduler.MixedScheduler("async", (task) => {
    tasks.push(task)
    return () => {
      const index = tasks.indexOf(task)
      if (index >= 0) tasks.splice(index, 1)
    }
  })
  const fiber = Effect.runFork(
    program((millis) => Effect.sync(() => clock.jump(millis))).pipe(
      Effect.scoped,
      Random.withSeed(seed),
      Effect.provideService(Clock.Clock, clock)
    ),
    { scheduler }
  )
  for (;;) {
    for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) task()
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return exit
    if (!clock.advance()) throw new Error("the program waits for something that never comes")
  }
}
