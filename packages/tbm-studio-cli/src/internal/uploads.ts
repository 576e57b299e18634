import { Frontdoor } from "@effect-resilience/tbm-studio/Frontdoor"
import { Settings } from "@effect-resilience/tbm-studio/Settings"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as UploadSessions from "@effect-resilience/tbm-studio/UploadSessions"
import * as Batch from "@effect-resilience/upload/Batch"
import * as Journal from "@effect-resilience/upload/Journal"
import * as UploadPlan from "@effect-resilience/upload/UploadPlan"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as ExitStatus from "../ExitStatus.ts"
import type * as Manifest from "../Manifest.ts"
import { type CommandOutput, onEarlyEnd, withEnd } from "./commandOutput.ts"
import * as DataFile from "./dataFile.ts"
import type { Encoding } from "./encoding.ts"
import type * as LiveRegion from "./liveRegion.ts"
import type * as Looks from "./looks.ts"
import * as Output from "./output.ts"
import * as Place from "./place.ts"
import * as Precautions from "./precautions.ts"
import * as Preflight from "./preflight.ts"
import {
  type BatchReport,
  cutOff,
  exitOf,
  type FileUpload,
  type ItemReport,
  outOfTime,
  progressLine,
  quiet,
  reportOf,
  totalsOf
} from "./report.ts"
import * as RowHistory from "./rowHistory.ts"
import { type InvalidInput, InvalidOption } from "./runtime.ts"
import * as StopSignal from "./stopSignal.ts"
import * as Tracker from "./tracker.ts"
import * as UploadRoute from "./uploadRoute.ts"

/** One upload of a batch. `name` is the same in every run. */
export interface Job extends FileUpload {
  readonly name: string
}

/** A row of a manifest. Its source is made when it is needed, as there may be a hundred thousand rows. */
export class RowJob implements Job {
  readonly file: string
  readonly name: string
  readonly address: TableAddress.TableAddress
  readonly action: TableAddress.Action

  private readonly encoding: Encoding

  constructor({ action, address, file, name }: Manifest.Row, encoding: Encoding = "utf-8") {
    this.encoding = encoding
    this.file = file
    this.name = name
    this.address = address
    this.action = action
  }
  get source() {
    return DataFile.source(this.file, this.encoding)
  }
  get force() {
    return false
  }
}

/** What decides which uploads of a batch are sent. */
export interface PlanOptions extends Preflight.Options {
  readonly route?: UploadRoute.UploadRoute | undefined
  /** Whether all uploads are processed together, through the uploader service. */
  readonly group?: boolean | undefined
  /** Reads all files that will be sent before the first is sent. */
  readonly preflight?: boolean | undefined
  readonly onUnknown?: Journal.OnUnknown | undefined
  readonly onChanged?: Journal.OnChanged | undefined
  /** Whether the jobs are all that their tables and periods should contain (default true). */
  readonly complete?: boolean | undefined
  /** How many rows files have that were read before. */
  readonly rows?: ReadonlyMap<string, number> | undefined
  /** The rows that journals have of earlier periods. */
  readonly history?: ReadonlyArray<RowHistory.Rows> | undefined
  /** Runs if the journal knows none of the places. */
  readonly whenUnfit?: Effect.Effect<void, InvalidInput> | undefined
}

/** Compares the jobs with the journal, and checks the files that will be sent. `verdicts` is empty if no one needs them. */
export const plan = Effect.fnUntraced(function*(
  target: UploadRoute.Destination["target"],
  jobs: ReadonlyArray<Job>,
  options: PlanOptions & { readonly verdicts?: boolean | undefined },
  { now, region }: { readonly now: number; readonly region: LiveRegion.LiveRegion }
) {
  const scope = Place.scopeOf(yield* Settings)
  const plan = yield* UploadPlan.make(target, jobs, {
    place: ({ address }) => Place.of(scope, address, now),
    name: ({ name }) => name,
    complete: options.complete,
    onUnknown: options.onUnknown,
    onChanged: options.onChanged
  })
  if (plan.known === 0) yield* options.whenUnfit ?? Effect.void
  const verdicts = options.preflight === true || options.verdicts === true || options.group === true
    ? yield* UploadPlan.verdicts(plan)
    : []
  const sent = jobs.filter((_, i) => verdicts[i]?._tag === "Send")
  if (options.group === true) yield* checkGroup(sent)
  if (options.preflight !== true) return { plan, sent, verdicts, rows: options.rows ?? new Map<string, number>() }
  const { history = [], rules = [] } = options
  const rows = yield* Preflight.check(sent, options, region)
  const before = (address: TableAddress.TableAddress) => RowHistory.before(history, Place.parts(scope, address, now))
  yield* Preflight.compareRows(sent, rows, { rules, before })
  return { plan, sent, verdicts, rows }
})

