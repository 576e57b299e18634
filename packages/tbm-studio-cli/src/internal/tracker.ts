import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import type { TableUpload } from "@effect-resilience/tbm-studio/TableUploads"
import * as UploaderService from "@effect-resilience/tbm-studio/UploaderService"
import type * as Uploader from "@effect-resilience/upload/Uploader"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Terminal from "effect/Terminal"
import * as LiveRegion from "./liveRegion.ts"
import * as progressView from "./progressView.ts"
import { type Ended, labels, type Track } from "./report.ts"
import * as units from "./units.ts"

interface Tracked extends progressView.Item {
  readonly begun: number | undefined
  readonly attemptFailed: boolean
}

/** What an error of an upload says of itself. */
interface Trouble {
  readonly message: string
  readonly reason?: { readonly message: string }
}

type Mutable<A> = { -readonly [key in keyof A]: A[key] }

type Following = Mutable<Tracked> & { causes: Array<string> }

/** Follows these uploads, and shows on standard error how far they are. */
export const make = Effect.fnUntraced(function*(uploads: ReadonlyArray<TableUpload>) {
  const region = yield* LiveRegion.make
  return new Tracker(uploads, region, yield* Clock.currentTimeMillis)
})

/** Follows uploads through their events and through the access log of their attempts. */
export class Tracker {
  readonly region: LiveRegion.LiveRegion
  readonly startedAt: number
  /** Names an upload, as briefly as the others allow. */
  readonly label: (upload: TableUpload) => string
  // Those that have begun and not ended: of a long manifest, a few.
  private readonly active = new Map<TableUpload, Following>()
  private readonly total: number
  private done = 0
  private failures = 0
  private attempts = 0
  private moved = 0

  constructor(uploads: ReadonlyArray<TableUpload>, region: LiveRegion.LiveRegion, startedAt: number) {
    const label = labels(uploads.map(({ address }) => address))
    this.label = ({ address }) => label(address)
    this.total = uploads.length
    this.region = region
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

  /** Shows on a terminal how far the uploads are, while `self` runs. */
  show<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Terminal.Terminal> {
    const { clearAfter, isTerminal } = this.region
    if (!isTerminal) return self
    return clearAfter(
      Effect.flatMap(Effect.forkChild(this.redraw), (drawing) => Effect.ensuring(self, Fiber.interrupt(drawing)))
    )
  }

  /** Of a retry there is also a line, where nothing is drawn over and over. */
  readonly onEvent = (event: Uploader.Event<Trouble>, upload: TableUpload): Effect.Effect<void> => {
    const noted = this.note(event, upload)
    if (event._tag !== "Retrying" || this.region.isTerminal) return noted
    const { attempt, delay, error } = event
    // The line names the upload, so the endpoint need not be said again.
    const why = (error.reason ?? error).message
    const line = `… ${this.label(upload)} ${why} Attempt ${attempt + 1} in ${units.duration(delay)}.`
    return Effect.andThen(noted, this.region.print([line]))
  }

  private note(event: Uploader.Event<Trouble>, upload: TableUpload): Effect.Effect<void> {
    return Effect.map(Clock.currentTimeMillis, (now) => {
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
        case "AwaitingResponse":
          item.phase = "answering"
          break
        case "Retrying":
          item.phase = "pausing"
          // An answer that proved wrong only when it was read, such as another md5.
          if (!item.attemptFailed) this.failed(item, ErrorName.reasonTagOf(event.error) ?? "failure")
          break
      }
    })
  }

  settle({ _tag, item: upload }: Ended<TableUpload>, now: number): Track {
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
  phaseOf(upload: TableUpload): progressView.Item["phase"] | undefined {
    return this.active.get(upload)?.phase
  }

  private readonly redraw = Effect.suspend(() => this.draw).pipe(
    Effect.andThen(Effect.sleep("100 millis")),
    Effect.forever
  )

  private readonly draw = Effect.gen({ self: this }, function*() {
    const columns = yield* (yield* Terminal.Terminal).columns
    const now = yield* Clock.currentTimeMillis
    const { attempts, done, failures: failed, moved, startedAt, total } = this
    const view = { active: [...this.active.values()], total, done, failed, attempts, moved, startedAt }
    yield* this.region.draw(progressView.render(view, now, columns > 0 ? columns : 80))
  })

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
