import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import type { TableUpload } from "@effect-resilience/tbm-studio/TableUploads"
import * as UploaderService from "@effect-resilience/tbm-studio/UploaderService"
import type * as Uploader from "@effect-resilience/upload/Uploader"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as LiveRegion from "./liveRegion.ts"
import * as progressView from "./progressView.ts"
import { type Ended, labels, tail, type Track } from "./report.ts"
import * as units from "./units.ts"
import * as words from "./words.ts"

interface Tracked extends progressView.Item {
  readonly begun: number | undefined
  readonly attemptFailed: boolean
}

/** The part of an upload's error that is shown. */
interface Trouble {
  readonly message: string
  readonly reason?: { readonly message: string }
}

type Mutable<A> = { -readonly [key in keyof A]: A[key] }

type Following = Mutable<Tracked> & { causes: Array<string> }

/** Tracks these uploads, and shows their progress on standard error. */
export const make = Effect.fnUntraced(function*(uploads: ReadonlyArray<TableUpload>) {
  const region = yield* LiveRegion.make
  return new Tracker(uploads, region, yield* Clock.currentTimeMillis)
})

/** Tracks uploads by their events, and by the access log of their attempts. */
export class Tracker {
  readonly region: LiveRegion.LiveRegion
  readonly startedAt: number
  /** A short name of an upload. */
  readonly label: (upload: TableUpload) => string
  // The uploads that have started and not ended: a few of a long manifest.
  private readonly active = new Map<TableUpload, Following>()
  private readonly total: number
  private done = 0
  private failures = 0
  private attempts = 0
  private moved = 0
  /** When the first attempt failed, of those since the last one that succeeded. */
  private failingSince: number | undefined

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
      tail: tail(upload.address),
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

  /** The target, with its attempts tracked. */
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
                // Of the many steps of the uploader service, count the main one and those that fail.
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

  /** Shows the progress on a terminal while `self` runs. */
  show<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const { clearAfter, isTerminal } = this.region
    if (!isTerminal) return self
    return clearAfter(
      Effect.flatMap(Effect.forkChild(this.redraw), (drawing) => Effect.ensuring(self, Fiber.interrupt(drawing)))
    )
  }

  /** Records an event. Without a terminal, it also prints a line for each retry. */
  readonly onEvent = (event: Uploader.Event<Trouble>, upload: TableUpload): Effect.Effect<void> => {
    const noted = this.note(event, upload)
    if (event._tag !== "Retrying" || this.region.isTerminal) return noted
    const { attempt, delay, error } = event
    // The line names the upload, so it does not repeat the endpoint.
    const why = words.explain(error.reason ?? error)
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
          item.phase = "awaitingResponse"
          break
        case "Retrying":
          item.phase = "pausing"
          // A response that failed only when it was read, for example with another md5.
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
      durationMillis: now - (item.begun ?? now),
      unavailableMillis: this.failingSince === undefined ? undefined : now - this.failingSince
    }
  }

  /** The phase of an upload that has started and not ended. */
  phaseOf(upload: TableUpload): progressView.Item["phase"] | undefined {
    return this.active.get(upload)?.phase
  }

  private readonly redraw = Effect.suspend(() => this.draw).pipe(
    Effect.andThen(Effect.sleep("100 millis")),
    Effect.forever
  )

  private readonly draw = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const { attempts, done, failures: failed, moved, startedAt, total } = this
    const view = { active: [...this.active.values()], total, done, failed, attempts, moved, startedAt }
    return this.region.draw((window) => progressView.render(view, now, window))
  })

  private attempted(upload: TableUpload, entry: AccessLog.Entry): void {
    const item = this.following(upload)
    this.attempts++
    item.attempts++
    item.attemptFailed = entry.outcome === "failure"
    if (entry.outcome === "success") this.failingSince = undefined
    if (entry.outcome !== "failure") return
    if (entry.status === undefined || entry.status >= 500) this.failingSince ??= Date.parse(entry.time)
    const reason = entry.error?.reason ?? "failure"
    this.failed(item, entry.status === undefined ? reason : `${entry.status} ${reason}`)
  }

  private failed(item: Following, cause: string): void {
    item.trouble = words.cause(cause)
    item.causes.push(cause)
  }
}