/** Fails if the uploader service cannot process these uploads together. */
const checkGroup = (jobs: ReadonlyArray<Job>) => {
  const [first] = jobs
  const other = jobs.find(({ address }) => address.project !== first?.address.project)
  const places = new Set<string>()
  const again = jobs.find(({ address }) => places.size === places.add(TableAddress.key(address)).size)
  const why = first !== undefined && other !== undefined
    ? `all of a group goes to one project, but there are ${first.address.project} and ${other.address.project}`
    : again !== undefined
    ? `a group may have one upload for a table and period, but there are several for ${
      TableAddress.format(again.address)
    }`
    : jobs.length > mostOfGroup
    ? `a group may have ${mostOfGroup} uploads, but there are ${jobs.length}`
    : undefined
  return why === undefined ? Effect.void : Effect.fail(new InvalidOption({ message: `Leave out --group: ${why}.` }))
}

// All of a group run at once.
const mostOfGroup = 1_000

/** Uploads all jobs, shows progress on standard error, prints a line there for each upload that ends, and reports all. */
export const run = Effect.fnUntraced(function*(
  jobs: ReadonlyArray<Job>,
  options: PlanOptions & {
    readonly concurrency: number
    readonly pace?: Duration.Input | undefined
    readonly failFast?: boolean | undefined
    /** Looks before appends, and keeps what overwrites replace. */
    readonly precautions?: Pick<Precautions.Options, "look" | "backup"> | undefined
    readonly looks?: Looks.Looks | undefined
    /** Keeps how many rows an uploaded content has. */
    readonly remember?: ((md5: string, rows: number) => Effect.Effect<void>) | undefined
    /** What the first signal does to the running uploads. Without it, signals interrupt the program. */
    readonly onInterrupt?: Batch.StopMode | undefined
    /** When to stop as on a signal, in monotonic milliseconds. */
    readonly endsAt?: number | undefined
    /** Stops the batch, in place of the first signal. */
    readonly stop?: Effect.Effect<Batch.StopMode> | undefined
    /** Receives the report of each upload that ended, with its exit status. */
    readonly onSettled?: ((report: ItemReport, exitStatus: number) => void) | undefined
    /** Makes the command's output from a report, also if the batch ends before it has all results. */
    readonly outputOf?: ((report: BatchReport) => CommandOutput) | undefined
  }
) {
  const route = yield* UploadRoute.destinationOf(options.route ?? "table")
  const frontdoor = yield* Frontdoor
  const tracker = yield* Tracker.make(jobs)
  const { label, region, startedAt: begun } = tracker
  const exits: Array<number> = []
  const { plan: made, rows, sent, verdicts } = yield* plan(route.target, jobs, options, { region, now: begun })
  const group = options.group === true ? yield* UploadRoute.groupOf(sent, options.concurrency) : undefined
  const { responseTimeout, target } = group ?? route
  const scope = Place.scopeOf(yield* Settings)
  const precautions = options.precautions === undefined || options.looks === undefined
    ? Precautions.none
    : yield* Precautions.make({
      ...options.precautions,
      looks: options.looks,
      keyOf: ({ address, name }: Job) => [Place.of(scope, address, begun), name],
      rowsOf: ({ file }) => rows.get(file)
    })
  const { endsAt, onInterrupt } = options
  let stoppedBy: StopSignal.Reason | undefined
  const stop = options.stop ?? (onInterrupt && Effect.map(stopped(onInterrupt, endsAt), (reason) => {
    stoppedBy = reason
    return onInterrupt
  }))

  const reports = jobs.map((): ItemReport | undefined => undefined)
  const settle = Effect.fnUntraced(function*(result: Batch.Result<Job, unknown, unknown>) {
    const now = yield* Clock.currentTimeMillis
    const track = tracker.settle(result, now)
    const ended = stoppedBy === "time" ? outOfTime(reportOf(result, track)) : reportOf(result, track)
    const report: ItemReport = { ...ended, ...yield* precautions.report(result.item, result) }
    reports[result.index] = report
    if (group !== undefined) yield* group.leave(result.item, report.status === "uploaded")
    exits.push(exitOf(result))
    options.onSettled?.(report, exitOf(result))
    const count = rows.get(result.item.file)
    if (options.remember !== undefined && count !== undefined && report.status === "uploaded" && report.md5 !== null) {
      yield* options.remember(report.md5, count)
    }
    if (!quiet.includes(report.status)) {
      yield* region.print([progressLine(label(result.item), report, region.paint)])
    }
  })

  const { outputOf } = options
  if (outputOf !== undefined) {
    const clock = yield* Clock.Clock
    yield* onEarlyEnd((end) => {
      const now = clock.currentTimeMillisUnsafe()
      const statuses = [...exits]
      const items = jobs.map((job, index): ItemReport => {
        const report = reports[index]
        if (report !== undefined) return report
        const result = cutOff(job, tracker.phaseOf(job), verdicts[index])
        statuses.push(exitOf(result))
        return reportOf(result, tracker.settle(result, now), end.error)
      })
      const report = { items, totals: totalsOf(items, 0, now - begun), exitStatus: ExitStatus.gravest(statuses) }
      return withEnd(outputOf(report), end, exits.length === jobs.length)
    })
  }

  const observed = tracker.observe(precautions.guard(target))
  const resolved = options.route === "uploader"
    ? yield* resolvedBefore(jobs, ({ address }) => Place.of(scope, address, begun))
    : new Set<Job>()
  const { totals } = yield* tracker.show(
    Batch.runWithJournal<Job, unknown, UploadRoute.Failure | Precautions.BackupFailed, FileSystem.FileSystem>(
      withoutDoubt(observed, resolved),
      jobs,
      {
        ...options,
        // The members of a group wait for each other.
        concurrency: group === undefined ? options.concurrency : Math.max(1, jobs.length),
        responseTimeout,
        plan: made,
        stop,
        onEvent: (event, job) => Effect.andThen(precautions.onEvent(event, job), tracker.onEvent(event, job)),
        onResult: settle
      }
    )
  )

  // Without the uploads that have no result because the batch ended early.
  const items = reports.filter((report) => report !== undefined)
  const { logins } = yield* frontdoor.tokens.status
  const report: BatchReport = {
    items,
    totals: totalsOf(items, logins, totals.durationMillis),
    exitStatus: ExitStatus.gravest(exits)
  }
  return report
}, Effect.scoped)

