/**
 * What can go wrong with an upload through the uploader service, beside its calls and its source.
 *
 * **Details**
 *
 * Failures of a call stay an `ApiError`, those of the source an `UploadError`. An `UploaderError` names the source and says in
 * its `reason` what happened; each reason knows its `Recovery`.
 *
 * **Example** (A check-in that failed)
 *
 * ```ts import.meta.vitest
 * import { Recovery } from "@effect-resilience/errors"
 * import { UploaderError } from "@effect-resilience/tbm-studio"
 *
 * const error = new UploaderError.UploaderError({
 *   source: "gl.csv",
 *   reason: new UploaderError.FailedGroupCheckin({ processId: "p-1", detail: undefined })
 * })
 * error.message // => "gl.csv was processed, but its check-in failed (process p-1). Look at the table before uploading it again."
 * Recovery.of(error)._tag // => "Verify"
 * ```
 *
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import type * as Region from "./Region.ts"

/**
 * An upload did not become part of its table.
 *
 * @category errors
 * @since 0.1.0
 */
export class UploaderError extends Data.TaggedError("UploaderError")<{
  readonly source: string
  readonly reason: Reason
}> {
  get [NotAsked.symbol](): boolean {
    return NotAsked.isNotAsked(this.reason)
  }
  [Recovery.symbol](): Recovery.Recovery {
    return this.reason[Recovery.symbol]()
  }
  override get message(): string {
    return `${this.source} ${this.reason.message}`
  }
}

/**
 * The region has no uploader service, and the settings name no address of one.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NoUploaderService extends Data.TaggedError("NoUploaderService")<{
  readonly region: Region.Region
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return `cannot be sent: the region ${this.region} has no uploader service. ` +
      "Upload to the table itself, or set TBM_DATALINK_URL."
  }
}

/**
 * The service cannot take this upload: its source can be read only once or has no known size, or it asks for what only
 * the table upload can do.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnsuitableUpload extends Data.TaggedError("UnsuitableUpload")<{
  readonly problem: string
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return `cannot go through the uploader service: ${this.problem}.`
  }
}

/**
 * What is known of an `append` cannot be read, or that its processing begins cannot be written down (`UploadSessions`), so a
 * later run would not know of it. Nothing was processed.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SessionStoreFailed extends Data.TaggedError("SessionStoreFailed")<{
  readonly failure: { readonly message: string }
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    return `was not processed. ${this.failure.message}`
  }
}

/**
 * - `processId`: what the service calls the processing, for its support.
 * - `detail`: the service's own words, where it has some.
 *
 * @category models
 * @since 0.1.0
 */
export interface Processing {
  readonly processId: string
  readonly detail: string | undefined
}

/**
 * The file arrived, but its processing failed. Nothing was stored.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ProcessingFailed extends Data.TaggedError("ProcessingFailed")<Processing> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return `arrived, but its processing failed${said(this)}. Correct the file or the names, then upload it again.`
  }
}

/**
 * One of the uploads that were processed together failed, so none was checked in.
 *
 * @category reasons
 * @since 0.1.0
 */
export class IncompleteGroupSession extends Data.TaggedError("IncompleteGroupSession")<Processing> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return `arrived, but its group is incomplete: an upload in it failed${said(this)}. ` +
      "Correct the file or the names, then upload it again."
  }
}

/**
 * Everything was processed, but the check-in of the group failed. What of it is in the table, nobody says.
 *
 * @category reasons
 * @since 0.1.0
 */
export class FailedGroupCheckin extends Data.TaggedError("FailedGroupCheckin")<Processing> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.verify
  }
  override get message(): string {
    return `was processed, but its check-in failed${said(this)}. Look at the table before uploading it again.`
  }
}

/**
 * The file arrived and its processing began, but how that ended was not learned: not within the time given, or because of
 * a `failure`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ProcessingUnknown extends Data.TaggedError("ProcessingUnknown")<{
  readonly processId: string
  readonly after: Duration.Duration
  readonly failure?: unknown
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.verify
  }
  override get message(): string {
    const message = ErrorMessage.messageOf(this.failure)
    const why = message === undefined ? ` within ${Duration.format(this.after)}.` : `: ${message}`
    return `arrived, but how its processing ended (process ${this.processId}) was not learned${why} ` +
      "Look at the table before uploading it again."
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export type Reason =
  | NoUploaderService
  | UnsuitableUpload
  | SessionStoreFailed
  | ProcessingFailed
  | IncompleteGroupSession
  | FailedGroupCheckin
  | ProcessingUnknown

const said = ({ detail, processId }: Processing): string =>
  ` (process ${processId})${detail === undefined ? "" : `: ${detail.replace(/[.\s]+$/, "")}`}`
