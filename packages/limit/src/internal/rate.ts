import type { StoreTimeout } from "@effect-resilience/deadline/StoreTimeout"
import type { TimedOut } from "@effect-resilience/deadline/Timeout"
import * as Field from "@effect-resilience/kernel/Field"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { ConsumeResult, RateLimiter, RateLimiterError } from "effect/persistence/RateLimiter"

const positive = /* @__PURE__ */ Field.integer({ min: 1 })

/** The options of one rate. */
export const rateFields = {
  limit: /* @__PURE__ */ Field.number({ above: 0 }),
  window: /* @__PURE__ */ Field.duration({ min: 1, finite: true }),
  burst: /* @__PURE__ */ Field.optional(positive),
  cost: /* @__PURE__ */ Field.withDefault(positive, 1)
}

export type StoreError = RateLimiterError | TimedOut

/** One rate: a token bucket at the limiter, and what this process knows of it. */
export class Rate {
  readonly burst: number
  readonly cost: number
  readonly intervalMillis: number
  /** What the calls in the queue are going to take. */
  queued = 0
  // When the bucket is empty and without debt.
  private evenAt = -Infinity
  private readonly key: string
  private readonly limiter: RateLimiter
  private readonly within: StoreTimeout

  constructor(
    { burst, cost, limit, window }: Field.Settings<typeof rateFields>,
    key: string,
    limiter: RateLimiter,
    within: StoreTimeout
  ) {
    this.intervalMillis = Duration.toMillis(window) / limit
    // The usual call has to fit in, and the limiter's windows are a millisecond at least.
    this.burst = Math.max(burst ?? cost, cost, Math.ceil(1 / this.intervalMillis))
    this.cost = cost
    this.key = key
    this.limiter = limiter
    this.within = within
  }

  /** When a call of this cost is going to have its turn, behind those in the queue. */
  expectedAt(cost: number): number {
    return this.evenAt + (this.queued + cost) * this.intervalMillis
  }

  balanceAt(now: number): number {
    return Math.min(this.burst, Math.floor((now - this.evenAt) / this.intervalMillis))
  }

  /** Takes tokens, into debt where they are not there. Once they are taken `taken` may give them back. */
  consume(
    tokens: number,
    clock: Clock.Clock,
    taken?: () => Effect.Effect<void> | undefined
  ): Effect.Effect<ConsumeResult, StoreError> {
    const { burst, intervalMillis } = this
    const consumed = this.limiter.consume({
      algorithm: "token-bucket",
      onExceeded: "delay",
      key: this.key,
      limit: burst,
      window: Duration.millis(burst * intervalMillis),
      tokens
    })
    if (taken === undefined) return this.within(Effect.map(consumed, (result) => this.learn(result, clock)))
    // A store that is slow or whose caller is interrupted may take them yet.
    return this.within(Effect.uninterruptible(Effect.flatMap(consumed, (result) => {
      this.learn(result, clock)
      const undo = taken()
      return undo === undefined ? Effect.succeed(result) : Effect.as(undo, result)
    })))
  }

  private learn(result: ConsumeResult, clock: Clock.Clock): ConsumeResult {
    this.evenAt = monotonicMillis(clock) - result.remaining * this.intervalMillis
    return result
  }

  /** Gives tokens back, but never more than the bucket has room for: what it has regained meanwhile is not owed. */
  refund(tokens: number, clock: Clock.Clock): Effect.Effect<void> {
    return Effect.ignore(Effect.flatMap(this.consume(0, clock), ({ remaining }) => {
      const fitting = Math.min(tokens, this.burst - remaining)
      return fitting > 0 ? this.consume(-fitting, clock) : Effect.void
    }))
  }

  /**
   * Sees to it that no more is left than a call of this cost leaves which goes now. One that had taken its tokens, and then
   * waited for another rate, leaves more: the bucket has filled up meanwhile.
   */
  spend(cost: number, clock: Clock.Clock): Effect.Effect<void> {
    return Effect.ignore(Effect.flatMap(this.consume(0, clock), ({ remaining, resetAfter }) => {
      // What has come since the last whole token.
      const part = Math.ceil(this.burst - remaining) - Duration.toMillis(resetAfter) / this.intervalMillis
      const spare = remaining + Math.max(0, part) - (this.burst - cost)
      return spare > 0 ? this.consume(spare, clock) : Effect.void
    }))
  }

  /** Puts the bucket into debt for so long. What it holds has to go too, or it would be a burst. */
  pause(millis: number, clock: Clock.Clock): Effect.Effect<void> {
    return Effect.ignore(Effect.flatMap(this.consume(0, clock), ({ remaining }) => {
      const tokens = Math.ceil(remaining) + Math.ceil(millis / this.intervalMillis)
      return tokens > 0 ? Effect.asVoid(this.consume(tokens, clock)) : Effect.void
    }))
  }
}
