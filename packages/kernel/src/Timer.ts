/**
 * Waits for a while, at the lowest cost that a fiber allows.
 *
 * **When to use**
 *
 * Use inside policies that wait or limit on the path of every call. Everything else is better served by `Effect.sleep`.
 *
 * **Details**
 *
 * Where the fiber has the live clock, all waits of the same length share one platform timer: they end in the order in
 * which they began, so a linked list does, and a wait that is given up leaves nothing behind. With any other clock, a
 * `TestClock` for example, that clock waits; an `EventClock` does so without a fiber. This is the only place of these
 * packages that knows of a platform timer.
 *
 * A time limit (`startUnsafe`) that comes 5 ms late or more, since the program computed meanwhile, is granted 10 ms more:
 * timers come before sockets in an event loop's turn, and a response that has arrived in time would be thrown away.
 *
 * While a test runner has replaced `setTimeout` (`vi.useFakeTimers()`, `mock.timers.enable()`), each wait is a timer of
 * the runner's, which ends when the test says so. Waits that begin before or after are not concerned.
 *
 * **Gotchas**
 *
 * Fake timers do not move Effect's monotonic clock, so what reads it (`Deadline.remaining`, an open circuit) stands still.
 * A `TestClock` moves both.
 *
 * **Example** (Going on later)
 *
 * ```ts import.meta.vitest
 * import { Timer } from "@effect-resilience/kernel"
 * import { Effect } from "effect"
 *
 * await Effect.runPromise(Timer.delay(Effect.succeed("done"), 2)) // => "done"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { monotonicMillis } from "./Time.ts"

/**
 * A wait that can be given up.
 *
 * @category models
 * @since 0.1.0
 */
export interface Wait {
  /** Ends the wait: what was to run does not. */
  readonly cancel: () => void
}

/**
 * A clock that calls a function at a time of its own. Simulations have one: a fiber that sleeps for each wait costs them
 * several times as much.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventClock extends Clock.Clock {
  /** Calls `onElapsed` after `millis`, unless the wait is cancelled before. */
  readonly [at]: (millis: number, onElapsed: () => void) => Wait
}

/**
 * The method of an `EventClock`.
 *
 * @category symbols
 * @since 0.1.0
 */
export const at: "~@effect-resilience/kernel/Timer/at" = "~@effect-resilience/kernel/Timer/at"

const isEventClock = (clock: Clock.Clock): clock is EventClock => at in clock

/**
 * Whether time passes by events, as a simulation's does.
 *
 * @category waiting
 * @since 0.1.0
 */
export const isSimulated = (context: Context.Context<never>): boolean => isEventClock(Context.get(context, Clock.Clock))

/**
 * Waits `millis`, then continues with `self`. No wait, where `millis` is zero, less, or not a number.
 *
 * @category waiting
 * @since 0.1.0
 */
export const delay = <A, E, R>(self: Effect.Effect<A, E, R>, millis: number): Effect.Effect<A, E, R> =>
  Effect.contextWith((context: Context.Context<R>) => delayUnsafe(context, self, millis))

/**
 * `delay`, for code that holds the fiber's context already.
 *
 * @category waiting
 * @since 0.1.0
 */
export const delayUnsafe = <A, E, R>(
  context: Context.Context<never>,
  self: Effect.Effect<A, E, R>,
  millis: number
): Effect.Effect<A, E, R> => {
  if (!(millis > 0)) return self
  const clock = Context.get(context, Clock.Clock)
  const isLive = clock === liveClock && !(millis > longestPlatformTimer)
  const wait = isLive || isEventClock(clock)
    ? Effect.callback<void>((resume) => {
      const wait = isEventClock(clock)
        ? clock[at](millis, () => resume(Effect.void))
        : startLive(millis, false, resume, Effect.void)
      return Effect.sync(() => wait.cancel())
    })
    : clock.sleep(Duration.millis(millis))
  // A wait that was resumed with `self` would keep its frame until `self` has ended, and a loop would add them up.
  return Effect.andThen(wait, self)
}

/**
 * Calls `onElapsed` after `millis`, unless the wait is cancelled before. Never in this very moment: zero, less and what is
 * not a number count as 1. `now` is the monotonic time where the caller has just read it, which saves another look.
 *
 * @category waiting
 * @since 0.1.0
 */
export const startUnsafe = (
  context: Context.Context<never>,
  millis: number,
  onElapsed: () => void,
  now?: number
): Wait => begin(context, millis, true, onElapsed, now)

/**
 * `startUnsafe`, of a wait that limits nothing: it is granted no more where it comes late.
 *
 * @category waiting
 * @since 0.1.0
 */
export const waitUnsafe = (context: Context.Context<never>, millis: number, onElapsed: () => void): Wait =>
  begin(context, millis, false, onElapsed)

const begin = (
  context: Context.Context<never>,
  millis: number,
  limits: boolean,
  onElapsed: () => void,
  now?: number
): Wait => {
  const clock = Context.get(context, Clock.Clock)
  if (clock === liveClock && !(millis > longestPlatformTimer)) {
    return startLive(millis, limits, onElapsed, undefined, now)
  }
  const length = millis > 0 ? millis : 1
  if (isEventClock(clock)) return clock[at](length, onElapsed)
  const sleeping = Effect.runForkWith(context)(Effect.map(clock.sleep(Duration.millis(length)), onElapsed))
  return { cancel: () => sleeping.interruptUnsafe() }
}

