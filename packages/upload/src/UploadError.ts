/**
 * What can go wrong with an upload besides the call itself: the source of the bytes and their integrity.
 *
 * **Details**
 *
 * Failures of the call stay what they are (`ApiError`, errors of an auth layer). An `UploadError` names the source and
 * says in its `reason` what happened; each reason knows its `Recovery`.
 *
 * **Example** (A missing file)
 *
 * ```ts import.meta.vitest
 * import { Recovery } from "@effect-resilience/errors"
 * import { UploadError } from "@effect-resilience/upload"
 *
 * const error = new UploadError.UploadError({
 *   source: "gl.csv",
 *   reason: new UploadError.SourceUnreadable({ problem: "missing", description: "it does not exist" })
 * })
 * error.message // => "gl.csv cannot be read: it does not exist."
 * Recovery.of(error)._tag // => "Correct"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Data from "effect/Data"

/**
 * An upload failed on this side of the wire, or what arrived is not what was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class UploadError extends ErrorMessage.TaggedError("UploadError")<{
  /** The name of the source. */
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
 * The source could not be opened, or broke while it was read.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SourceUnreadable extends Data.TaggedError("SourceUnreadable")<{
  /** What is wrong, in one word; only `busy` is worth a retry. */
  readonly problem: "missing" | "directory" | "notAFile" | "permission" | "busy" | "failed"
  /** The same for people. */
  readonly description: string
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return this.problem === "busy" ? Recovery.retry : Recovery.correct
  }
  override get message(): string {
    return `cannot be read: ${this.description.replace(/[.\s]+$/, "")}.`
  }
}

/**
 * The source is no longer what it was when the upload began: another size, another time of modification, another file under
 * the same name. The attempt that noticed it held back its last bytes, so the server stored none of it.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SourceChanged extends Data.TaggedError("SourceChanged")<{
  /** What changed, for people. */
  readonly description: string
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return `changed while it was uploaded: ${this.description}. Upload it again when nothing writes to it.`
  }
}

/**
 * A retry might have succeeded, but the source can be read only once and some of it was read. `failure` is what the attempt
 * failed with, where the uploader saw it.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotReplayable extends Data.TaggedError("NotReplayable")<{
  readonly failure: unknown
}> {
  get [NotAsked.symbol](): boolean {
    return NotAsked.isNotAsked(this.failure)
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.giveUp
  }
  override get message(): string {
    const why = ErrorMessage.messageOf(this.failure)
    const after = why === undefined ? "" : ` The attempt failed: ${why}`
    return `can be read only once, so it cannot be sent again.${after}`
  }
}

/**
 * What the server says it stored is not what was sent. An idempotent upload is retried, which repairs it. For any other, a
 * person has to look at what is stored.
 *
 * @category reasons
 * @since 0.1.0
 */
export class IntegrityMismatch extends Data.TaggedError("IntegrityMismatch")<{
  /** What was compared: the number of bytes, or a digest. */
  readonly what: "bytes" | "md5" | "sha256"
  /** The value of what was sent. */
  readonly sent: string
  /** The value that the server reports. */
  readonly stored: string
  /** Whether the upload may be sent again. */
  readonly idempotent: boolean
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return this.idempotent ? Recovery.retry : Recovery.verify
  }
  override get message(): string {
    return `did not arrive intact: ${this.what} sent ${this.sent}, stored ${this.stored}.${adviceFor(this)}`
  }
}

/**
 * A server reported success before it can have received the whole body.
 *
 * @category reasons
 * @since 0.1.0
 */
export class IncompleteBody extends Data.TaggedError("IncompleteBody")<{
  /** How many bytes had left. */
  readonly sent: number
  /** How many bytes the body has; `undefined` if it is not known. */
  readonly size: number | undefined
  /** Whether the upload may be sent again. */
  readonly idempotent: boolean
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return this.idempotent ? Recovery.retry : Recovery.verify
  }
  override get message(): string {
    const of = this.size === undefined ? "" : ` of ${this.size}`
    return `was reported as stored after ${this.sent}${of} bytes, before the end of its body.${adviceFor(this)}`
  }
}

/**
 * The digests of what was sent were lost, for example with the thread that computed them. An idempotent upload is retried.
 * For any other, a person has to look at what is stored.
 *
 * @category reasons
 * @since 0.1.0
 */
export class HashingFailed extends Data.TaggedError("HashingFailed")<{
  /** What happened, for people. */
  readonly description: string
  /** Whether the upload may be sent again. */
  readonly idempotent: boolean
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return this.idempotent ? Recovery.retry : Recovery.verify
  }
  override get message(): string {
    return `could not be hashed while it was sent: ${this.description}.${adviceFor(this)}`
  }
}

/**
 * An earlier run began to send this item and did not learn the outcome. Sending it again could apply it twice.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InDoubt extends Data.TaggedError("InDoubt")<{
  /** When the earlier run recorded it, in milliseconds since 1970. */
  readonly since: number
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.verify
  }
  override get message(): string {
    return `was sent by an earlier run at ${
      new Date(this.since).toISOString()
    } that did not learn whether it arrived. ` +
      "Check what is stored, then skip it or send it again."
  }
}

/**
 * An earlier run added the content that this source had then, which may still be at the place. Where `compared` is false, the
 * two contents may be the same; default true.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ChangedSinceUpload extends Data.TaggedError("ChangedSinceUpload")<{
  /** When the earlier run recorded it, in milliseconds since 1970. */
  readonly since: number
  readonly compared?: boolean | undefined
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    const at = new Date(this.since).toISOString()
    return this.compared === false
      ? `cannot be compared with what was added at ${at}, which stays. Leave it so, or add this too.`
      : `was uploaded with other content at ${at}, and what was added then stays. Leave it so, or add the new content too.`
  }
}

/**
 * The place has what this source replaced it with, and additions under `names`, which the list of uploads does not contain.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SurplusAdditions extends Data.TaggedError("SurplusAdditions")<{
  readonly names: ReadonlyArray<string>
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    const shown = this.names.slice(0, 3)
    const more = this.names.length - shown.length
    return `is stored, but so is what was added to it from ${shown.join(", ")}${
      more > 0 ? ` and ${more} more` : ""
    }, ` +
      "which the list does not name behind it. Leave it so, or send this and what follows it again."
  }
}

/**
 * All the ways in which an upload can fail besides the call itself.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason =
  | SourceUnreadable
  | SourceChanged
  | NotReplayable
  | IntegrityMismatch
  | IncompleteBody
  | HashingFailed
  | InDoubt
  | ChangedSinceUpload
  | SurplusAdditions

const adviceFor = ({ idempotent }: { readonly idempotent: boolean }): string =>
  idempotent ? " Upload it again." : " Check what is stored before uploading it again."
