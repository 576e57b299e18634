import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Draw } from "../internal/delays.ts"
import { millisOf } from "../internal/delays.ts"

/**
 * What a function of one's own may decide from.
 *
 * - `retry`: 1 before the first retry.
 * - `previous`: what the function gave before; zero at first.
 * - `random`: draws from 0 (inclusive) to 1 (exclusive), from Effect's `Random`.
 * - `error`: what failed; `undefined` where nothing did, in a preview and in a breaker.
 *
 * @category models
 * @since 0.1.0
 */
export interface Step {
  readonly retry: number
  readonly previous: Duration.Duration
  readonly random: () => number
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
