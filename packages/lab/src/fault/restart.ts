import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Fault } from "../internal/server.ts"

interface Options {
  readonly cold?: number | undefined
  readonly warmUp?: Duration.Input | undefined
}

const fields = {
  cold: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1 }), 3),
  warmUp: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ above: 0, finite: true }), "30 seconds")
} satisfies Field.Fields<Options>

/**
 * The server restarts: what it has in hand is lost, new requests wait until it is back, and then its cache is cold.
 *
 * - `cold`: how many times as long a service takes at first; default 3.
 * - `warmUp`: after how long services take no longer than before; default 30 seconds.
 */
export const restart: Field.Variant<"restart", Options | undefined, Fault> = /* @__PURE__ */ Field.variant(
  "Lab",
  "restart",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
    ({ cold, warmUp }): Fault => ({
      change: (state) => ({ ...state, workers: 0 }),
      loses: true,
      cold: { factor: cold, millis: Duration.toMillis(warmUp) }
    })
  )
)
