/**
 * Limits how long a stream may take: until its first element, between two, and in all.
 *
 * **Why**
 *
 * A timeout around a stream cannot tell one that is long from one that is silent: it ends a download that makes progress, or waits
 * minutes for a server that has gone. What a stream may take is the time between two elements.
 *
 * **Details**
 *
 * - The time that counts is the one in which the consumer waits for the stream. A slow consumer makes no stream idle.
 * - `total` is different: it counts from the beginning, consumer included, since the stream holds its connection that long. A
 *   consumer that is busy when the time is up hears of it when it asks for more.
 * - When a limit is reached, the stream is interrupted, its finalizers run, and the consumer gets `StreamTimedOut`.
 * - The stream has one timer, which is started anew when it elapses, not for each element. Elements that are there without a wait
 *   start none.
 *
 * **Gotchas**
 *
 * Elements that come together, as a chunk, are one sign of life. A source that cannot be interrupted times out when it returns.
 *
 * **Example** (A stream that falls silent)
 *
 * ```ts import.meta.vitest
 * import { StreamTimeout } from "@effect-resilience/deadline"
 * import { Effect, Stream } from "effect"
 *
 * const silent = Stream.concat(Stream.make("first", "second"), Stream.never)
 *
 * const drained = silent.pipe(
 *   StreamTimeout.withTimeouts({ first: "1 second", idle: "5 millis" }),
 *   Stream.runDrain,
 *   Effect.flip
 * )
 * const { message } = await Effect.runPromise(drained)
 * message // => "nothing came for 5ms"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import { dual } from "effect/Function"
import type * as Stream from "effect/Stream"
import * as streamLimit from "./internal/streamLimit.ts"

/**
 * What a stream may take. An infinite duration is no limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Until its first element; default as `idle`. */
  readonly first?: Duration.Input | undefined
  /** Between two elements, or the last and the end, while the consumer waits; default no limit. */
  readonly idle?: Duration.Input | undefined
  /** From its beginning to its end, whatever the consumer does; default no limit. */
  readonly total?: Duration.Input | undefined
}

const limit = /* @__PURE__ */ Field.duration({ above: 0 })

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  first: /* @__PURE__ */ Field.optional(limit),
  idle: /* @__PURE__ */ Field.withDefault(limit, Duration.infinity),
  total: /* @__PURE__ */ Field.withDefault(limit, Duration.infinity)
} satisfies Field.Fields<Options>

/**
 * A stream took longer than it may. `limit` says which of the limits was reached, `timeout` how long it was. A retry can help; only
 * the caller knows whether it is safe, and whether elements came before.
 *
 * @category errors
 * @since 0.1.0
 */
export class StreamTimedOut extends ErrorMessage.TaggedError("StreamTimedOut")<{
  readonly limit: "first" | "idle" | "total"
  readonly timeout: Duration.Duration
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    const time = Duration.format(this.timeout)
    switch (this.limit) {
      case "first":
        return `nothing came within ${time}`
      case "idle":
        return `nothing came for ${time}`
      case "total":
        return `did not end within ${time}`
    }
  }
}

/**
 * Fails with `StreamTimedOut` where a stream reaches a limit. Throws `RangeError` where a limit makes no sense.
 *
 * @category limiting
 * @since 0.1.0
 */
export const withTimeouts: {
  (options: Options): <A, E, R>(self: Stream.Stream<A, E, R>) => Stream.Stream<A, E | StreamTimedOut, R>
  <A, E, R>(self: Stream.Stream<A, E, R>, options: Options): Stream.Stream<A, E | StreamTimedOut, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Stream.Stream<A, E, R>, options: Options): Stream.Stream<A, E | StreamTimedOut, R> => {
    const { first, idle, total } = Field.read("StreamTimeout", fields, options)
    const timeouts = { first: first ?? idle, idle, total }
    return streamLimit.limited(self, timeouts, (limit) => new StreamTimedOut({ limit, timeout: timeouts[limit] }))
  }
)
