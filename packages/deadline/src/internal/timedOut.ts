import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Duration from "effect/Duration"

/**
 * An effect did not finish within `timeout`. A retry can help; only the caller knows whether it is safe.
 *
 * @category errors
 * @since 0.1.0
 */
export class TimedOut extends ErrorMessage.TaggedError("TimedOut")<{
  readonly timeout: Duration.Duration
  /** True where the call must not be made twice (`Repetition.Current`), but may have been applied. */
  readonly outcomeUnknown?: true | undefined
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return this.outcomeUnknown === true ? Recovery.verify : Recovery.retry
  }
  override get message(): string {
    const late = `did not finish within ${Duration.format(this.timeout)}`
    return this.outcomeUnknown === true ? `${late}. It may have been applied: check before repeating it.` : late
  }
}
