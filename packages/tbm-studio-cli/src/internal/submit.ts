import * as Recovery from "@effect-resilience/errors/Recovery"
import { Settings } from "@effect-resilience/tbm-studio/Settings"
import { TableUploads } from "@effect-resilience/tbm-studio/TableUploads"
import type * as Batch from "@effect-resilience/upload/Batch"
import * as DurableUpload from "@effect-resilience/upload/DurableUpload"
import * as UploadPlan from "@effect-resilience/upload/UploadPlan"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import * as ExitStatus from "../ExitStatus.ts"
import * as cluster from "./cluster.ts"
import * as ClusterWorkers from "./clusterWorkers.ts"
import { type CommandOutput, type Failure, onEarlyEnd, withEnd } from "./commandOutput.ts"
import * as LiveRegion from "./liveRegion.ts"
import * as Place from "./place.ts"
import * as Preflight from "./preflight.ts"
import * as Report from "./report.ts"
import * as StopSignal from "./stopSignal.ts"
import type * as Uploads from "./uploads.ts"

/** Submits all uploads to a cluster, waits for its workers, and reports each upload like one of this process. */
export const run = Effect.fnUntraced(function*(batch: string, jobs: ReadonlyArray<Uploads.Job>, options: {
  /** The limit over all workers; by default that of the workers. */
  readonly concurrency: number | undefined
  readonly pace?: Duration.Input | undefined
  readonly failFast: boolean
  readonly round: number
  readonly preflight: boolean
  readonly allowEmpty: boolean
  /** When to stop waiting, in monotonic milliseconds. */
  readonly endsAt?: number | undefined
  /** Makes the command's output from a report, also if the command ends before its workers do. */
  readonly outputOf: (report: Report.BatchReport) => CommandOutput
}) {
  const region = yield* LiveRegion.make
  const scope = Place.scopeOf(yield* Settings)
  const begun = yield* Clock.currentTimeMillis
  const label = Report.labels(jobs.map(({ address }) => address))
  const versions = yield* Effect.forEach(
    jobs,
    ({ file }) =>
      Effect.match(cluster.sharedFile(file).open, { onFailure: () => undefined, onSuccess: ({ version }) => version }),
    { concurrency: 32 }
  )
  const items = new Map(jobs.map((job, i) => [
    {
      place: Place.of(scope, job.address, begun),
      name: job.name,
      file: job.file,
      ...job.address,
      action: job.action,
      ...(versions[i] === undefined ? {} : { version: versions[i] })
    },
    job
  ]))
  let verdicts: ReadonlyArray<UploadPlan.Verdict> = []
  if (options.preflight) {
    const target = cluster.targetOf((yield* TableUploads).target)
    verdicts = yield* UploadPlan.verdicts(yield* cluster.tables.plan(target, [...items.keys()]))
    yield* Preflight.check(jobs.filter((_, i) => verdicts[i]?._tag === "Send"), options, region)
  }

  const reports = new Map<Uploads.Job, Report.ItemReport>()
  const exits: Array<number> = []
  let stoppedBy: StopSignal.Reason | undefined
  const settle = Effect.fnUntraced(
    function*(durable: Batch.Result<typeof cluster.Item.Type, void, DurableUpload.DurableFailure>) {
      const job = items.get(durable.item)
      if (job === undefined) return
      const result = Report.asked(localResult(durable, job), verdicts[durable.index])
      const attempts = durable._tag === "Uploaded"
        ? durable.report.attempts
        : durable._tag === "Failed"
        ? durable.error.attempts
        : 0
      const recoveries = durable._tag === "Uploaded" ? durable.report.recoveries.map(({ error }) => causeOf(error)) : []
      const report = durable._tag === "Abandoned"
        ? withWorkers(job, timeOver)
        : stoppedBy === "time"
        ? Report.outOfTime(Report.reportOf(result, { attempts, recoveries, durationMillis: 0 }))
        : Report.reportOf(result, { attempts, recoveries, durationMillis: 0 })
      reports.set(job, report)
      exits.push(Report.exitOf(result))
      if (!Report.quiet.includes(report.status)) {
        yield* region.print([Report.progressLine(label(report), report, region.paint)])
      }
    }
  )

  const reportOf = (items: ReadonlyArray<Report.ItemReport>, durationMillis: number): Report.BatchReport => ({
    items,
    totals: Report.totalsOf(items, 0, durationMillis),
    exitStatus: ExitStatus.gravest(exits)
  })
  yield* onEarlyEnd((end) => {
    const items = jobs.map((job) => reports.get(job) ?? withWorkers(job, end.error))
    return withEnd(options.outputOf(reportOf(items, 0)), end)
  })

  yield* region.print([`Submitting ${jobs.length} uploads to the cluster, and waiting for its workers.`])
  const { totals } = yield* cluster.tables.run(batch, items.keys(), {
    ...options,
    concurrency: options.concurrency ?? Effect.provideContext(ClusterWorkers.bound, yield* Effect.context<SqlClient>()),
    stop: Effect.flatMap(
      StopSignal.firstOrAt(options.endsAt),
      (reason) => {
        stoppedBy = reason
        return Effect.as(region.print([stopLine[reason]]), reason === "time" ? "abandon" : "finish")
      }
    ),
    onResult: settle
  })
  return reportOf(jobs.flatMap((job) => reports.get(job) ?? []), totals.durationMillis)
})

/** An upload whose end this command does not wait for. */
const withWorkers = (job: Uploads.Job, why: Failure): Report.ItemReport => ({
  ...Report.unsent(Report.namesOf(job), "failed"),
  status: "unknown",
  error: { ...why, reason: "OutcomeUnknown", message: `${why.message} ${withTheWorkers}` }
})

const timeOver: Failure = {
  tag: "TimeOver",
  reason: "TimeOver",
  message: "The time of --max-time was over.",
  recovery: "Retry"
}

const withTheWorkers = "The workers may still upload it: run the same command again to wait for it."

const causeOf = (error: unknown): string =>
  error instanceof DurableUpload.DurableFailure ? error.reason ?? error.error : "failure"

const stopLine = {
  signal:
    "Stopping: nothing more is submitted. A second signal stops waiting; the workers continue with what they have.",
  time: "Stopping, since the time of --max-time is over. The workers continue with what they have."
}

const localResult = (
  result: Batch.Result<typeof cluster.Item.Type, void, DurableUpload.DurableFailure>,
  item: Uploads.Job
): Batch.Result<Uploads.Job, void, Failed> =>
  result._tag === "Failed" ? { ...result, item, error: failed(result.error) } : { ...result, item }

/** A failure as it was before the cluster stored it. */
interface Failed {
  readonly _tag: string
  readonly message: string
  readonly reason?: { readonly _tag: string }
  readonly [Recovery.symbol]: () => Recovery.Recovery
}

const failed = (failure: DurableUpload.DurableFailure): Failed => ({
  _tag: failure.error,
  message: failure.message,
  ...(failure.reason === undefined ? {} : { reason: { _tag: failure.reason } }),
  [Recovery.symbol]: () => Recovery.of(failure)
})
