/**
 * Whether a policy ended an outage or prolonged it, as a test's assertion.
 *
 * **Why**
 *
 * What an outage does to a fleet is not seen in a review. A test that simulates it fails on the change of a description that turns a
 * short outage into a long one.
 *
 * **Details**
 *
 * A storm is either of: clients send more than `amplification` requests for each call while an outage lasts or in the time that
 * they have to recover, or calls do not succeed again within `recoverWithin` of its end. Each outage is judged alone.
 *
 * **Example** (Retries without a limit fail, the standard passes)
 *
 * ```ts import.meta.vitest
 * import { Lab, Verdict } from "@effect-resilience/lab"
 * import { Pipeline } from "@effect-resilience/pipeline"
 *
 * const run = (policy: Pipeline.Description) =>
 *   Lab.simulate({
 *     duration: "90 seconds",
 *     arrivals: { open: { perSecond: 140 } },
 *     server: { workers: 20, serviceTime: { exponential: "100 millis" } },
 *     outages: { from: "20 seconds", for: "10 seconds", fault: "down" },
 *     policy: { ...policy, attemptTimeout: "1 second" }
 *   })
 * const limits = { amplification: 1.2, recoverWithin: "30 seconds" } as const
 *
 * Verdict.expectNoStorm(run({ ...Pipeline.standard, name: "ledger" }), limits)
 *
 * const verdict = Verdict.judge(run({ name: "ledger", retry: { times: 3 } }), limits)
 * verdict.passes // => false
 * verdict.problems.at(-1) // => "calls do not succeed again before the simulation ends, 60 s after the outage of 20 to 30 s"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { ClientResult, Counts, LabResult } from "./LabResult.ts"
import * as Result from "./LabResult.ts"

/**
 * What is expected.
 *
 * @category models
 * @since 0.1.0
 */
export interface Expectation {
  /** The most requests for each call, while an outage lasts and while clients may recover; default 1.2. */
  readonly amplification?: number | undefined
  /**
   * How long after an outage calls succeed again at the latest; default 30 seconds. The simulation must last 10 seconds longer,
   * so that one can see it.
   */
  readonly recoverWithin?: Duration.Input | undefined
  /** The share of the calls that must succeed then, for 10 seconds; default 0.95. */
  readonly goodput?: number | undefined
}

/**
 * The expectation as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  amplification: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1 }), 1.2),
  recoverWithin: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ finite: true }), "30 seconds"),
  goodput: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ above: 0, max: 1 }), 0.95)
} satisfies Field.Fields<Expectation>

/**
 * What came of one outage.
 *
 * - `during`, `after`: what was counted while it lasted, and from its end to the end of the simulation.
 *
 * @category models
 * @since 0.1.0
 */
export interface OutageVerdict {
  /** When it began, in milliseconds from the start. */
  readonly fromMillis: number
  /** When it ended, in milliseconds from the start. */
  readonly toMillis: number
  readonly during: Counts
  readonly after: Counts
  /** Requests for each call, the worse of while it lasted and of the time to recover. */
  readonly amplification: number
  /** How long after its end calls succeeded again; `undefined` where they did not. */
  readonly recoveredMillis: number | undefined
}

/**
 * A verdict, with a sentence for each problem.
 *
 * @category models
 * @since 0.1.0
 */
export interface Verdict {
  /** Whether everything was as expected. */
  readonly passes: boolean
  /** A sentence for each thing that was not; empty if it passes. */
  readonly problems: ReadonlyArray<string>
  /** One for each outage, in their order. */
  readonly outages: ReadonlyArray<OutageVerdict>
}

/**
 * Judges a result. Without an outage the whole run is judged by its amplification.
 *
 * @category judging
 * @since 0.1.0
 */
export const judge = (result: LabResult, expectation: Expectation = {}): Verdict => {
  const settings = Field.read("Verdict", fields, expectation)
  const within = Duration.toMillis(settings.recoverWithin)
  const end = 1000 * result.seconds.length
  const { amplification, goodput } = settings
  const problems: Array<string> = []
  const tooMuch = (seen: number, when: string) => {
    if (seen > amplification) {
      problems.push(`clients send ${seen.toFixed(2)} requests for each call ${when}, more than ${amplification}`)
    }
  }
  if (result.outages.length === 0) tooMuch(Result.amplification(result), "in all")
  const outages = result.outages.map(({ fromMillis, toMillis }): OutageVerdict => {
    const until = Math.min(end, toMillis + within)
    const outage = `the outage of ${seconds(fromMillis)} to ${seconds(toMillis)} s`
    const during = atMost(result, fromMillis, Math.min(end, toMillis))
    const after = atMost(result, toMillis, until)
    tooMuch(during, `in ${outage}`)
    tooMuch(after, `in the ${seconds(until - toMillis)} s after ${outage}`)
    const recovered = Result.recovery(result, { from: toMillis, goodput })
    const recoveredMillis = recovered && Duration.toMillis(recovered)
    if (recoveredMillis === undefined) {
      problems.push(
        `calls do not succeed again before the simulation ends, ${
          seconds(Math.max(0, end - toMillis))
        } s after ${outage}`
      )
    } else if (recoveredMillis > within) {
      problems.push(
        `calls succeed again ${seconds(recoveredMillis)} s after ${outage}, later than ${seconds(within)} s`
      )
    }
    return {
      fromMillis,
      toMillis,
      during: Result.between(result, fromMillis, toMillis),
      after: Result.between(result, toMillis, end),
      amplification: Math.max(during, after),
      recoveredMillis
    }
  })
  return { passes: problems.length === 0, problems, outages }
}

const atMost = (result: ClientResult, from: number, to: number) =>
  to > from ? Result.amplification(result, from, to) : 0

const seconds = (millis: number): string => String(Math.round(millis / 100) / 10)

/**
 * The storm that was not expected. `message` has all problems.
 *
 * - `verdict`: what was found.
 * - `what`: what was simulated, for the message; absent if it has no name.
 *
 * @category errors
 * @since 0.1.0
 */
export class Storm
  extends ErrorMessage.TaggedError("Storm")<{ readonly verdict: Verdict; readonly what?: string | undefined }>
{
  override get message(): string {
    const { verdict, what } = this
    return [`${what === undefined ? "A" : `${what}: a`} storm`, ...verdict.problems.map((problem) => `- ${problem}`)]
      .join("\n")
  }
}

/**
 * Throws `Storm` where the result is not as expected. `what` begins the message.
 *
 * @category asserting
 * @since 0.1.0
 */
export const expectNoStorm = (result: LabResult, expectation: Expectation = {}, what?: string): void => {
  const verdict = judge(result, expectation)
  if (!verdict.passes) throw new Storm({ verdict, what })
}
