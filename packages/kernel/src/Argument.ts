/**
 * Checks the constants that a program passes to a constructor.
 *
 * @stability stable
 * @since 0.1.0
 */
/**
 * Throws a `RangeError` unless an argument is sensible. The error names the argument, what it must be, and what it is.
 *
 * **Example** (An argument that makes no sense)
 *
 * ```ts import.meta.vitest
 * import { Argument } from "@effect-resilience/kernel"
 * import { Result } from "effect"
 *
 * const check = (permits: number) =>
 *   Argument.requireArgument(permits >= 1, "Bulkhead.permits", "at least 1", permits)
 *
 * String(Result.getOrThrow(Result.flip(Result.try(() => check(0)))))
 * // => "RangeError: Bulkhead.permits must be at least 1, not 0"
 * ```
 *
 * @category checks
 * @since 0.1.0
 */
export const requireArgument = (sensible: boolean, path: string, rule: string, value: unknown): void => {
  if (!sensible) throw new RangeError(`${path} must be ${rule}, not ${value}`)
}
