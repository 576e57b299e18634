/** What went wrong, in words for people who do not know how the command works inside. `--json` keeps the names. */
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as units from "./units.ts"

/** Why an attempt failed: `503 service unavailable` for `503 ServiceUnavailable`, `connection lost` for `TransportFailure`. */
export const cause = (name: string): string => {
  const [, status = "", tag = ""] = /^(\d{3} )?(.*)$/.exec(name) ?? []
  return status + (causes[tag] ?? tag.replace(/(?<=[a-z])[A-Z]/g, " $&").toLowerCase())
}

const causes: { readonly [tag: string]: string | undefined } = {
  AttemptTimedOut: "no response in time",
  BudgetExhausted: "too many failed attempts",
  CircuitOpen: "service unavailable",
  DeadlineExceeded: "no response in time",
  failure: "other failure",
  IntegrityMismatch: "stored bytes differ",
  RateLimited: "too many requests",
  TimedOut: "no response in time",
  TransportFailure: "connection lost",
  Unauthorized: "login expired"
}

/** What an error says about an upload. `unavailableMillis` is for how long the service had not accepted anything. */
export const explain = (error: unknown, unavailableMillis?: number): string => {
  const inner = Predicate.hasProperty(error, "reason") && Predicate.hasProperty(error.reason, "message")
    ? error.reason
    : error
  switch (ErrorName.tagOf(inner)) {
    case "CircuitOpen": {
      const period = unavailableMillis === undefined ? "" : ` for ${units.duration(unavailableMillis)}`
      return `The service was unavailable${period}, so this was not sent. ${later(inner)}`
    }
    case "BudgetExhausted":
      return "Too many attempts had failed, so it was not tried again. Run the command again later."
    default:
      return ErrorName.tagOf(error) === "ApiError" && inner !== error
        ? `The service ${ErrorMessage.textOf(inner)}`
        : ErrorMessage.textOf(error)
  }
}

const later = (error: unknown): string =>
  Predicate.hasProperty(error, "retryAfter") && Duration.isDuration(error.retryAfter) &&
    Duration.toMillis(error.retryAfter) > 0
    ? `Run the command again in ${units.duration(error.retryAfter)}.`
    : "Run the command again later."
