import * as Field from "@effect-resilience/kernel/Field"
import * as Predicate from "effect/Predicate"
import type * as jitter from "../jitter/index.ts"
import { decorrelated, equal, full, none, polly, proportional } from "../jitter/index.ts"
import type * as delays from "./delays.ts"

// Bundlers keep a getter for each export of a namespace that is a value.
const jitters: typeof jitter = { decorrelated, equal, full, none, polly, proportional }

/**
 * How chance changes a delay; the module documentation has the formulas. A number is short for `{ proportional: number }`.
 *
 * @category models
 * @since 0.1.0
 */
export type Jitter = Field.OneOf<typeof jitter> | number

/** The option `jitter` of a backoff. */
export const jitterField = (value: Jitter): Field.Field<Jitter | undefined, delays.Jitter> =>
  Field.withDefault(
    /* @__PURE__ */ Field.either(Predicate.isNumber, proportional, /* @__PURE__ */ Field.variants(jitters)),
    value
  )
