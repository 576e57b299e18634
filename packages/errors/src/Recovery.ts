/**
 * What a caller can do about a failure.
 *
 * **Why**
 *
 * A retry policy, a circuit breaker and a command line need to know the same about an error: can a retry help, and if not,
 * who has to act? The status codes and message texts that say so differ between APIs. Therefore the error itself says so, once,
 * where it is made. Everything downstream reads the `Recovery` and never the status.
 *
 * **Example** (An error with a recovery)
 *
 * ```ts import.meta.vitest
 * import { Recovery } from "@effect-resilience/errors"
 * import { Data } from "effect"
 *
 * class QueueFull extends Data.TaggedError("QueueFull")<{ readonly queue: string }> {
 *   [Recovery.symbol](): Recovery.Recovery {
 *     return Recovery.retryAfter("2 seconds")
 *   }
 * }
 *
 * Recovery.describe(Recovery.of(new QueueFull({ queue: "ledger" }))) // => "retry, not before 2 seconds"
 * Recovery.of("some other failure")._tag // => "GiveUp"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { inWords } from "./internal/inWords.ts"
import { property } from "./internal/property.ts"

/**
 * What kind of failure a repetition can mend. A retry policy can treat each in its own way.
 *
 * - `transient`: a broken connection, a timeout, a server that failed. It passes by itself, often within milliseconds.
 * - `throttled`: the caller sent too much: 429. It passes when the caller slows down.
 * - `overloaded`: the server has more work than it can do, from all callers: 503, 529. It passes when all of them slow down.
 * - `expired`: the token is no longer accepted: 401. It passes with a new token.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = "transient" | "throttled" | "overloaded" | "expired"

/**
 * What to do about a failure.
 *
 * - `Retry`: it passes. Try again, not before `after` if the server named a time. Without a `kind`, it is transient.
 * - `Reauthenticate`: the token is no longer accepted. Log in again, then repeat once.
 * - `Correct`: the request is wrong. Change it; a repetition cannot help.
 * - `Authorize`: the caller lacks a permission. An administrator has to grant it.
 * - `Verify`: the request may or may not have been applied. Find out first, then decide.
 * - `GiveUp`: nothing that the caller does can help.
 *
 * @category models
 * @since 0.1.0
 */
export type Recovery =
  | {
    readonly _tag: "Retry"
    readonly after: Duration.Duration | undefined
    readonly kind?: Exclude<Kind, "expired"> | undefined
  }
  | { readonly _tag: "Reauthenticate" }
  | { readonly _tag: "Correct" }
  | { readonly _tag: "Authorize" }
  | { readonly _tag: "Verify" }
  | { readonly _tag: "GiveUp" }

/**
 * The key of an error's method that returns its `Recovery`.
 *
 * @category symbols
 * @since 0.1.0
 */
export const symbol: "~@effect-resilience/errors/Recovery" = "~@effect-resilience/errors/Recovery"

/**
 * An error with a `Recovery`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recoverable {
  readonly [symbol]: () => Recovery
}

/**
 * Try again as soon as the policy allows.
 *
 * @category constructors
 * @since 0.1.0
 */
export const retry: Recovery = { _tag: "Retry", after: undefined }

/**
 * Try again, but not before `after` has passed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const retryAfter = (after: Duration.Input): Recovery => retryAs("transient", after)

/**
 * Try again after a failure of a kind, and not before `after` has passed, if there is one.
 *
 * **Example** (A queue that is full)
 *
 * ```ts import.meta.vitest
 * import { Recovery } from "@effect-resilience/errors"
 *
 * Recovery.kindOf(Recovery.retryAs("overloaded", "2 seconds")) // => "overloaded"
 * Recovery.kindOf(Recovery.retry) // => "transient"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const retryAs = (kind: Exclude<Kind, "expired">, after?: Duration.Input): Recovery => ({
  _tag: "Retry",
  after: after === undefined ? undefined : Duration.fromInputUnsafe(after),
  ...(kind !== "transient" && { kind })
})

/**
 * Log in again, then repeat the request once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const reauthenticate: Recovery = { _tag: "Reauthenticate" }

/**
 * Change the request: its address, parameters or body.
 *
 * @category constructors
 * @since 0.1.0
 */
export const correct: Recovery = { _tag: "Correct" }

/**
 * Ask for the missing permission.
 *
 * @category constructors
 * @since 0.1.0
 */
export const authorize: Recovery = { _tag: "Authorize" }

/**
 * First find out whether the request was applied.
 *
 * @category constructors
 * @since 0.1.0
 */
export const verify: Recovery = { _tag: "Verify" }

/**
 * Do not try again.
 *
 * @category constructors
 * @since 0.1.0
 */
export const giveUp: Recovery = { _tag: "GiveUp" }

/**
 * The recovery of an HTTP status other than success: retry for 408, 425, 429 and most 5xx, not before `after`; a login for
 * 401; a permission for 403; another request for all other 3xx and 4xx; none for what a server cannot do at all (501, 505,
 * 506, 508, 510, 511).
 *
 * With a time, it is also retry for 403 (GitHub's rate limits), 409, 413 (RFC 9110, section 15.5.14) and 423: the server says
 * that they pass.
 *
 * 429 and 403 are of the kind `throttled`; 503 and 529, with which Anthropic and others say that they have too much work, are
 * `overloaded`; the rest is `transient`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromStatus = (status: number, after?: Duration.Duration): Recovery => {
  if (after !== undefined && passing.has(status)) return retryAs(kindOfStatus(status), after)
  if (status === 401) return reauthenticate
  if (status === 403) return authorize
  if (permanent.has(status)) return giveUp
  return status >= 500 || transient.has(status) ? retryAs(kindOfStatus(status), after) : correct
}

/**
 * The kind of a failure that is retried, by its HTTP status.
 *
 * @category accessors
 * @since 0.1.0
 */
export const kindOfStatus = (status: number): Exclude<Kind, "expired"> => {
  if (status === 429 || status === 403) return "throttled"
  return status === 503 || status === 529 ? "overloaded" : "transient"
}

const transient: ReadonlySet<number> = /* @__PURE__ */ new Set([408, 425, 429])
const passing: ReadonlySet<number> = /* @__PURE__ */ new Set([403, 409, 413, 423])
const permanent: ReadonlySet<number> = /* @__PURE__ */ new Set([501, 505, 506, 508, 510, 511])

/**
 * True for a value with a `Recovery` of its own.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRecoverable = (u: unknown): u is Recoverable => typeof property(u, symbol) === "function"

/**
 * The recovery of an error; `giveUp` if it has none.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (error: unknown): Recovery => isRecoverable(error) ? error[symbol]() : giveUp

/**
 * The kind of a failure with this recovery: that of a retry, `expired` where a login helps, `undefined` where nothing passes by
 * itself.
 *
 * @category accessors
 * @since 0.1.0
 */
export const kindOf = (recovery: Recovery): Kind | undefined => {
  if (recovery._tag === "Retry") return recovery.kind ?? "transient"
  return recovery._tag === "Reauthenticate" ? "expired" : undefined
}

/**
 * A short phrase that says what to do.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (recovery: Recovery): string => {
  switch (recovery._tag) {
    case "Retry":
      return recovery.after === undefined ? "retry" : `retry, not before ${inWords(recovery.after)}`
    case "Reauthenticate":
      return "log in again"
    case "Correct":
      return "correct the request"
    case "Authorize":
      return "ask for the missing permission"
    case "Verify":
      return "find out whether it was applied"
    case "GiveUp":
      return "give up"
  }
}
