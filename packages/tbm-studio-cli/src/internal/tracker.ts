import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import type { TableUpload } from "@effect-resilience/tbm-studio/TableUploads"
import * as UploaderService from "@effect-resilience/tbm-studio/UploaderService"
import type * as Batch from "@effect-resilience/upload/Batch"
import type * as Progress from "@effect-resilience/upload/Progress"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Item, View } from "./progressView.ts"

/** What happened to one upload: every HTTP attempt of it, replays after a new login included. */
export interface Track {
  readonly attempts: number
  /** Why attempts failed, the last one apart where it did. */
  readonly recoveries: ReadonlyArray<string>
  readonly durationMillis: number
}

interface Tracked extends Item {
  readonly begun: number | undefined
  readonly attemptFailed: boolean
}

type Mutable<A> = { -readonly [key in keyof A]: A[key] }

type Following = Mutable<Tracked> & { causes: Array<string> }

/** Follows uploads through their events and through the access log of their attempts. */
export class Tracker {
  // Those that have begun and not ended: of a long manifest, a few.
  private readonly active = new Map<TableUpload, Following>()
  private readonly total: number
  private readonly label: (upload: TableUpload) => string
  private readonly startedAt: number
  private done = 0
  private failures = 0
  private attempts = 0
  private moved = 0

  constructor(total: number, label: (upload: TableUpload) => string, startedAt: number) {
    this.total = total
    this.label = label
    this.startedAt = startedAt
  }

  private following(upload: TableUpload): Following {
    const known = this.active.get(upload)
    if (known !== undefined) return known
    const item: Following = {
      label: this.label(upload),
      size: undefined,
      phase: "waiting",
      sent: 0,
      attempts: 0,
      trouble: undefined,
      begun: undefined,
      attemptFailed: false,
      causes: []
    }
    this.active.set(upload, item)
    return item
  }

  /** The target, with its attempts followed. */
  observe<Receipt, E, R>(
    target: UploadTarget.UploadTarget<TableUpload, Receipt, E, R>
  ): UploadTarget.UploadTarget<TableUpload, Receipt, E, R> {
    return {
      ...target,
      send: (upload, payload) => {
        const operation = target.operation(upload)
        return Effect.flatMap(
          AccessLog.Current,
          (log) =>
            Effect.provideService(target.send(upload, payload), AccessLog.Current, {
              write: (entry) => {
                // Of the uploader service's many steps, the one that counts and those that fail.
                if (
                  entry.kind === "attempt" && (entry.operation === operation.name ||
                    (entry.outcome === "failure" && UploaderService.steps.has(entry.operation ?? "")))
                ) this.attempted(upload, entry)
                return log.write(entry)
              }
            })
        )
      }
    }
  }

  readonly onEvent = (event: Progress.Event, upload: TableUpload): Effect.Effect<void> =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const item = this.following(upload)
      switch (event._tag) {
        case "Started":
          item.begun = now
          item.size = event.size
          break
        case "Attempting":
          item.attemptFailed = false
          item.phase = "sending"
          break
        case "Sending":
          item.phase = "sending"
          this.moved += Math.max(0, event.bytes - item.sent)
          item.sent = Math.max(item.sent, event.bytes)
          break
        case "AwaitingAnswer":
          item.phase = "answering"
          break
        case "Retrying":
          item.phase = "pausing"
          // An answer that proved wrong only when it was read, such as another md5.
          if (!item.attemptFailed) this.failed(item, ErrorName.reasonTagOf(event.error) ?? "failure")
          break
      }
    })

  settle({ _tag, item: upload }: Batch.Result<TableUpload, unknown, unknown>, now: number): Track {
    const item = this.following(upload)
    this.active.delete(upload)
    if (_tag === "Uploaded" || _tag === "Skipped") this.done++
    else if (_tag !== "NotStarted") this.failures++
    return {
      attempts: item.attempts,
      recoveries: item.attemptFailed ? item.causes.slice(0, -1) : item.causes,
      durationMillis: now - (item.begun ?? now)
    }
  }

  /** How far an upload is that has begun and not ended. */
  phaseOf(upload: TableUpload): Item["phase"] | undefined {
    return this.active.get(upload)?.phase
  }

  view(): View {
    const { attempts, done, failures: failed, moved, startedAt, total } = this
    return { active: [...this.active.values()], total, done, failed, attempts, moved, startedAt }
  }

  private attempted(upload: TableUpload, entry: AccessLog.Entry): void {
    const item = this.following(upload)
    this.attempts++
    item.attempts++
    item.attemptFailed = entry.outcome === "failure"
    if (entry.outcome !== "failure") return
    const reason = entry.error?.reason ?? "failure"
    this.failed(item, entry.status === undefined ? reason : `${entry.status} ${reason}`)
  }

  private failed(item: Following, cause: string): void {
    item.trouble = cause
    item.causes.push(cause)
  }
}
