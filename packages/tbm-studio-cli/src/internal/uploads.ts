import type * as AuthError from "@effect-resilience/auth/AuthError"
import type * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import type { CircuitOpen } from "@effect-resilience/limit/CircuitBreaker"
import { Frontdoor } from "@effect-resilience/tbm-studio/Frontdoor"
import { Settings } from "@effect-resilience/tbm-studio/Settings"
import type * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import type * as TableUploads from "@effect-resilience/tbm-studio/TableUploads"
import type { UploaderError } from "@effect-resilience/tbm-studio/UploaderError"
import * as Batch from "@effect-resilience/upload/Batch"
import type * as Journal from "@effect-resilience/upload/Journal"
import type * as Uploader from "@effect-resilience/upload/Uploader"
import * as UploadPlan from "@effect-resilience/upload/UploadPlan"
import * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Terminal from "effect/Terminal"
import * as ExitStatus from "../ExitStatus.ts"
import type * as Manifest from "../Manifest.ts"
import * as LiveRegion from "./liveRegion.ts"
import type * as Output from "./output.ts"
import * as Place from "./place.ts"
import * as Preflight from "./preflight.ts"
import * as progressView from "./progressView.ts"
import { type Failure, failureOf, Interrupted, knowing, type Response, withEnd } from "./respond.ts"
import type { InvalidInput } from "./runtime.ts"
import * as StopSignal from "./stopSignal.ts"
import * as textTable from "./textTable.ts"
import { type Track, Tracker } from "./tracker.ts"
import * as units from "./units.ts"
import * as via from "./via.ts"

/** One upload that a command was asked for; `file` as the user wrote it, `name` the same in every run. */
export interface Job extends TableUploads.TableUpload {
  readonly file: string
  readonly name: string
}

/** A row of a manifest. Its source is made when it is asked for, as there may be a hundred thousand rows. */
export class RowJob implements Job {
  readonly file: string
  readonly name: string
  readonly address: TableAddress.TableAddress
  readonly action: TableAddress.Action

  constructor({ action, address, file, name }: Manifest.Row) {
    this.file = file
    this.name = name
    this.address = address
    this.action = action
  }
  get source() {
    return UploadSource.file(this.file)
  }
  get force() {
    return false
  }
}

/**
 * One upload in the words of `--json`. `skipped` was uploaded by an earlier run, `assumed` may have been, and `superseded` is
 * replaced by a later one of the manifest.
 */
export interface ItemReport {
  readonly status:
    | "uploaded"
    | "failed"
    | "unknown"
    | "planned"
    | "skipped"
    | "assumed"
    | "superseded"
    | "notStarted"
  readonly project: string
  readonly table: string
  readonly period: string
  readonly action: TableAddress.Action
  readonly file: string
  readonly bytes: number
  readonly md5: string | null
  readonly verified: boolean
  readonly attempts: number
  readonly recoveries: ReadonlyArray<string>
  readonly durationMs: number
  readonly error?: Failure
}

/** All uploads of a command, in the order of its jobs. */
export interface BatchReport {
  readonly items: ReadonlyArray<ItemReport>
  readonly totals: {
    readonly uploaded: number
    readonly failed: number
    readonly unknown: number
    readonly skipped: number
    readonly assumed: number
    readonly superseded: number
    readonly notStarted: number
    readonly bytes: number
    readonly attempts: number
    readonly logins: number
    readonly retriesByCause: { readonly [cause: string]: number }
    readonly durationMs: number
  }
  readonly exitStatus: number
}

/**
 * Uploads everything, showing progress on standard error, and reports on each. `show: "each"` also leaves a line for every
 * upload that ends.
 */
