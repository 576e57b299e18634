import * as Field from "@effect-resilience/kernel/Field"
import type { Measure } from "../internal/endpoints/measure.ts"

interface Options {}

const fields = {} satisfies Field.Fields<Options>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (): Measure => ({ load: (_, inFlight) => inFlight, record: undefined })
)

/**
 * The load of an address is how many attempts it has in flight.
 *
 * @category loads
 * @since 0.1.0
 */
export const inFlight: Field.Variant<"inFlight", Options | undefined, Measure> = /* @__PURE__ */ Field.variant(
  "Endpoints",
  "inFlight",
  field
)
