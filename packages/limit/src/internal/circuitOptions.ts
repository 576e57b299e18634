import * as Field from "@effect-resilience/kernel/Field"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as Duration from "effect/Duration"
import * as Outcome from "../Outcome.ts"
import * as tripRules from "../tripRule/index.ts"
import type { Settings } from "./circuit.ts"
import type { Opening } from "./circuitState.ts"
import * as ramp from "./ramp.ts"

/**
 * When a closed circuit opens, as `consecutive`, `rate`, `rateWithin` and `slow` write it, or which share of the calls it
 * rejects, as `proportional` does.
 *
 * @category models
 * @since 0.1.0
 */
export type TripPolicy = Field.OneOf<typeof tripRules>

/**
 * How to make a circuit breaker.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name in errors, logs and metrics; default `"default"`. */
  readonly name?: string | undefined
  /** One or more; the first that is met opens the circuit. Default: half of the last 100 calls failed. */
  readonly tripPolicy?: TripPolicy | ReadonlyArray<TripPolicy> | undefined
  /**
   * How long the circuit stays open, growing with each opening in a row where it is a backoff; default 5 seconds, doubling,
   * with 20 % jitter, at most 1 minute.
   */
  readonly openDuration?: Duration.Input | Backoff.Options | undefined
  /**
   * The open time by what opened the circuit; where it gives `undefined`, `openDuration` and the server's `retryAfter` decide.
   * A function; JSON names it.
   */
  readonly openDurationOf?: ((opening: Opening) => Duration.Input | undefined) | undefined
  /** Caps the open time, whatever a function or a server's `retryAfter` says; default 1 hour. */
  readonly maxOpenDuration?: Duration.Input | undefined
  /** How many calls test an open circuit, at most so many at once; default 1. */
  readonly probes?: number | undefined
  /**
   * The share of failed probes, from 0 to 1, that opens it again; otherwise it closes. Either happens as soon as the other
   * probes cannot change it. Default 0: one that fails is enough. With 0.5 and 10 probes it is resilience4j's rule.
   */
  readonly probeThreshold?: number | undefined
  /**
   * A probe that runs longer loses its place, so that one that never ends cannot keep the circuit half-open for ever; default 1
   * minute.
   */
  readonly probeLease?: Duration.Input | undefined
  /** After it has closed, lets through a share of the calls that grows. Default: none, all calls pass at once. */
  readonly ramp?: ramp.Ramp | undefined
  /** `"metricsOnly"` counts and rejects nothing, `"forcedClosed"` does not even count; default `"automatic"`. */
  readonly mode?: "automatic" | "metricsOnly" | "forcedClosed" | undefined
  /** What an exit says about the dependency; default `Outcome.of`. It is not asked about interruptions, which are ignored. */
  readonly classify?: Outcome.Classify | undefined
}

/**
 * The options as data.
 *
 * @category fields
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
export const fields = {
  name: Field.name,
  tripPolicy: /* @__PURE__ */ Field.withDefault(
    /* @__PURE__ */ Field.oneOrMore(/* @__PURE__ */ Field.variants(tripRules)),
    { rate: {} }
  ),
  openDuration: /* @__PURE__ */ Field.withDefault(
    /* @__PURE__ */ Field.either(
      Backoff.isOptions,
      Backoff.field,
      /* @__PURE__ */ Field.map(
        /* @__PURE__ */ Field.duration(),
        (duration, path) => Backoff.field.read(Backoff.constant(duration), path)
      )
    ),
    { base: "5 seconds", cap: "1 minute", jitter: 0.2 }
  ),
  openDurationOf: /* @__PURE__ */ Field.optional(
    /* @__PURE__ */ Field.fn<(opening: Opening) => Duration.Input | undefined>()
  ),
  maxOpenDuration: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "1 hour"),
  probes: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1 }), 1),
  probeThreshold: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 1 }), 0),
  probeLease: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ min: 1 }), "1 minute"),
  ramp: /* @__PURE__ */ Field.optional(ramp.field),
  mode: /* @__PURE__ */ Field.withDefault(
    /* @__PURE__ */ Field.literals("automatic", "metricsOnly", "forcedClosed"),
    "automatic"
  ),
  classify: Outcome.field
} satisfies Field.Fields<Options>

const modes = { automatic: "Closed", metricsOnly: "MetricsOnly", forcedClosed: "ForcedClosed" } as const

export const settingsOf = (settings: Field.Settings<typeof fields>): Settings => {
  const { maxOpenDuration, mode, probeLease, tripPolicy } = settings
  return {
    ...settings,
    mode: modes[mode],
    timed: tripPolicy.some(({ timed }) => timed),
    ignoresFirstSuccesses: tripPolicy.every(({ ignoresFirstSuccesses }) => ignoresFirstSuccesses),
    slowMillis: Math.min(...tripPolicy.map(({ slowMillis }) => slowMillis)),
    maxOpenMillis: Duration.toMillis(maxOpenDuration),
    probeLeaseMillis: Duration.toMillis(probeLease)
  }
}