export const run = Effect.fnUntraced(function*(jobs: ReadonlyArray<Job>, options: {
  readonly via?: via.Via | undefined
  readonly concurrency: number
  readonly pace?: Duration.Input | undefined
  readonly failFast?: boolean | undefined
  /** Reads all files that will be sent before the first of them is. */
  readonly preflight?: boolean | undefined
  readonly show: "each" | "progress"
  readonly onUnknown?: Journal.OnUnknown | undefined
  readonly onChanged?: Journal.OnChanged | undefined
  /** Runs where the journal knows none of the places. */
  readonly whenUnfit?: Effect.Effect<void, InvalidInput> | undefined
  /** What the first signal does to the uploads that are under way; without it, signals interrupt the program. */
  readonly onInterrupt?: Batch.StopMode | undefined
  /** Makes the command's response of a report, of that of a batch too which ends before all of its results are there. */
  readonly respond?: ((report: BatchReport) => Response) | undefined
}) {
  const { answerTimeout, target } = yield* via.route(options.via ?? "table")
  const frontdoor = yield* Frontdoor
  const region = yield* LiveRegion.make
  const clock = yield* Clock.Clock
  const begun = clock.currentTimeMillisUnsafe()
  const label = labels(jobs.map(({ address }) => address))
  const tracker = new Tracker(jobs.length, ({ address }) => label(address), begun)
  const exits: Array<number> = []
  const scope = Place.scopeOf(yield* Settings)
  const plan = yield* UploadPlan.make(target, jobs, {
    place: ({ address }) => Place.of(scope, address, begun),
    name: ({ name }) => name,
    onUnknown: options.onUnknown,
    onChanged: options.onChanged
  })
  if (plan.known === 0) yield* options.whenUnfit ?? Effect.void
  const verdicts = options.preflight === true ? yield* UploadPlan.verdicts(plan) : []
  if (options.preflight === true) {
    yield* Preflight.check(jobs.flatMap(({ file }, i) => verdicts[i]?._tag === "Send" ? [file] : []), region)
  }
  const { onInterrupt } = options
  const stop = onInterrupt && Effect.andThen(
    StopSignal.first,
    Effect.as(region.print([stopLine[onInterrupt]]), onInterrupt)
  )

  const reports = jobs.map((): ItemReport | undefined => undefined)
  const settle = Effect.fnUntraced(function*(result: Result<Job>) {
    const now = yield* Clock.currentTimeMillis
    const track = tracker.settle(result, now)
    const report = reportOf(result, track)
    reports[result.index] = report
    exits.push(exitOf(result))
    if (options.show === "each" && !quiet.includes(report.status)) {
      yield* region.print([progressLine(label(report), report, region.paint)])
    }
  })

  const { respond } = options
  if (respond !== undefined) {
    yield* knowing((end) => {
      const now = clock.currentTimeMillisUnsafe()
      const statuses = [...exits]
      const items = jobs.map((job, index): ItemReport => {
        const report = reports[index]
        if (report !== undefined) return report
        const result = cutOff(job, index, tracker.phaseOf(job), verdicts[index])
        statuses.push(exitOf(result))
        return reportOf(result, tracker.settle(result, now), end.error)
      })
      const report = { items, totals: totalsOf(items, 0, now - begun), exitStatus: ExitStatus.gravest(statuses) }
      const complete = exits.length === jobs.length
      return complete && end.exitStatus === ExitStatus.interrupted ? respond(report) : withEnd(respond(report), end)
    })
  }

  const summary = yield* Effect.scoped(Effect.gen(function*() {
    if (region.isTerminal) yield* Effect.forkScoped(redraw(tracker, region))
    return yield* Batch.resume<Job, unknown, TargetError, FileSystem.FileSystem>(
      tracker.observe(target),
      jobs,
      {
        ...options,
        answerTimeout,
        plan,
        stop,
        onEvent: (event, upload) =>
          Effect.andThen(
            tracker.onEvent(event, upload),
            event._tag === "Retrying" && !region.isTerminal
              ? region.print([
                `… ${label(upload.address)} ${reasonMessage(event.error)} ` +
                `Attempt ${event.attempt + 1} in ${units.duration(event.delay)}.`
              ])
              : Effect.void
          ),
        onResult: settle
      }
    )
  })).pipe(region.clearAfter)

  // Without those that a batch which ended early has no result of.
  const items = reports.filter((report) => report !== undefined)
  const { logins } = yield* frontdoor.tokens.status
  const report: BatchReport = {
    items,
    totals: totalsOf(items, logins, summary.totals.durationMillis),
    exitStatus: ExitStatus.gravest(exits)
  }
  return report
})

/** What the items of a report add up to. */
export const totalsOf = (
  items: ReadonlyArray<ItemReport>,
  logins: number,
  durationMillis: number
): BatchReport["totals"] => {
  const count = (status: ItemReport["status"]) => items.filter((item) => item.status === status).length
  return {
    uploaded: count("uploaded"),
    failed: count("failed"),
    unknown: count("unknown"),
    skipped: count("skipped"),
    assumed: count("assumed"),
    superseded: count("superseded"),
    notStarted: count("notStarted"),
    bytes: items.reduce((sum, item) => sum + item.bytes, 0),
    attempts: items.reduce((sum, item) => sum + item.attempts, 0),
    logins,
    retriesByCause: tally(items.flatMap(({ recoveries }) => recoveries)),
    durationMs: Math.round(durationMillis)
  }
}

