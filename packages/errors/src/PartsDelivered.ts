/**
 * The error of a stream that failed after its consumer had got a part of it.
 *
 * **Why**
 *
 * Until its first element is delivered, a stream that fails can be opened again, and its consumer does not notice. After that a
 * repetition delivers the beginning twice: half a sentence, then the sentence; two orders where there was one. So it is an outcome of
 * its own, which no policy repeats, and only the consumer knows what its part is worth.
 *
 * **Example** (What a consumer can do)
 *
 * ```ts import.meta.vitest
 * import { PartsDelivered, Recovery } from "@effect-resilience/errors"
 * import { Effect, Stream } from "effect"
 *
 * const failure = "the connection broke"
 * const rows = Stream.concat(
 *   Stream.make("a", "b"),
 *   Stream.fail(new PartsDelivered.PartsDelivered({ failure, delivered: 2 }))
 * )
 *
 * const shown: Array<string> = []
 * const program = Stream.runForEach(rows, (row) => Effect.sync(() => shown.push(row))).pipe(
 *   Effect.catchTag("PartsDelivered", ({ delivered }) => Effect.sync(() => shown.push(`broken off after ${delivered}`)))
 * )
 * await Effect.runPromise(program)
 * shown // => ["a", "b", "broken off after 2"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Predicate from "effect/Predicate"
import * as Classifier from "./Classifier.ts"
import * as ForeignText from "./ForeignText.ts"
import * as Recovery from "./Recovery.ts"

/**
 * A stream failed after `delivered` of its elements had reached the consumer: bytes of a download, events of an event stream.
 * `failure` is what it failed with.
 *
 * Its recovery is to verify: look at what has come before you ask again. Where the failure itself is for a person, to correct
 * something or to grant a permission, it stays that.
 *
 * `ApiError` has a reason of this name, for the body of one response.
 *
 * @category errors
 * @since 0.1.0
 */
export class PartsDelivered<out E = unknown> extends ErrorMessage.TaggedError("PartsDelivered")<{
  readonly failure: unknown
  readonly delivered: number
}> {
  declare readonly failure: E;

  [Recovery.symbol](): Recovery.Recovery {
    const recovery = Classifier.classify(this.failure)
    return recovery._tag === "Correct" || recovery._tag === "Authorize" ? recovery : Recovery.verify
  }
  override get message(): string {
    const failure = Predicate.isError(this.failure) ? this.failure.message : "The stream failed."
    const delivered = this.delivered === 1
      ? "1 element had been delivered: continue after it, or drop it."
      : `${this.delivered} elements had been delivered: continue after them, or drop them.`
    return `${ForeignText.oneLine(failure)} ${delivered}`
  }
}
