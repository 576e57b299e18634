/**
 * The exit status of the commands, after `sysexits.h`.
 *
 * | status | meaning | what a script may do |
 * | --- | --- | --- |
 * | 0 | done | continue |
 * | 1 | `status`: uploads have failed | look why, then run the batch again |
 * | 64 | wrong usage or configuration | fix the call |
 * | 65 | the API rejected the request, or stored something else | fix the request |
 * | 66 | input cannot be read | fix the file |
 * | 69 | unavailable, also after retries | try again later |
 * | 70 | a bug | report it |
 * | 74 | a journal, another file, or standard output cannot be written | make room, then run it again |
 * | 75 | outcome unknown, or an append arrived damaged | look whether it was applied, then decide |
 * | 77 | credentials or permission | get them |
 * | 130 | interrupted, or out of time | run it again |
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"

/**
 * 0: done.
 *
 * @category constants
 * @since 0.1.0
 */
export const done = 0
/**
 * 1: `status` found uploads that have failed. Look why, then run the batch again.
 *
 * @category constants
 * @since 0.1.0
 */
export const uploadsFailed = 1
/**
 * 64: wrong usage or configuration. Nothing was sent; fix the call.
 *
 * @category constants
 * @since 0.1.0
 */
export const usage = 64
/**
 * 65: the API rejected the request, or stored something else. Fix the request.
 *
 * @category constants
 * @since 0.1.0
 */
export const rejected = 65
/**
 * 66: input cannot be read, or is not valid. Fix the file.
 *
 * @category constants
 * @since 0.1.0
 */
export const noInput = 66
/**
 * 69: a server is unavailable, also after retries. Try again later.
 *
 * @category constants
 * @since 0.1.0
 */
export const unavailable = 69
/**
 * 70: a bug. Report it.
 *
 * @category constants
 * @since 0.1.0
 */
export const bug = 70
/**
 * 74: a journal, another file, or standard output cannot be written. Make room, then run it again.
 *
 * @category constants
 * @since 0.1.0
 */
export const cannotWrite = 74
/**
 * 75: the outcome is unknown, or an append arrived damaged. Look whether it was applied, then decide.
 *
 * @category constants
 * @since 0.1.0
 */
export const outcomeUnknown = 75
/**
 * 77: the credentials were rejected, or lack a permission. Get them.
 *
 * @category constants
 * @since 0.1.0
 */
export const noPermission = 77

/**
 * 130: interrupted, or out of time. Run it again.
 *
 * @category constants
 * @since 0.1.0
 */
export const interrupted = 130

/**
 * The exit status of an error.
 *
 * **Example** (A rejected request)
 *
 * ```ts import.meta.vitest
 * import { ApiError } from "@effect-resilience/errors"
 * import { ExitStatus } from "@effect-resilience/tbm-studio-cli"
 *
 * const error = new ApiError.ApiError({ method: "POST", endpoint: "/x", reason: ApiError.reasonFromStatus(404) })
 * ExitStatus.of(error) // => 65
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (error: unknown): number => {
  const { _tag: recovery } = Recovery.of(error)
  if (recovery === "Verify") return outcomeUnknown
  const byTag = statusByTag[ErrorName.tagOf(error) ?? ""] ?? statusByTag[ErrorName.reasonTagOf(error) ?? ""]
  if (byTag !== undefined) return byTag
  switch (recovery) {
    case "Retry":
      return unavailable
    case "Reauthenticate":
    case "Authorize":
      return noPermission
    case "Correct":
      return rejected
    case "GiveUp":
      return Recovery.isRecoverable(error) ? rejected : bug
  }
}

/**
 * The gravest of several statuses: the one that needs the most work by a person. The order is: a bug, an unknown outcome,
 * credentials, wrong usage, a rejected request, unreadable input, output that cannot be written, a service that is
 * unavailable, uploads that have failed, an interruption.
 *
 * @category combinators
 * @since 0.1.0
 */
export const gravest = (statuses: Iterable<number>): number => {
  let worst = 0
  for (const status of statuses) worst = Math.max(worst, byGravity.indexOf(status))
  return byGravity[worst] ?? bug
}

const byGravity = [
  done,
  interrupted,
  uploadsFailed,
  unavailable,
  cannotWrite,
  noInput,
  rejected,
  usage,
  noPermission,
  outcomeUnknown,
  bug
]

const statusByTag: { readonly [tag: string]: number } = {
  WrongUsage: usage,
  InvalidSettings: usage,
  InvalidPeriod: usage,
  InvalidName: usage,
  InvalidOption: usage,
  NoUploaderService: usage,
  UnsuitableUpload: usage,
  GroupNotProcessed: unavailable,
  // Too many attempts have failed by then, so the service is at fault, not the request.
  BudgetExhausted: unavailable,
  InvalidManifest: noInput,
  InvalidInput: noInput,
  InvalidFiles: noInput,
  UnreadableFolder: noInput,
  JournalError: cannotWrite,
  CannotWrite: cannotWrite,
  SessionStoreFailed: cannotWrite,
  Interrupted: interrupted,
  InDoubt: outcomeUnknown,
  SourceUnreadable: noInput,
  SourceChanged: noInput,
  ChangedSinceUpload: noInput,
  SurplusAdditions: noInput,
  IntegrityMismatch: rejected,
  IncompleteBody: rejected,
  NotReplayable: unavailable
}
