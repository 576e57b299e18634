import * as Field from "@effect-resilience/kernel/Field"
import type { Arrivals } from "../internal/arrivals.ts"
import * as chance from "../internal/chance.ts"

interface Options {
  readonly perSecond: number
}

const fields = { perSecond: /* @__PURE__ */ Field.number({ above: 0 }) } satisfies Field.Fields<Options>

/**
 * A Poisson process. Calls begin independently of how earlier ones end, as those of many users do.
 *
 * - `perSecond`: how many calls begin in a second on average.
 */
export const open: Field.Variant<"open", Options, Arrivals> = /* @__PURE__ */ Field.variant(
  "Lab",
  "open",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.struct(fields),
    ({ perSecond }): Arrivals => ({ call, random, time }) => {
      const arrive = () => {
        call(() => {})
        next()
      }
      const next = () => time.at(chance.exponential(1000 / perSecond, random), arrive)
      next()
    }
  )
)
