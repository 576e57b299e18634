import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import type * as Effect from "effect/Effect"

/**
 * The server responded with a failure that another attempt may not have.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServerFailed extends ErrorMessage.TaggedError("ServerFailed") {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    return "The server responded with a failure."
  }
}

/**
 * The server did not respond within the client's `timeout`.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoResponse extends ErrorMessage.TaggedError("NoResponse") {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    return "The server did not respond in time."
  }
}

/** A request and its response. */
export type Exchange = Effect.Effect<void, ServerFailed | NoResponse>
