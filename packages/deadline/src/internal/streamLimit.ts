import * as Time from "@effect-resilience/kernel/Time"
import * as Timer from "@effect-resilience/kernel/Timer"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

type Limit = "first" | "idle" | "total"

type Timeouts = { readonly [L in Limit]: Duration.Duration }

/** The stream, interrupted where it reaches a limit. It then fails with `timedOut`. */
export const limited = <A, E, R, E2>(
  self: Stream.Stream<A, E, R>,
  timeouts: Timeouts,
  timedOut: (limit: Limit) => E2
): Stream.Stream<A, E | E2, R> => {
  const millis = {
    first: Duration.toMillis(timeouts.first),
    idle: Duration.toMillis(timeouts.idle),
    total: Duration.toMillis(timeouts.total)
  }
  if (millis.first === Infinity && millis.idle === Infinity && millis.total === Infinity) return self
  return Stream.transformPull(self, (pull, scope) =>
    Effect.withFiber(({ context }) => {
      const watch = new Watch(context, millis)
      // Of the same type as the failures of the pull, whose `Done` is one of them.
      const failed = (limit: Limit): Pull.Pull<NonEmptyReadonlyArray<A>, E | E2> => Effect.fail(timedOut(limit))
      return Effect.as(
        Scope.addFinalizer(scope, Effect.sync(() => watch.stop())),
        watched(pull, watch, failed)
      )
    }))
}

// Each pull runs in a fiber of its own, which alone is interrupted.
const watched = <A, E, E2>(
  pull: Pull.Pull<NonEmptyReadonlyArray<A>, E>,
  watch: Watch,
  failed: (limit: Limit) => Pull.Pull<NonEmptyReadonlyArray<A>, E | E2>
): Pull.Pull<NonEmptyReadonlyArray<A>, E | E2> =>
  Effect.callback((resume) => {
    if (watch.reached !== undefined) return resume(failed(watch.reached))
    const child = Effect.runForkWith(watch.context)(pull)
    const exit = child.pollUnsafe()
    if (exit !== undefined) {
      watch.delivered = true
      return resume(exit)
    }
    watch.begin(child)
    child.addObserver((exit) => {
      watch.end()
      const { reached } = watch
      resume(
        reached !== undefined && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? failed(reached) : exit
      )
    })
    return Fiber.interrupt(child)
  })

// The timer that runs is left alone while the stream delivers: when it elapses, it looks how long the present
// pull waits, and starts anew for the rest.
class Watch {
  readonly context: Context.Context<never>
  reached: Limit | undefined = undefined
  delivered = false
  private readonly millis: { readonly [L in Limit]: number }
  private readonly endAt: number
  private pulling: Fiber.Fiber<unknown, unknown> | undefined = undefined
  private dueAt = Infinity
  private wait: Timer.Wait | undefined = undefined
  private elapsesAt = Infinity

  constructor(context: Context.Context<never>, millis: { readonly [L in Limit]: number }) {
    this.context = context
    this.millis = millis
    const now = Time.nowUnsafe(context)
    this.endAt = now + millis.total
    this.arm(this.endAt, now)
  }

  begin(pulling: Fiber.Fiber<unknown, unknown>): void {
    this.pulling = pulling
    const now = Time.nowUnsafe(this.context)
    this.dueAt = now + this.millis[this.delivered ? "idle" : "first"]
    this.arm(Math.min(this.dueAt, this.endAt), now)
  }

  end(): void {
    this.pulling = undefined
    this.dueAt = Infinity
    this.delivered = true
  }

  stop(): void {
    this.wait?.cancel()
    this.wait = undefined
  }

  private arm(at: number, now: number): void {
    if (this.wait !== undefined && this.elapsesAt <= at) return
    this.stop()
    if (at === Infinity) return
    this.elapsesAt = at
    this.wait = Timer.startUnsafe(this.context, at - now, () => this.elapse())
  }

  private elapse(): void {
    this.wait = undefined
    const now = Time.nowUnsafe(this.context)
    // Timers count whole milliseconds.
    if (this.endAt - now < 1) this.reached = "total"
    else if (this.dueAt - now < 1) this.reached = this.delivered ? "idle" : "first"
    else return this.arm(Math.min(this.dueAt, this.endAt), now)
    this.pulling?.interruptUnsafe()
  }
}
