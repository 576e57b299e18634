import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Latency, Measure } from "../internal/endpoints/measure.ts"

interface Options {
  readonly decay?: Duration.Input | undefined
}

const fields = {
  decay: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ above: 0, finite: true }), "10 seconds")
} satisfies Field.Fields<Options>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  ({ decay }): Measure => {
    const decayMillis = Duration.toMillis(decay)
    return {
      load: (latency, inFlight, now) => {
        const estimate = decayed(latency, 0, now, decayMillis)
        // One attempt tells how quick a new address is; until it has ended, the others are better known.
        if (estimate === undefined) return inFlight === 0 ? 0 : Infinity
        return estimate * (1 + inFlight)
      },
      record: (latency, took, outcome, now) => {
        const known = latency.estimateMillis
        if (outcome === "Success") {
          latency.estimateMillis = known === undefined || took > known ? took : decayed(latency, took, now, decayMillis)
        } else if (outcome === "Failure") {
          // A quick failure must not attract calls.
          latency.estimateMillis = Math.max(took, known ?? initialMillis)
        } else if (known === undefined || took > known) {
          // It would have taken longer than until it was interrupted.
          latency.estimateMillis = took
        } else return
        latency.estimatedAt = now
      }
    }
  }
)

/** What is believed of an address whose first attempt failed; tower's default. */
const initialMillis = 1000

/** The estimate on its way to `towards`. */
const decayed = (
  { estimateMillis, estimatedAt }: Latency,
  towards: number,
  now: number,
  decayMillis: number
): number | undefined =>
  estimateMillis === undefined
    ? undefined
    : towards + (estimateMillis - towards) * Math.exp(-Math.max(0, now - estimatedAt) / decayMillis)

/**
 * The load of an address is its latency times its attempts in flight, one more included. The latency is an exponential mean
 * that jumps to each slower attempt at once and comes down slowly: towards the quicker ones, and to zero where there are none.
 * After Finagle's `PeakEwma`. It suits calls that take about the same time; where they differ, it learns which address had
 * the long ones.
 *
 * - `decay`: the time after which a third of an old latency is left; default 10 seconds, as in Finagle and Linkerd.
 *
 * A failure makes it no lower: an address that fails quickly is not a quick one.
 *
 * @category loads
 * @since 0.1.0
 */
export const peakEwma: Field.Variant<"peakEwma", Options | undefined, Measure> = /* @__PURE__ */ Field.variant(
  "Endpoints",
  "peakEwma",
  field
)
