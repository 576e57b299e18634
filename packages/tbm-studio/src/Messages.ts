/**
 * What TBM Studio's error messages mean, and how to fix what they report.
 *
 * Source: the how-to "Handle API Errors".
 *
 * @stability stable
 * @since 0.1.0
 */
import type { MessagePattern } from "@effect-resilience/errors"
import { Recovery } from "@effect-resilience/errors"

/**
 * The table to give to `ErrorMapping.mapErrors`.
 *
 * **Example** (A bad period)
 *
 * ```ts import.meta.vitest
 * import { MessagePattern } from "@effect-resilience/errors"
 * import { Messages } from "@effect-resilience/tbm-studio"
 *
 * const text = "Poorly formatted date string: 'SOMEDATE:2010'. Ought to be of the form 'granularity':'year'."
 * MessagePattern.match(Messages.patterns, text)?.means // => "the time period is invalid"
 * ```
 *
 * @category constants
 * @since 0.1.0
 */
export const patterns: ReadonlyArray<MessagePattern.MessagePattern> = [
  {
    pattern: "Poorly formatted date string",
    means: "the time period is invalid",
    remedy: "Use Month:Year, for example January:2024.",
    recovery: Recovery.correct
  },
  {
    pattern: /user\s.*does not exist/i,
    means: "the user name is unknown",
    remedy: "Check the user name.",
    recovery: Recovery.correct
  },
  {
    pattern: "Access denied",
    means: "a permission is missing",
    remedy: "Check the permission sets: an upload needs AccessDev, UploadData and the Upload Data permission.",
    recovery: Recovery.authorize
  },
  {
    pattern: "Table not found",
    means: "there is no such table",
    remedy: "Check the spelling of the table, and the project.",
    recovery: Recovery.correct
  }
]
