import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Arrivals } from "../internal/arrivals.ts"

/** Calls begin at these times after the beginning, as an access log has them. */
export const recorded: Field.Variant<"recorded", ReadonlyArray<Duration.Input> | Duration.Input, Arrivals> =
  /* @__PURE__ */ Field.variant(
    "Lab",
    "recorded",
    /* @__PURE__ */ Field.map(
      /* @__PURE__ */ Field.oneOrMore(/* @__PURE__ */ Field.duration({ finite: true })),
      (read): Arrivals => {
        const times = read.map(Duration.toMillis).sort((a, b) => a - b)
        return ({ call, time }) => {
          let next = 0
          // One event at a time: a recording may have millions.
          const arrive = () => {
            call(() => {})
            follow()
          }
          const follow = () => {
            const at = times[next++]
            if (at !== undefined) time.at(at - time.nowMillis(), arrive)
          }
          follow()
        }
      }
    )
  )
