import * as Field from "@effect-resilience/kernel/Field"
import * as Predicate from "effect/Predicate"
import * as jitters from "../jitter/index.ts"
import type * as delays from "./delays.ts"

/**
 * How chance changes a delay; the module documentation has the formulas. A number is short for `{ proportional: number }`.
 *
 * @category models
 * @since 0.1.0
 */
export type Jitter = Field.OneOf<typeof jitters> | number

/** The option `jitter` of a backoff. */
export const jitterField = (value: Jitter): Field.Field<Jitter | undefined, delays.Jitter> =>
  Field.withDefault(
    /* @__PURE__ */ Field.either(Predicate.isNumber, jitters.proportional, /* @__PURE__ */ Field.variants(jitters)),
    value
  )
