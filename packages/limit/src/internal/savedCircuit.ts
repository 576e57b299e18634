import * as Field from "@effect-resilience/kernel/Field"
import type { SavedWindow } from "./tripRule.ts"

/**
 * The state of a circuit as data, which JSON can hold.
 *
 * - `state`: a circuit that probes or rejects in part begins that anew. What was set by hand is not saved: it counts as closed.
 * - `savedAt`: wall time, in milliseconds since 1970.
 * - `consecutiveOpenings`: openings without a stable time in between.
 * - `openMillis`: the latest open time; `restMillis`: what is left of it.
 * - `stableMillis`: how long the circuit has let all calls through since it closed; below 0 on the way there.
 * - `windows`: what the trip policies have counted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Saved {
  readonly state: "Closed" | "Open" | "HalfOpen"
  readonly savedAt: number
  readonly consecutiveOpenings: number
  readonly openMillis: number
  readonly restMillis: number
  readonly stableMillis: number
  readonly windows?: ReadonlyArray<SavedWindow> | undefined
}

const millis = /* @__PURE__ */ Field.number({ min: 0 })

const fields = {
  state: /* @__PURE__ */ Field.literals("Closed", "Open", "HalfOpen"),
  savedAt: /* @__PURE__ */ Field.number(),
  consecutiveOpenings: /* @__PURE__ */ Field.integer({ min: 0 }),
  openMillis: millis,
  restMillis: millis,
  stableMillis: /* @__PURE__ */ Field.number(),
  windows: /* @__PURE__ */ Field.optional(
    /* @__PURE__ */ Field.oneOrMore(
      /* @__PURE__ */ Field.record(/* @__PURE__ */ Field.oneOrMore(/* @__PURE__ */ Field.number({ min: 0 })))
    )
  )
} satisfies Field.Fields<Saved>

export const saved = /* @__PURE__ */ Field.struct(fields)
