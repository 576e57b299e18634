/**
 * The failures of an upload through the uploader service, apart from those of its calls and its source.
 *
 * **Details**
 *
 * A call fails with an `ApiError`, a source with an `UploadError`. An `UploaderError` names the source, and its `reason`
 * says what happened. Each reason has its `Recovery`.
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
 * @stability stable
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
export class UploaderError extends ErrorMessage.TaggedError("UploaderError")<{
  /** The name of the file. */
  readonly source: string
  /** What happened, with the `Recovery` that the error takes over. */
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
 * The region has no uploader service, and the settings name no other address.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NoUploaderService extends Data.TaggedError("NoUploaderService")<{
  /** The region in the settings. */
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
 * The service cannot accept this upload: its source can be read only once or has no known size, or it needs what only the
 * table upload can do.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnsuitableUpload extends Data.TaggedError("UnsuitableUpload")<{
  /** What is unsuitable, for people. */
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
 * The store (`UploadSessions`) cannot read what it has about an `append`, or cannot write that its processing begins, so a
 * later run would not know of it. Nothing was processed.
 *
 * - `failure.message`: the store's own message.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SessionStoreFailed extends Data.TaggedError("SessionStoreFailed")<{
  /** What the store failed with. */
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
 * What is known about a processing that did not succeed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Processing {
  /** The service's id of the processing, for a request to its support. */
  readonly processId: string
  /** The service's own description, if it sent one. */
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
    return `arrived, but its processing failed${describe(this)}. Correct the file or the names, then upload it again.`
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
    return `arrived, but its group is incomplete: an upload in it failed${describe(this)}. ` +
      "Correct the file or the names, then upload it again."
  }
}

/**
 * Everything was processed, but the check-in of the group failed. The service does not report which rows are in the table.
 *
 * @category reasons
 * @since 0.1.0
 */
export class FailedGroupCheckin extends Data.TaggedError("FailedGroupCheckin")<Processing> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.verify
  }
  override get message(): string {
    return `was processed, but its check-in failed${describe(this)}. Look at the table before uploading it again.`
  }
}

/**
 * Another upload of its group failed before the group was processed. Nothing of the group was stored.
 *
 * @category reasons
 * @since 0.1.0
 */
export class GroupNotProcessed extends Data.TaggedError("GroupNotProcessed") {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.giveUp
  }
  override get message(): string {
    return "was not processed, since another upload of its group failed. Nothing of the group is stored: " +
      "correct that one, then run it again."
  }
}

/**
 * The file arrived and its processing began, but its outcome was not learned: the time was up, or asking for it ended with
 * a `failure`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ProcessingUnknown extends Data.TaggedError("ProcessingUnknown")<{
  /** The service's id of the processing, for a request to its support. */
  readonly processId: string
  /** How long the outcome was waited for. */
  readonly after: Duration.Duration
  readonly failure?: unknown
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.verify
  }
  override get message(): string {
    const message = ErrorMessage.messageOf(this.failure)
    const why = message === undefined ? ` within ${Duration.format(this.after)}.` : `: ${message}`
    return `arrived, but the outcome of its processing (process ${this.processId}) is unknown${why} ` +
      "Look at the table before uploading it again."
  }
}

/**
 * Why an upload did not become part of its table.
 *
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
  | GroupNotProcessed
  | ProcessingUnknown

const describe = ({ detail, processId }: Processing): string =>
  ` (process ${processId})${detail === undefined ? "" : `: ${detail.replace(/[.\s]+$/, "")}`}`
