import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"

/** A duration as it is given, or as `JSON.parse` returns one that `JSON.stringify` wrote. */
export const duration = (input: Duration.Input): Duration.Duration => {
  if (!Predicate.hasProperty(input, "_id") || Duration.isDuration(input)) return Duration.fromInputUnsafe(input)
  if (Predicate.hasProperty(input, "millis")) return Duration.millis(Number(input.millis))
  if (Predicate.hasProperty(input, "nanos")) return Duration.nanos(BigInt(String(input.nanos)))
  return Predicate.hasProperty(input, "_tag") && input._tag === "Infinity"
    ? Duration.infinity
    : Duration.negativeInfinity
}
