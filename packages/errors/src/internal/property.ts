import * as Predicate from "effect/Predicate"

/** A property of whatever was thrown; `undefined` where it has none. */
export const property = (value: unknown, name: string): unknown =>
  Predicate.hasProperty(value, name) ? value[name] : undefined
