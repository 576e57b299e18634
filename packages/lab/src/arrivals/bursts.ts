import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Arrivals } from "../internal/arrivals.ts"

interface Options {
  readonly calls: number
  readonly every: Duration.Input
  readonly from?: Duration.Input | undefined
}

const fields = {
  calls: /* @__PURE__ */ Field.integer({ min: 1 }),
  every: /* @__PURE__ */ Field.duration({ above: 0, finite: true }),
  from: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.duration({ finite: true }))
} satisfies Field.Fields<Options>

/**
 * Many calls at the same moment, again and again, such as jobs that a schedule starts at the full minute.
 *
 * - `calls`: how many begin at once.
 * - `every`: the time from one burst to the next.
 * - `from`: when the first one is; default after `every`.
 */
export const bursts: Field.Variant<"bursts", Options, Arrivals> = /* @__PURE__ */ Field.variant(
  "Lab",
  "bursts",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.struct(fields),
    ({ calls, every, from = every }): Arrivals => ({ call, time }) => {
      const millis = Duration.toMillis(every)
      const burst = () => {
        for (let i = 0; i < calls; i++) call(() => {})
        time.at(millis, burst)
      }
      time.at(Duration.toMillis(from), burst)
    }
  )
)
