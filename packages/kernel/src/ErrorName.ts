/**
 * What an error is called: in a log line, in a metric's `error.type`, in a stored failure.
 *
 * **Details**
 *
 * An error is called by its own `_tag`; without one, by the `name` of an `Error`; everything else is an `"Error"`. An error
 * that wraps a reason, as `ApiError` and Effect's `PlatformError` do, has a closer name too: the reason's `_tag`.
 *
 * **Example** (The names of an error with a reason)
 *
 * ```ts import.meta.vitest
 * import { ErrorName } from "@effect-resilience/kernel"
 * import { PlatformError } from "effect"
 *
 * const error = PlatformError.systemError({ _tag: "NotFound", module: "FileSystem", method: "open" })
 * ErrorName.nameOf(error) // => "PlatformError"
 * ErrorName.reasonTagOf(error) // => "NotFound"
 * ErrorName.fullNameOf(error) // => "PlatformError/NotFound"
 * ErrorName.nameOf(new TypeError("a bug")) // => "TypeError"
 * ErrorName.nameOf("a text") // => "Error"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"

/**
 * The `_tag` of a value that has a text for one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const tagOf = (u: unknown): string | undefined =>
  Predicate.hasProperty(u, "_tag") && typeof u._tag === "string" ? u._tag : undefined

/**
 * The `_tag` of an error's `reason`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const reasonTagOf = (error: unknown): string | undefined =>
  Predicate.hasProperty(error, "reason") ? tagOf(error.reason) : undefined

/**
 * The name of an error: its `_tag`, otherwise the `name` of an `Error`, otherwise `"Error"`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const nameOf = (error: unknown): string => tagOf(error) ?? (Predicate.isError(error) ? error.name : "Error")

/**
 * The name of an error, followed by the tag of its reason where it has one: `ApiError/RateLimited`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const fullNameOf = (error: unknown): string => {
  const reason = reasonTagOf(error)
  return reason === undefined ? nameOf(error) : `${nameOf(error)}/${reason}`
}
