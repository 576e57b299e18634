import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Arrivals } from "../internal/arrivals.ts"
import * as chance from "../internal/chance.ts"

interface Options {
  readonly clients: number
  readonly thinkTime: Duration.Input
}

const fields = {
  clients: /* @__PURE__ */ Field.integer({ min: 1 }),
  thinkTime: /* @__PURE__ */ Field.duration({ finite: true })
} satisfies Field.Fields<Options>

/**
 * A fixed number of clients. Each waits for its result, thinks for a time, and calls again.
 *
 * - `clients`: how many.
 * - `thinkTime`: the mean of the times between a result and the next call, which are exponential. A client without one waits for a
 *   millisecond where its call took no time, as one that a policy rejects does.
 */
export const closed: Field.Variant<"closed", Options, Arrivals> = /* @__PURE__ */ Field.variant(
  "Lab",
  "closed",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.struct(fields),
    ({ clients, thinkTime }): Arrivals => ({ call, random, time }) => {
      const meanMillis = Duration.toMillis(thinkTime)
      const arrive = () => {
        const began = time.nowMillis()
        call(() => {
          const millis = chance.exponential(meanMillis, random)
          // Otherwise the moment would never end.
          time.at(millis > 0 || time.nowMillis() > began ? millis : 1, arrive)
        })
      }
      for (let i = 0; i < clients; i++) time.at(random() * meanMillis, arrive)
    }
  )
)
