import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/** The exit statuses other than 0, after `sysexits.h`; 1 is what was found, or an expectation that fails. */
export const exit = { found: 1, usage: 64, noInput: 66, unavailable: 69, cannotWrite: 74 } as const

/** What ends the command. A message goes to standard error, in one line. */
export class Failure extends Data.TaggedError("Failure")<{ readonly message?: string; readonly status: number }> {
  override readonly [Runtime.errorReported] = false
  override get [Runtime.errorExitCode]() {
    return this.status
  }
}
