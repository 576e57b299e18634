import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"

/**
 * An address that credentials must not be sent to. It does not repeat the address, which may hold a secret.
 *
 * - `problem`: what is wrong with the address.
 *
 * @category errors
 * @since 0.1.0
 */
export class OriginError extends ErrorMessage.TaggedError("OriginError")<{ readonly problem: string }> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return `Not an address for credentials: ${this.problem}.`
  }
}
