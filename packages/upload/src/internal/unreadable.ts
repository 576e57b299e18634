import * as PlatformError from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import * as UploadError from "../UploadError.ts"

/** The failure that stands for whatever a source failed with. */
export const unreadable = (source: string, error: unknown): UploadError.UploadError =>
  error instanceof UploadError.UploadError
    ? error
    : new UploadError.UploadError({ source, reason: new UploadError.SourceUnreadable(problemOf(error)) })

const problemOf = (error: unknown): Pick<UploadError.SourceUnreadable, "problem" | "description"> => {
  const tag = error instanceof PlatformError.PlatformError ? error.reason._tag : undefined
  switch (tag) {
    case "NotFound":
      return { problem: "missing", description: "it does not exist" }
    case "PermissionDenied":
      return { problem: "permission", description: "permission denied" }
    default: {
      return { problem: "failed", description: wordsOf(error) ?? "for a reason that it does not tell" }
    }
  }
}

// Some errors say nothing themselves, but in their cause.
const wordsOf = (error: unknown, depth = 0): string | undefined => {
  if (!Predicate.isObject(error)) return typeof error === "string" && error.trim() !== "" ? error : undefined
  const message = Predicate.hasProperty(error, "message") ? error.message : undefined
  if (typeof message === "string" && message.trim() !== "") return message
  const inner = depth < 8 && Predicate.hasProperty(error, "cause") ? wordsOf(error.cause, depth + 1) : undefined
  return inner ?? (Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : undefined)
}
