/**
 * Time that passes as fast as the machine can compute.
 *
 * **Why**
 *
 * A policy that waits is understood by letting it wait. `TestClock` does that in tests; for a million waits it takes minutes,
 * since each is a fiber, a latch, and a timer of the machine. Here a wait is an entry in a heap.
 *
 * **Details**
 *
 * A virtual time has a clock, a scheduler and a source of chance of its own, which its fibers get by their context. Nothing
 * passes until `advance` or `runSync` says so; then events happen in the order of their time, and of their beginning where they
 * share one. After each, all fibers run until each of them waits. The same program with the same seed does the same, and the
 * same as under `TestClock`.
 *
 * **Gotchas**
 *
 * A fiber that waits for something real, a promise or a socket, is not waited for.
 *
 * **Example** (An hour in a millisecond)
 *
 * ```ts import.meta.vitest
 * import { VirtualTime } from "@effect-resilience/lab"
 * import { Clock, Effect } from "effect"
 *
 * const program = Effect.andThen(Effect.sleep("1 hour"), Clock.currentTimeMillis)
 * VirtualTime.runSync(program) // => 3600000
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import { DirectScheduler } from "./internal/directScheduler.ts"
import type { Event } from "./internal/EventHeap.ts"
import { EventHeap } from "./internal/EventHeap.ts"

/**
 * A time of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface VirtualTime {
  /** What its fibers run in: the clock, the scheduler, and chance. */
  readonly context: Context.Context<never>
  /** How many milliseconds have passed. */
  readonly nowMillis: () => number
  /** Starts a fiber, which runs until it waits. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  /** Calls a function after `millis`, unless the wait is cancelled before. */
  readonly at: (millis: number, happen: () => void) => Timer.Wait
  /** Lets time pass. */
  readonly advance: (duration: Duration.Input) => void
  /** Goes to the next event and lets it happen. `false` where there is none. */
  readonly next: () => boolean
}

/**
 * How a virtual time begins.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Of chance; default 0. */
  readonly seed?: string | number | undefined
  /** The date at the beginning, in milliseconds since 1970; default 0. Durations are measured from 0 in any case. */
  readonly startMillis?: number | undefined
}

/**
 * Makes a virtual time.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ seed = 0, startMillis = 0 }: Options = {}): VirtualTime => {
  const clock = new VirtualClock(startMillis)
  const scheduler = new DirectScheduler()
  const context = Context.empty().pipe(
    Context.add(Clock.Clock, clock),
    Context.add(Scheduler.Scheduler, scheduler),
    Context.add(Scheduler.PreventSchedulerYield, true),
    Context.add(Random.Random, random(seed))
  )
  return {
    context,
    nowMillis: () => clock.millis,
    fork: Effect.runForkWith(context),
    at: (millis, happen) => clock[Timer.at](millis, happen),
    advance: (duration) => {
      const until = clock.millis + Duration.toMillis(duration)
      scheduler.drain()
      // What readers see as this time is it: they see whole nanoseconds.
      while (clock.next(until + halfNano)) scheduler.drain()
      clock.stopAt(until)
    },
    next: () => {
      scheduler.drain()
      const happened = clock.next(Infinity)
      scheduler.drain()
      return happened
    }
  }
}

/**
 * A source of chance that gives the same numbers for the same seed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const random = (seed: string | number): Random.Random =>
  Effect.runSync(Random.withSeed(Effect.withFiber((fiber) => Effect.succeed(fiber.getRef(Random.Random))), seed))

/**
 * Runs an effect in a time of its own, to its end. It dies where the effect waits for something that no event of this time
 * can end.
 *
 * @category running
 * @since 0.1.0
 */
export const runSyncExit = <A, E>(effect: Effect.Effect<A, E>, options?: Options): Exit.Exit<A, E> => {
  const time = make(options)
  const fiber = time.fork(effect)
  for (;;) {
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return exit
    if (!time.next() && fiber.pollUnsafe() === undefined) {
      return Exit.die(
        new Error(`The effect still waits after ${time.nowMillis()} ms of virtual time, and nothing is left to happen`)
      )
    }
  }
}

/**
 * `runSyncExit`, for effects that succeed. It throws what a failure left, as `Effect.runSync` does.
 *
 * @category running
 * @since 0.1.0
 */
export const runSync = <A, E>(effect: Effect.Effect<A, E>, options?: Options): A =>
  Effect.runSync(runSyncExit(effect, options))

/** In milliseconds. */
const halfNano = 5e-7

class VirtualClock implements Timer.EventClock {
  private readonly heap = new EventHeap()
  private readonly startMillis: number
  private now = 0
  // What `now` is in nanoseconds, for the many who read it in one instant.
  private nanos: bigint | undefined = undefined

  constructor(startMillis: number) {
    this.startMillis = startMillis
  }

  readonly currentTimeMillis = Effect.sync(() => this.currentTimeMillisUnsafe())
  readonly currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos = Effect.sync(() => this.monotonicTimeNanosUnsafe())

  currentTimeMillisUnsafe(): number {
    return this.startMillis + this.now
  }

  currentTimeNanosUnsafe(): bigint {
    return nanosOf(this.startMillis + this.now)
  }

  monotonicTimeNanosUnsafe(): bigint {
    return this.nanos ??= nanosOf(this.now)
  }

  /** How many milliseconds have passed, to the nanosecond as its readers see it. */
  get millis(): number {
    return Math.round(this.now * 1_000_000) / 1_000_000
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const millis = Duration.toMillis(duration)
    if (!(millis > 0)) return Effect.void
    return Effect.callback((resume) => {
      const wait = this[Timer.at](millis, () => resume(Effect.void))
      return Effect.sync(() => wait.cancel())
    })
  }

  [Timer.at](millis: number, happen: () => void): Timer.Wait {
    const event = new VirtualWait(this.heap, happen)
    if (millis < Infinity) this.heap.add(this.now + Math.max(0, millis), event)
    return event
  }

  /** Lets the next event happen, if its time is not after `until`. */
  next(until: number): boolean {
    const time = this.heap.first
    if (time > until || time === Infinity) return false
    this.goTo(time)
    this.heap.take()?.happen()
    return true
  }

  stopAt(until: number): void {
    if (until > this.now && until < Infinity) this.goTo(until)
  }

  private goTo(time: number): void {
    this.now = time
    this.nanos = undefined
  }
}

class VirtualWait implements Event, Timer.Wait {
  readonly happen: () => void
  number = -1
  private readonly heap: EventHeap

  constructor(heap: EventHeap, happen: () => void) {
    this.heap = heap
    this.happen = happen
  }

  cancel(): void {
    this.heap.remove(this)
  }
}

const nanosOf = (millis: number): bigint => BigInt(Math.round(millis * 1_000_000))
