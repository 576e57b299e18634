import type * as ApiError from "@effect-resilience/errors/ApiError"
import type * as Transport from "@effect-resilience/errors/Transport"
import * as Time from "@effect-resilience/kernel/Time"
import * as Timer from "@effect-resilience/kernel/Timer"
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type { SendProgress } from "../SendProgress.ts"

/** The limits of an attempt, in milliseconds; `Infinity` is none. */
export interface Limits {
  readonly attempt: number
  readonly connect: number
  readonly firstByte: number
  readonly idle: number
}

interface Options {
  readonly timeout?: Duration.Input | undefined
  readonly connect?: Duration.Input | undefined
  readonly firstByte?: Duration.Input | undefined
  readonly idle?: Duration.Input | undefined
}

export const read = ({ connect, firstByte, idle, timeout }: Options): Limits => ({
  attempt: millisOf(timeout),
  connect: millisOf(connect),
  firstByte: millisOf(firstByte),
  idle: millisOf(idle)
})

const millisOf = (limit: Duration.Input | undefined): number =>
  limit === undefined ? Infinity : Duration.toMillis(limit)

type Name = keyof Limits

class Aborted extends Error {
  override readonly message = "the request was given up"
}

/**
 * Which limit an attempt reaches next. One timer serves all of them: it asks when it has passed, so that a piece of a body
 * costs no more than a look at the clock.
 */
export class AttemptLimits {
  private readonly limits: Limits
  private readonly progress: SendProgress
  private readonly clock: Clock.Clock
  private readonly begunAt: number
  /** When the limit passes that is waited for. */
  private until: number | undefined = undefined
  private next: Name = "attempt"
  /** When the last piece of the response came; its headers are the first. */
  private since: number | undefined = undefined
  /** Whether a limit has passed, and aborted the request. */
  aborted = false
  private wait: Timer.Wait | undefined = undefined

  constructor(limits: Limits, progress: SendProgress, clock: Clock.Clock, now = Time.monotonicMillis(clock)) {
    this.limits = limits
    this.progress = progress
    this.clock = clock
    this.begunAt = now
  }

  /** Headers, or a piece of the body. The time matters only where `idle` can pass before the attempt's does. */
  arrived(): void {
    this.since = this.limits.idle < this.limits.attempt ? Time.monotonicMillis(this.clock) : this.begunAt
  }

  /** For how long to wait; not at all where what was waited for last has passed, whatever the clock says of its timer. */
  remaining(now?: number): number {
    const { attempt, connect, firstByte, idle } = this.limits
    const waited = this.until
    let until = this.begunAt + attempt
    this.next = "attempt"
    const consider = (name: Name, at: number) => {
      if (at >= until) return
      until = at
      this.next = name
    }
    if (this.since === undefined) {
      // At first, nothing is known of any transport.
      if (waited === undefined || this.progress.reached === "nothing") consider("connect", this.begunAt + connect)
      consider("firstByte", this.begunAt + firstByte)
    } else consider("idle", this.since + idle)
    if (until === Infinity && idle === Infinity) return Infinity
    now ??= Time.monotonicMillis(this.clock)
    // Headers that come meanwhile begin the limit between two pieces.
    if (this.since === undefined) until = Math.min(until, now + idle)
    this.until = until
    return until === waited ? 0 : until - now
  }

  /** Aborts the request where a limit passes. That takes a transport that can be aborted, but no fiber. */
  start(context: Context.Context<never>): void {
    const look = () => {
      this.wait = undefined
      const millis = this.remaining()
      if (millis > 0) return wait(millis)
      this.aborted = true
      this.abort()
    }
    const wait = (millis: number, now?: number) => {
      if (millis !== Infinity) this.wait = Timer.startUnsafe(context, millis, look, now)
    }
    wait(this.remaining(this.begunAt), this.begunAt)
  }

  abort(): void {
    this.progress.abort(new Aborted())
  }
  stop(): undefined {
    this.wait?.cancel()
  }

  /** What the limit was that has passed, for the error. */
  get passed(): Pick<ApiError.Timeout, "timeout" | "phase"> {
    return { timeout: Duration.millis(this.limits[this.next]), phase: phaseOf(this.next, this.progress.reached) }
  }
}

const phaseOf = (limit: Name, reached: Transport.Reached | undefined): ApiError.Timeout["phase"] => {
  if (limit === "idle") return "body"
  if (reached === "nothing") return "connect"
  if (reached === "connected") return "send"
  return limit === "firstByte" ? "response" : "attempt"
}
