/**
 * Checks the constants that a program passes to a constructor.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * Throws a `RangeError` that names the rule and the value, unless the argument is valid. The rule says which constructor's
 * argument must be what, and a duration is shown as people write it.
 *
 * **Example** (A rule that is broken)
 *
 * ```ts import.meta.vitest
 * import { Argument } from "@effect-resilience/kernel"
 * import { Result } from "effect"
 *
 * const check = (permits: number) =>
 *   Argument.requireArgument(permits >= 1, "Bulkhead: permits must be at least 1", permits)
 *
 * String(Result.getOrThrow(Result.flip(Result.try(() => check(0)))))
 * // => "RangeError: Bulkhead: permits must be at least 1, not 0"
 * ```
 *
 * @category checks
 * @since 0.1.0
 */
export const requireArgument = (valid: boolean, rule: string, value: unknown): void => {
  if (!valid) {
    throw new RangeError(`${rule}, not ${Duration.isDuration(value) ? Duration.format(value) : String(value)}`)
  }
}
