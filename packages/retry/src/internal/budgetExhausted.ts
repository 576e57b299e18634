import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"

/**
 * The budget rejected an extra attempt.
 *
 * @category errors
 * @since 0.1.0
 */
export class BudgetExhausted extends ErrorMessage.TaggedError("BudgetExhausted")<{
  /** The name of the budget. */
  readonly budget: string
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.giveUp
  }
  override get message(): string {
    return `The budget "${this.budget}" rejects another attempt.`
  }
}
