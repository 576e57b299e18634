import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Transport from "@effect-resilience/errors/Transport"
import * as Effect from "effect/Effect"
import * as PlatformError from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as UploadError from "../UploadError.ts"

/** Turns any failure of a source into an `UploadError`. */
export const unreadable = (source: string, error: unknown): UploadError.UploadError =>
  error instanceof UploadError.UploadError
    ? error
    : new UploadError.UploadError({ source, reason: new UploadError.SourceUnreadable(problemOf(error)) })

// The system has no more file descriptors, or another process locks a file for a moment.
const busyCodes: ReadonlySet<string> = /* @__PURE__ */ new Set(["EMFILE", "ENFILE", "EAGAIN", "EBUSY"])

const problemOf = (error: unknown): Pick<UploadError.SourceUnreadable, "problem" | "description"> => {
  const { code } = Transport.diagnose(error)
  if (code !== undefined && busyCodes.has(code)) {
    return { problem: "busy", description: `the system has no more file descriptors, or the file is in use (${code})` }
  }
  const tag = error instanceof PlatformError.PlatformError ? error.reason._tag : undefined
  switch (tag) {
    case "NotFound":
      return { problem: "missing", description: "it does not exist" }
    case "PermissionDenied":
      return { problem: "permission", description: "permission denied" }
    default: {
      return { problem: "failed", description: wordsOf(error) ?? "for an unknown reason" }
    }
  }
}

/** Opens a source, or a file of one. If the system has no room for that now, it retries for half a minute. */
export const whenFree = <A, E, R>(open: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  // Nearly all open at once, and make nothing of a retry.
  Effect.catchIf(open, isBusy, () => Effect.delay(Effect.retry(open, again), "100 millis"))

const again = { while: (error: unknown) => isBusy(error), schedule: Schedule.spaced("100 millis"), times: 300 }

const isBusy = (error: unknown): boolean => {
  const { code } = Transport.diagnose(error)
  return code === undefined ? Recovery.of(error)._tag === "Retry" : busyCodes.has(code)
}

// Some errors have no message, but their cause has one.
const wordsOf = (error: unknown, depth = 0): string | undefined => {
  if (!Predicate.isObject(error)) return typeof error === "string" && error.trim() !== "" ? error : undefined
  const message = Predicate.hasProperty(error, "message") ? error.message : undefined
  if (typeof message === "string" && message.trim() !== "") return message
  const inner = depth < 8 && Predicate.hasProperty(error, "cause") ? wordsOf(error.cause, depth + 1) : undefined
  return inner ?? (Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : undefined)
}