// The clock of every fiber that was given no other.
const liveClock = /* @__PURE__ */ Context.get(/* @__PURE__ */ Context.empty(), Clock.Clock)

const longestPlatformTimer = 2 ** 31 - 1

// oxlint-disable-next-line no-restricted-properties -- the one place where a platform timer is allowed
const presentTimer = () => globalThis.setTimeout

const platformTimer = presentTimer()

/** Starts a wait of the live clock. A timer that is not the platform's is a test's, whose time our clock does not know. */
const startLive = <A>(
  millis: number,
  limits: boolean,
  onElapsed: (value: A) => void,
  value: A,
  now?: number
): Wait => {
  const length = millis > 1 ? Math.ceil(millis) : 1
  const setTimer = presentTimer()
  if (setTimer === platformTimer) {
    const entry = new Entry(limits, onElapsed, value)
    entry.wait(length, now)
    return entry
  }
  const timer = setTimer(() => onElapsed(value), length)
  return { cancel: () => globalThis.clearTimeout(timer) }
}

const queues = /* @__PURE__ */ new Map<number, Queue>()

const queueOf = (length: number): Queue => {
  const known = queues.get(length)
  if (known !== undefined) return known
  const queue = new Queue(length)
  queues.set(length, queue)
  return queue
}

// hack: shared-timer
// All waits of one length, the oldest first. The platform timer runs from the first wait until it finds the queue empty;
// meanwhile an empty queue does not keep the process alive.
class Queue {
  readonly millis: number
  head: Link | undefined = undefined
  tail: Link | undefined = undefined
  armed = false
  refs: Refs | undefined = undefined

  constructor(millis: number) {
    this.millis = millis
  }

  append(entry: Link, now = monotonicMillis(liveClock)): void {
    entry.due = now + this.millis
    entry.earlier = this.tail
    if (this.tail === undefined) this.head = entry
    else this.tail.later = entry
    this.tail = entry
    if (!this.armed) this.arm(now, this.millis)
    else if (entry.earlier === undefined) this.refs?.ref()
  }

  remove(entry: Link): void {
    const { earlier, later } = entry
    if (earlier === undefined) this.head = later
    else earlier.later = later
    if (later === undefined) this.tail = earlier
    else later.earlier = earlier
    // One that was promoted to the old generation would otherwise retain all that came after it, until the next full collection.
    entry.earlier = undefined
    entry.later = undefined
    if (this.head === undefined) this.refs?.unref()
  }

  arm(now: number, millis: number): void {
    const due = now + millis
    const timer: unknown = platformTimer(() => this.elapse(due, Math.min(millis - 1, lateMillis)), millis)
    this.armed = true
    this.refs = hasRefs(timer) ? timer : undefined
  }

  // Platform timers count whole milliseconds, on a coarser clock, and can be early by one or two. One that is too early for
  // that is a test's: this module was loaded under fake timers.
  elapse(due: number, tooEarly: number): void {
    const read = monotonicMillis(liveClock)
    const now = due - read < tooEarly ? read : due
    try {
      while (this.head !== undefined && this.head.due - now < 1) {
        if (this.head.limits && now - this.head.due >= lateMillis) this.head.wait(graceMillis)
        else this.head.elapse()
      }
    } finally {
      if (this.head === undefined) {
        this.armed = false
        queues.delete(this.millis)
      } else {
        this.arm(now, Math.max(1, Math.ceil(this.head.due - now)))
      }
    }
  }
}

// Later than this, the program was busy for long enough to have missed a response.
const lateMillis = 5

// For what was read from a socket to come through to the fiber that waits for it.
const graceMillis = 10

interface Link extends Wait {
  due: number
  readonly limits: boolean
  readonly elapse: () => void
  readonly wait: (millis: number) => void
  earlier: Link | undefined
  later: Link | undefined
}

// The value saves each wait a closure.
class Entry<A> implements Link {
  queue: Queue | undefined = undefined
  due = 0
  limits: boolean
  readonly onElapsed: (value: A) => void
  readonly value: A
  earlier: Link | undefined = undefined
  later: Link | undefined = undefined

  constructor(limits: boolean, onElapsed: (value: A) => void, value: A) {
    this.limits = limits
    this.onElapsed = onElapsed
    this.value = value
  }

  wait(millis: number, now?: number): void {
    // A grace is granted once.
    if (this.queue !== undefined) this.limits = false
    this.cancel()
    this.queue = queueOf(millis)
    this.queue.append(this, now)
  }

  cancel(): void {
    this.queue?.remove(this)
    this.queue = undefined
  }

  elapse(): void {
    this.cancel()
    this.onElapsed(this.value)
  }
}

// Node's timers keep the process alive unless told otherwise; a browser's are numbers.
interface Refs {
  readonly ref: () => void
  readonly unref: () => void
}

const hasRefs = (timer: unknown): timer is Refs =>
  Predicate.hasProperty(timer, "ref") && Predicate.hasProperty(timer, "unref")
