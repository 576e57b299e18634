import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Draw } from "../internal/delays.ts"
import { millisOf } from "../internal/delays.ts"

/**
 * What a function of one's own may decide from.
 *
 * @category models
 * @since 0.1.0
 */
export interface Step {
  /** 1 before the first retry. */
  readonly retry: number
  /** What the function gave before; zero at first. */
  readonly previous: Duration.Duration
  /** Draws from 0 (inclusive) to 1 (exclusive), from Effect's `Random`. */
  readonly random: () => number
  /** What failed; `undefined` where nothing did, in a preview and in a breaker. */
  readonly error: unknown
}

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.fn<(step: Step) => Duration.Input>(),
  (delay): Draw => (position, random, error) => {
    const { previous, retries } = position
    const input = delay({ retry: retries + 1, previous: Duration.millis(previous), random, error })
    return position.previous = millisOf(Duration.fromInputUnsafe(input))
  }
)

/**
 * Delays by a function. JSON names it, and a table of functions has it.
 *
 * A server's own time needs no function: an error carries it in its `Recovery`, and a retry waits for it.
 *
 * @category delays
 * @since 0.1.0
 */
export const custom: Field.Variant<"custom", (step: Step) => Duration.Input, Draw> = /* @__PURE__ */ Field.variant(
  "Backoff",
  "custom",
  field
)
