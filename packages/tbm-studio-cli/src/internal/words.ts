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

/** Why the operating system rejected something: `permission denied` for `PermissionDenied`. */
export const ofSystem = (
  reason: { readonly _tag: string; readonly description?: string | undefined; readonly message?: string | undefined }
): string => systemReasons[reason._tag] ?? reason.description ?? reason.message ?? reason._tag

const systemReasons: { readonly [tag: string]: string | undefined } = {
  AlreadyExists: "something else has that name",
  BadResource: "it is a folder, or is in none",
  Busy: "another program is using it",
  NotFound: "there is no such file or folder",
  PermissionDenied: "permission denied"
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
    case "OutcomeUnknown":
      return Predicate.hasProperty(inner, "failure")
        ? `${happened(inner.failure)} The rows may have been stored: look at the table before you send them again.`
        : ErrorMessage.textOf(error)
    case "Timeout":
      return `${happened(inner)} Check the network, or run the command again later.`
    default: {
      const text = ErrorName.tagOf(error) === "ApiError" && inner !== error
        ? sentence(inner)
        : ErrorMessage.textOf(error)
      const advice = advices[ErrorName.tagOf(inner) ?? ""]
      return advice === undefined ? text : `${text}${/[.!?]$/.test(text) ? "" : "."} ${advice}`
    }
  }
}

/** What helps, where only this command knows. */
const advices: { readonly [tag: string]: string | undefined } = {
  AmbiguousToken: "Check TBM_FRONTDOOR_URL, and whether a proxy responds in its place.",
  ForeignOrigin: "Check TBM_API_URL, and whether a proxy responds in its place.",
  NoToken: "Check TBM_FRONTDOOR_URL, and whether a proxy responds in its place.",
  SessionStoreFailed: "Check the directory of --sessions, then run it again."
}

const sentence = (reason: unknown): string => {
  const predicate = ErrorMessage.textOf(reason)
  return `${predicate.startsWith("returned ") ? "The service" : "The request"} ${predicate}`
}

// The advice for programs, such as another time limit, is not for people.
const happened = (reason: unknown): string =>
  ErrorName.tagOf(reason) === "Timeout" ? sentence(reason).replace(/\. .*$/, ".") : sentence(reason)

const later = (error: unknown): string =>
  Predicate.hasProperty(error, "retryAfter") && Duration.isDuration(error.retryAfter) &&
    Duration.toMillis(error.retryAfter) > 0
    ? `Run the command again in ${units.duration(error.retryAfter)}.`
    : "Run the command again later."
