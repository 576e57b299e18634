import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"

/**
 * The server responded with a failure that another attempt may not have.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServerFailed extends Data.TaggedError("ServerFailed") {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
}

/**
 * The server did not respond within the client's `timeout`.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoResponse extends Data.TaggedError("NoResponse") {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
}

/** A request and its response. */
export type Exchange = Effect.Effect<void, ServerFailed | NoResponse>
