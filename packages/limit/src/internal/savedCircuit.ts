import * as Field from "@effect-resilience/kernel/Field"
import type { SavedWindow } from "./tripRule.ts"

/**
 * The state of a circuit as data, which JSON can hold.
 *
 * @category models
 * @since 0.1.0
 */
export interface Saved {
  /** A circuit that probes or rejects in part begins that anew. What was set by hand is not saved: it counts as closed. */
  readonly state: "Closed" | "Open" | "HalfOpen"
  /** Wall time, in milliseconds since 1970. */
  readonly savedAt: number
  /** Openings without a stable time in between. */
  readonly consecutiveOpenings: number
  /** The latest open time, in milliseconds. */
  readonly openMillis: number
  /** What is left of the open time, in milliseconds. */
  readonly restMillis: number
  /** How long the circuit has let all calls through since it closed, in milliseconds; below 0 on the way there. */
  readonly stableMillis: number
  /** What the trip policies have counted. */
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
