/**
 * What a call says about the dependency behind it: it is well, it failed, or nothing.
 *
 * **Why**
 *
 * A breaker, an adaptive limit and a throttle all judge the dependency by its calls, and an error alone does not tell: a
 * 404 comes from a server in the best of health, and a full bulkhead never asked it. The error's `Recovery` tells.
 *
 * **Details**
 *
 * - A success, and an error to `Correct`, `Authorize` or `Reauthenticate`: the server understood and responded; `Success`.
 * - An error to `Retry`, `Verify` or `GiveUp`, an unknown one, a defect: `Failure`.
 * - An error that is `NotAsked`, such as the rejection of a policy, a login that failed, a file that cannot be read; and
 *   an interruption, and a deadline of the caller's own that was reached: `Ignored`.
 *
 * Errors of others are read by `Classifier` of `@effect-resilience/errors`.
 *
 * **Example** (A 404 is not a failure of the server)
 *
 * ```ts import.meta.vitest
 * import { ApiError } from "@effect-resilience/errors"
 * import { Outcome } from "@effect-resilience/limit"
 * import { Exit } from "effect"
 *
 * Outcome.of(Exit.fail(ApiError.reasonFromStatus(404, {})))._tag // => "Success"
 * Outcome.of(Exit.fail(ApiError.reasonFromStatus(503, {})))._tag // => "Failure"
 * Outcome.of(Exit.interrupt())._tag // => "Ignored"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Classifier from "@effect-resilience/errors/Classifier"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Field from "@effect-resilience/kernel/Field"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import { isRequestFault } from "./internal/requestFault.ts"

/**
 * What a call says. `retryAfter` is the time before which the server does not want to be asked again.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | { readonly _tag: "Success" }
  | { readonly _tag: "Failure"; readonly retryAfter: Duration.Duration | undefined }
  | { readonly _tag: "Ignored" }

/**
 * The dependency is well.
 *
 * @category constructors
 * @since 0.1.0
 */
export const success: Outcome = { _tag: "Success" }

/**
 * The call says nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ignored: Outcome = { _tag: "Ignored" }

/**
 * The dependency failed.
 *
 * - `retryAfter`: the time before which the dependency wants no other call; none by default.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failure = (options?: { readonly retryAfter?: Duration.Input | undefined }): Outcome =>
  options?.retryAfter === undefined
    ? plainFailure
    : { _tag: "Failure", retryAfter: Duration.fromInputUnsafe(options.retryAfter) }

/**
 * Judges the exit of a call.
 *
 * @category models
 * @since 0.1.0
 */
export type Classify = (exit: Exit.Exit<unknown, unknown>) => Outcome

/**
 * What an exit says, by the rules above. A time that is named as a date is measured against the clock of the running fiber.
 *
 * @category classification
 * @since 0.1.0
 */
export const of = (exit: Exit.Exit<unknown, unknown>): Outcome => judge(exit, undefined)

/**
 * The same, where a classifier knows errors that do not carry the right recovery; `undefined` falls back to
 * `Classifier.classify`.
 *
 * **Example** (A breaker around a library)
 *
 * ```ts import.meta.vitest
 * import { LibraryErrors } from "@effect-resilience/errors"
 * import { Outcome } from "@effect-resilience/limit"
 * import { Exit } from "effect"
 *
 * const classify = Outcome.using(LibraryErrors.classify)
 * const missing = Object.assign(new Error("404"), { response: { status: 404, headers: {} } })
 * classify(Exit.fail(missing))._tag // => "Success"
 * ```
 *
 * @category classification
 * @since 0.1.0
 */
export const using = (classifier: Classifier.Classifier): Classify => (exit) => judge(exit, classifier)

/**
 * The option `classify` of policies. It is not asked about an interruption, which is always ignored.
 *
 * @category fields
 * @since 0.1.0
 */
export const field: Field.Field<Classify | undefined, Classify> = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.fn<Classify>(), of),
  (classify) => classify === of ? of : (exit) => wasInterrupted(exit) ? ignored : classify(exit)
)

const wasInterrupted = (exit: Exit.Exit<unknown, unknown>): boolean =>
  exit._tag === "Failure" && Cause.hasInterruptsOnly(exit.cause)

const judge = (exit: Exit.Exit<unknown, unknown>, classifier: Classifier.Classifier | undefined): Outcome => {
  if (exit._tag === "Success") return success
  if (Cause.hasInterruptsOnly(exit.cause)) return ignored
  const failed = exit.cause.reasons.find(Cause.isFailReason)
  if (failed === undefined) return plainFailure
  const { error } = failed
  if (NotAsked.isNotAsked(error) || isCallersDeadline(error)) return ignored
  const recovery = classifier?.(error) ?? Classifier.classify(error, nowMillis())
  if (isRequestFault(recovery)) return success
  return recovery._tag === "Retry" && recovery.after !== undefined
    ? { _tag: "Failure", retryAfter: recovery.after }
    : plainFailure
}

const isCallersDeadline = (error: unknown): boolean =>
  Predicate.isTagged(error, "DeadlineExceeded") && Predicate.hasProperty(error, "inherited") && error.inherited === true

// Some name the time when to come back as a date.
const nowMillis = (): number | undefined => Fiber.getCurrent()?.getRef(Clock.Clock).currentTimeMillisUnsafe()

const plainFailure: Outcome = { _tag: "Failure", retryAfter: undefined }
