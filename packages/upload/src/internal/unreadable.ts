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
      const description = Predicate.hasProperty(error, "message") && typeof error.message === "string"
        ? error.message
        : String(error)
      return { problem: "failed", description }
    }
  }
}
