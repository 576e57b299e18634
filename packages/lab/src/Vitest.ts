/**
 * The verdicts as matchers of vitest.
 *
 * **Example** (A test)
 *
 * ```ts import.meta.vitest
 * import { Lab } from "@effect-resilience/lab"
 * import { matchers } from "@effect-resilience/lab/Vitest"
 * import { expect } from "vitest"
 *
 * expect.extend(matchers)
 *
 * const result = Lab.simulate({
 *   duration: "1 minute",
 *   arrivals: { open: { perSecond: 10 } },
 *   server: { workers: 2, serviceTime: { constant: "10 millis" } },
 *   outages: { from: "10 seconds", for: "5 seconds", fault: "down" },
 *   policy: { name: "ledger", attemptTimeout: "1 second" }
 * })
 * expect(result).toHaveNoStorm({ amplification: 1.2, recoverWithin: "30 seconds" })
 * result.outages.length // => 1
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type { MatchersObject } from "vitest"
import type { LabResult } from "./LabResult.ts"
import * as Verdict from "./Verdict.ts"

/**
 * For `expect.extend`. `toHaveNoStorm` is `Verdict.judge`.
 *
 * @category matchers
 * @since 0.1.0
 */
export const matchers: MatchersObject = {
  toHaveNoStorm: (received: LabResult, expectation?: Verdict.Expectation) => {
    const verdict = Verdict.judge(received, expectation)
    return {
      pass: verdict.passes,
      message: () =>
        verdict.passes ? "The result was to have a storm, and has none" : new Verdict.Storm({ verdict }).message
    }
  }
}

declare module "vitest" {
  // oxlint-disable-next-line no-unused-vars -- the declaration that it extends has it
  interface Matchers<R extends void | Promise<void> = void | Promise<void>, T = unknown> {
    /** Judges a `LabResult` as `Verdict.judge` does. */
    toHaveNoStorm: (expectation?: Verdict.Expectation) => R
  }
}