const cutOff = (
  item: Job,
  index: number,
  phase: progressView.Item["phase"] | undefined,
  verdict: UploadPlan.Verdict | undefined
): Result<Job> =>
  phase === undefined
    ? asked({ _tag: "NotStarted", item, index }, verdict)
    : { _tag: "Abandoned", item, index, outcomeUnknown: phase === "answering" && item.action === "append" }

/** The result of an item that was left over: where a person is asked about it, that is told. */
export const asked = <Item>(result: Result<Item>, verdict: UploadPlan.Verdict | undefined): Result<Item> =>
  result._tag === "NotStarted" && result.behind === undefined && verdict?._tag === "Reject"
    ? { _tag: "Failed", index: result.index, item: result.item, error: verdict.error, attempts: 0 }
    : result

/** What a batch that never began has to report. */
export const nothing = () => ({ items: [], totals: totalsOf([], 0, 0) })

/** Nothing was sent of these, so no line tells of them. */
export const quiet: ReadonlyArray<ItemReport["status"]> = ["skipped", "assumed", "superseded", "notStarted"]

type TargetError = ApiError.ApiError | AuthError.AuthError | CircuitOpen | UploaderError

type UploadFailure = Uploader.Failure<TargetError>

// The cluster's results too, which keep no receipt and other errors.
type Result<Item> = Batch.Result<Item, unknown, unknown>

/** What a report calls an upload. */
export type Names = Pick<ItemReport, "project" | "table" | "period" | "action" | "file">

export const namesOf = ({ action, address, file }: Job): Names => ({ ...address, action, file })

/** An item before anything was sent. */
export const unsent = (
  { action, file, period, project, table }: Names,
  status: "planned" | "notStarted" | "failed",
  bytes = 0
): ItemReport => ({
  status,
  project,
  table,
  period,
  action,
  file,
  bytes,
  md5: null,
  verified: false,
  attempts: 0,
  recoveries: [],
  durationMs: 0
})

/** What became of an upload. One that was abandoned, was so by this failure, or by a signal. */
export const reportOf = (
  result: Result<Job>,
  { attempts, durationMillis, recoveries }: Track,
  failure = interrupted
): ItemReport => {
  const base = {
    ...unsent(namesOf(result.item), "failed"),
    attempts,
    recoveries,
    durationMs: Math.round(durationMillis)
  }
  switch (result._tag) {
    case "Uploaded": {
      const { bytes, digests, durationMillis, verified } = result.report
      return {
        ...base,
        status: "uploaded",
        bytes,
        md5: digests.md5 ?? null,
        verified,
        durationMs: Math.round(durationMillis)
      }
    }
    case "Failed": {
      const error = failureOf(result.error)
      return {
        ...base,
        status: Recovery.of(result.error)._tag === "Verify" ? "unknown" : "failed",
        error
      }
    }
    case "Abandoned":
      return result.outcomeUnknown
        ? { ...base, status: "unknown", error: doubtful(failure) }
        : { ...base, status: "failed", error: failure }
    case "Skipped": {
      if (result.why === "superseded") return { ...base, status: "superseded" }
      const { bytes = 0, md5 = null, verified } = result.entry
      return { ...base, status: result.why === "uploaded" ? "skipped" : "assumed", bytes, md5, verified }
    }
    case "NotStarted":
      return result.behind === undefined
        ? { ...base, status: "notStarted" }
        : { ...base, status: "notStarted", error: heldBack }
  }
}

// An error takes longer to make than the rest of a report, and there may be a hundred thousand of them.
const interrupted = failureOf(new Interrupted())

const doubtful = ({ message, tag }: Failure): Failure => ({
  tag,
  reason: "OutcomeUnknown",
  message: `${message} The rows may have been stored: look at the table before you send them again.`,
  recovery: "Verify"
})

// Rows of one place build on each other.
const heldBack: Failure = {
  tag: "HeldBack",
  reason: "HeldBack",
  message: "was not sent, since an earlier upload to the same table and period did not succeed.",
  recovery: "Retry"
}

/** The exit status that a result stands for. */
export const exitOf = (result: Result<unknown>): number => {
  switch (result._tag) {
    case "Uploaded":
    case "Skipped":
      return ExitStatus.done
    case "Failed":
      return ExitStatus.of(result.error)
    case "Abandoned":
      return result.outcomeUnknown ? ExitStatus.outcomeUnknown : ExitStatus.interrupted
    case "NotStarted":
      // What it waits for has a status of its own.
      return result.behind === undefined ? ExitStatus.interrupted : ExitStatus.done
  }
}