/** The appends of which a person has said whether they are there, and that have not been begun since. */
const resolvedBefore = Effect.fnUntraced(function*(jobs: ReadonlyArray<Job>, placeOf: (job: Job) => string) {
  const appends = jobs.filter(({ action }) => action === "append")
  const histories = yield* (yield* Journal.Journal).history([...new Set(appends.map(placeOf))])
  return new Set(appends.filter((job) => {
    const last = histories.get(placeOf(job))?.findLast((entry) =>
      entry.name === job.name &&
      (UploadPlan.isResolved(entry) || (entry.state !== "failed" && entry.state !== "waiting"))
    )
    return last !== undefined && UploadPlan.isResolved(last)
  }))
})

/** The sessions of the uploader service do not know what was said. */
const withoutDoubt = <Receipt, E, R>(
  target: UploadTarget.UploadTarget<Job, Receipt, E, R>,
  resolved: ReadonlySet<Job>
): UploadTarget.UploadTarget<Job, Receipt, E, R> => ({
  ...target,
  send: (job, payload) =>
    resolved.has(job)
      ? Effect.provideService(target.send(job, payload), UploadSessions.OnUnknown, "retry")
      : target.send(job, payload)
})

/** Completes on the first signal or at a time, and says what happens now. What is abandoned has the grace period to clean up. */
export const stopped = (mode: Batch.StopMode, endsAt?: number) =>
  Effect.tap(StopSignal.firstOrAt(endsAt), (reason) =>
    Effect.andThen(
      Output.print("stderr", [stopLine(reason, mode)]),
      mode === "abandon" ? StopSignal.cleanUp : Effect.void
    ))

const stopLine = (reason: StopSignal.Reason, mode: Batch.StopMode): string => {
  const why = reason === "signal" ? "Stopping" : "Stopping, since the time of --max-time is over"
  return mode === "abandon"
    ? `${why}: running uploads are abandoned.`
    : `${why}: running uploads may finish. ${reason === "signal" ? "A second" : "A"} signal abandons them.`
}
