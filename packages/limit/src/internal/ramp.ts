import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"

/**
 * How the share of calls that pass grows after a circuit has closed: `max(from, (elapsed / over) ^ (1 / aggression))`, as
 * in the slow start of Envoy and the warm-up of Istio.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ramp {
  /** How long it takes to let all calls through. */
  readonly over: Duration.Input
  /** The share at the beginning, from 0 to 1; default 0.1, that of both. */
  readonly from?: number | undefined
  /** 1 is linear, more is quicker at the beginning; default 1, that of both. */
  readonly aggression?: number | undefined
}

const fields = {
  over: /* @__PURE__ */ Field.duration({ above: 0, finite: true }),
  from: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ above: 0, max: 1 }), 0.1),
  aggression: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ above: 0 }), 1)
} satisfies Field.Fields<Ramp>

export interface RampSettings {
  readonly millis: number
  /** The share to reject so long before all calls pass. */
  readonly share: (leftMillis: number) => number
}

export const field: Field.Field<Ramp, RampSettings> = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.struct(fields),
  ({ aggression, from, over }) => {
    const millis = Duration.toMillis(over)
    const gone = (leftMillis: number) => Math.min(1, Math.max(0, 1 - leftMillis / millis))
    return { millis, share: (leftMillis) => 1 - Math.max(from, gone(leftMillis) ** (1 / aggression)) }
  }
)