const tally = (causes: ReadonlyArray<string>): { readonly [cause: string]: number } => {
  const counts = new Map<string, number>()
  for (const cause of causes) counts.set(cause, (counts.get(cause) ?? 0) + 1)
  return Object.fromEntries(counts)
}

const redraw = (tracker: Tracker, region: LiveRegion.LiveRegion) =>
  Effect.gen(function*() {
    const columns = yield* (yield* Terminal.Terminal).columns
    const now = yield* Clock.currentTimeMillis
    yield* region.draw(progressView.render(tracker.view(), now, columns > 0 ? columns : 80))
    yield* Effect.sleep("100 millis")
  }).pipe(Effect.forever)

/** One line about an upload that succeeded. */
export const describe = (item: ItemReport): string =>
  `${item.file} is stored in ${item.project} / ${item.table} / ${item.period}: ${units.bytes(item.bytes)} in ${
    units.duration(item.durationMs)
  }, ${units.plural(item.attempts, "attempt")}, ${
    item.verified ? `md5 ${item.md5} verified` : "md5 not confirmed by the server"
  }`

/** The table of a batch, without what was not started, and its totals. */
export const table = ({ items, totals }: BatchReport): ReadonlyArray<string> => [
  ...textTable.render(items.filter(({ status }) => status !== "notStarted"), [
    { title: "Table", cell: labels(items) },
    { title: "Action", cell: (item) => item.action },
    { title: "Result", cell: (item) => item.status },
    { title: "Attempts", align: "right", cell: (item) => String(item.attempts) },
    {
      title: "Recovered from",
      cell: (item) => Object.entries(tally(item.recoveries.map(brief))).map(times).join(", ")
    },
    { title: "Size", align: "right", cell: (item) => units.bytes(item.bytes) },
    { title: "Time", align: "right", cell: (item) => units.duration(item.durationMs) },
    { title: "md5", cell: (item) => item.verified ? "verified" : "" }
  ]),
  "",
  [
    `${totals.uploaded} of ${items.length} uploaded`,
    ...(totals.failed > 0 ? [`${totals.failed} failed`] : []),
    ...(totals.unknown > 0 ? [`${totals.unknown} with unknown outcome`] : []),
    ...(totals.skipped > 0 ? [`${totals.skipped} already there`] : []),
    ...(totals.assumed > 0 ? [`${totals.assumed} taken for done`] : []),
    ...(totals.superseded > 0 ? [`${totals.superseded} replaced by a later row`] : []),
    ...(totals.notStarted > 0 ? [`${totals.notStarted} not started`] : []),
    units.bytes(totals.bytes),
    units.duration(totals.durationMs),
    units.plural(totals.attempts, "attempt"),
    // Of a cluster, the workers log in.
    ...(totals.logins > 0 ? [units.plural(totals.logins, "login")] : [])
  ].join(" · "),
  ...Object.entries(totals.retriesByCause).length === 0
    ? []
    : [`Retries by cause: ${Object.entries(totals.retriesByCause).map(times).join(", ")}`],
  ...items.flatMap((item) => item.error === undefined ? [] : [`${item.file}: ${item.error.message}`])
]

// A status says enough in a table.
const brief = (cause: string): string => /^\d{3}/.exec(cause)?.[0] ?? cause

const times = ([cause, count]: readonly [string, number]): string => count === 1 ? cause : `${count} × ${cause}`

/** Names tables briefly: without the project where there is only one. */
export const labels = (all: ReadonlyArray<Named>): (item: Named) => string => {
  const oneProject = all.every(({ project }) => project === all[0]?.project)
  return ({ period, project, table }) => `${oneProject ? "" : `${project} / `}${table} / ${period}`
}

interface Named {
  readonly project: string
  readonly table: string
  readonly period: string
}

// The line names the upload, so the endpoint need not be said again.
const reasonMessage = (error: UploadFailure): string => "reason" in error ? error.reason.message : error.message

const stopLine = {
  finish: "Stopping: uploads that are under way may finish. Once more abandons them.",
  abandon: "Stopping: uploads that are under way are abandoned."
}

/** What is printed about an upload as soon as it ends. */
export const progressLine = (
  name: string,
  item: ItemReport,
  paint: LiveRegion.LiveRegion["paint"]
): ReadonlyArray<string | Output.Painted> => {
  if (item.status !== "uploaded") return [paint("red", "✗"), ` ${name}: ${item.error?.message ?? item.status}`]
  const retried = item.recoveries.length === 0 ? "" : paint("yellow", `, after ${item.recoveries.join(", ")}`)
  return [
    paint("green", "✓"),
    ` ${name}  ${units.bytes(item.bytes)} in ${units.duration(item.durationMs)}`,
    retried
  ]
}
