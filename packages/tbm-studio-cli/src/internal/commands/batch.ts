import * as Time from "@effect-resilience/kernel/Time"
import { Settings } from "@effect-resilience/tbm-studio/Settings"
import * as Journal from "@effect-resilience/upload/Journal"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Manifest from "../../Manifest.ts"
import { type CommandOutput, printOutputWith } from "../commandOutput.ts"
import * as DataFile from "../dataFile.ts"
import * as DryRun from "../dryRun.ts"
import * as duration from "../duration.ts"
import * as journalFile from "../journalFile.ts"
import * as listing from "../listing.ts"
import * as Looks from "../looks.ts"
import * as Place from "../place.ts"
import * as Precautions from "../precautions.ts"
import * as Report from "../report.ts"
import * as RowHistory from "../rowHistory.ts"
import { InvalidOption, provideStudio } from "../runtime.ts"
import type * as Submit from "../submit.ts"
import * as UploadRoute from "../uploadRoute.ts"
import * as Uploads from "../uploads.ts"

const flags = {
  manifest: Argument.String("manifest").pipe(
    Argument.withDescription("CSV, JSON or JSON Lines: rows of file, project, table, period, action")
  ),
  dryRun: Flag.Boolean("dry-run").pipe(
    Flag.withDescription(
      "Show what would be sent, what is already there and what you would have to decide; send nothing"
    ),
    Flag.withDefault(false)
  ),
  ignoreColumns: Flag.String("ignore-column").pipe(
    Flag.filter(
      (name) => !Manifest.columns.includes(name.trim().toLowerCase()),
      () => `Expected a column other than ${Manifest.columns.join(", ")}`
    ),
    Flag.withMetavar("NAME"),
    Flag.withDescription(
      "A column of the manifest that is not for this command, such as a comment; may be given several times"
    ),
    Flag.atLeast(0)
  ),
  allowDuplicateRows: Flag.Boolean("allow-duplicate-rows").pipe(
    Flag.withDescription("Append a file as often as the manifest lists it for one table and period"),
    Flag.withDefault(false)
  ),
  ...UploadRoute.flags,
  group: Flag.Boolean("group").pipe(
    Flag.withDescription("With --via uploader: check all files in together, or none of them"),
    Flag.withDefault(false)
  ),
  concurrency: Flag.Int("concurrency").pipe(
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 64 }))),
    Flag.withDescription(
      "How many uploads run at once, 1 to 64 (default 4; with --durable over all workers, by default as many as they run)"
    ),
    Flag.optional
  ),
  pace: duration.flag("pace").pipe(
    Flag.withDescription("The least time between the starts of two attempts, such as 500ms or 2s"),
    Flag.optional
  ),
  maxTime: duration.flag("max-time").pipe(
    Flag.withDescription(
      "Start nothing more after this time, such as 2h; running uploads end as on Ctrl-C, and the others are listed"
    ),
    Flag.optional
  ),
  wait: journalFile.waitFlag,
  all: listing.all,
  failFast: Flag.Boolean("fail-fast").pipe(
    Flag.withDescription("Start nothing more after the first failure"),
    Flag.withDefault(false)
  ),
  ...DataFile.flags,
  ...Precautions.flags,
  journal: Flag.String("journal").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("The file that records what is uploaded (default MANIFEST.journal.sqlite)"),
    Flag.optional
  ),
  lastJournal: Flag.String("last-journal").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription(
      "With --rules: the journal of the last period, whose rows are compared (default that of this batch)"
    ),
    Flag.optional
  ),
  noJournal: Flag.Boolean("no-journal").pipe(
    Flag.withDescription("Record nothing: another run uploads everything again"),
    Flag.withDefault(false)
  ),
  unknown: Flag.Literals("unknown", ["fail", "skip", "retry"]).pipe(
    Flag.withDescription("What to do with an append that an earlier run may have applied (default fail)"),
    Flag.withDefault("fail")
  ),
  changed: Flag.Literals("changed", ["fail", "skip", "send"]).pipe(
    Flag.withDescription(
      "What to do if the stored rows differ from the manifest, and sending would keep both: an append whose content has " +
        "changed, or an append that is no longer listed (default fail)"
    ),
    Flag.withDefault("fail")
  ),
  acceptJournal: Flag.Boolean("accept-journal").pipe(
    Flag.withDescription(
      "Continue although the journal has no uploads to a table and period of this manifest, or is incomplete"
    ),
    Flag.withDefault(false)
  ),
  onInterrupt: Flag.Literals("on-interrupt", ["finish", "abandon"]).pipe(
    Flag.withDescription("What Ctrl-C does to the running uploads (default finish)"),
    Flag.withDefault("finish")
  ),
  durable: Flag.Boolean("durable").pipe(
    Flag.withDescription(
      "Give the uploads to the workers of the cluster that DATABASE_URL names, which must be able to read the files " +
        "under the same paths"
    ),
    Flag.withDefault(false)
  ),
  round: Flag.Int("round").pipe(
    Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
    Flag.withDescription(
      "With --durable: the cluster remembers the outcome of the manifest in each round (default 1); start the next round " +
        "when this one has ended, to send what failed"
    ),
    Flag.optional
  )
}

export const batch = Command.make(
  "batch",
  flags,
  (
    {
      acceptJournal,
      allowDuplicateRows,
      all,
      allowEmpty,
      backup,
      changed,
      concurrency,
      dryRun,
      durable,
      encoding,
      failFast,
      group,
      ignoreColumns,
      journal,
      lastJournal,
      look,
      manifest,
      maxTime,
      noJournal,
      onInterrupt,
      pace,
      preflight,
      round,
      rules,
      sessions,
      unknown,
      route,
      wait
    }
  ) =>
    Effect.gen(function*() {
      const begun = yield* Time.now
      const endsAt = Option.getOrUndefined(Option.map(maxTime, (time) => begun + Duration.toMillis(time)))
      const useless = durable
        ? [
          ...(Option.isSome(journal) ? ["--journal: the cluster keeps one"] : []),
          ...(Option.isSome(lastJournal) ? ["--last-journal: the cluster keeps another"] : []),
          ...(dryRun ? ["--dry-run: the workers decide when it is their turn"] : []),
          ...(encoding === "utf-8" ? [] : ["--encoding: the workers send the files as they are"]),
          ...(look ? ["--look: the workers send"] : []),
          ...(Option.isSome(backup) ? ["--backup: the workers send"] : []),
          ...(noJournal ? ["--no-journal: the cluster keeps one"] : []),
          ...(Option.isSome(wait) ? ["--wait: the cluster's journal is for all batches"] : []),
          ...(unknown === "fail" ? [] : ["--unknown: give it to the workers"]),
          ...(changed === "fail" ? [] : ["--changed: give it to the workers"]),
          ...(acceptJournal ? ["--accept-journal: the cluster's journal has all batches"] : []),
          ...(onInterrupt === "finish" ? [] : ["--on-interrupt: the workers continue"]),
          ...(group ? ["--group: the workers send to the table"] : []),
          ...(route === "table" ? [] : ["--via: the workers send to the table"])
        ]
        : [
          ...(Option.isSome(round) ? ["--round: it is for --durable"] : []),
          ...(noJournal && Option.isSome(wait) ? ["--wait: there is no journal to wait for"] : [])
        ]
      if (useless.length > 0) return yield* new InvalidOption({ message: `Leave out ${useless.join("; ")}.` })
      if (group && route === "table") {
        return yield* new InvalidOption({
          message: "Add --via uploader: only the uploader service checks files in as a group."
        })
      }
      const rows = yield* Manifest.read(manifest, { ignoreColumns, allowDuplicateRows })
      const jobs = rows.map((row) => new Uploads.RowJob(row, encoding))
      const outputOf = (report: Report.BatchReport): CommandOutput => ({
        json: { items: report.items, totals: report.totals },
        text: (width) => [
          ...Report.table(report, { all, width }),
          ...Precautions.advice(report.items, backup),
          ...durable || noJournal ? [] : journalFile.advice(report.items)
        ],
        exitStatus: report.exitStatus
      })
      const checks = yield* DataFile.checks({ allowEmpty, encoding, preflight, rules })
      const options = { ...checks, failFast, preflight, pace: Option.getOrUndefined(pace), endsAt }

      const journalPath = Option.isSome(journal) ? Effect.succeed(journal.value) : journalFile.beside(manifest)
      if (Option.isSome(lastJournal) && Option.isNone(rules)) {
        return yield* new InvalidOption({ message: "Leave out --last-journal: it is for --rules." })
      }
      const compares = checks.rules?.some(({ rowsChange }) => rowsChange !== undefined) === true
      const compared = Option.isSome(lastJournal)
        ? lastJournal.value
        : durable || noJournal || !compares
        ? undefined
        : yield* Effect.flatMap(
          journalPath,
          (path) => Effect.map(journalFile.isMissing(path), (missing) => missing ? undefined : path)
        )
      const local = {
        ...options,
        history: compared === undefined ? [] : yield* RowHistory.read(compared),
        onUnknown: unknown,
        onChanged: changed,
        concurrency: Option.getOrElse(concurrency, () => 4),
        route,
        group,
        precautions: { look, backup },
        onInterrupt,
        outputOf
      } as const
      const whenUnfit = (path: string) =>
        Effect.gen(function*() {
          if (acceptJournal) return
          const sql = yield* SqlClient.SqlClient
          return Effect.provideService(
            journalFile.checkFit(path, Place.scopeOf(yield* Settings)),
            SqlClient.SqlClient,
            sql
          )
        })
      const exclusively = { incomplete: acceptJournal, wait: longest(wait, maxTime) }
      if (dryRun) {
        const path = noJournal ? undefined : yield* journalPath
        const plan = path === undefined || (yield* journalFile.isMissing(path))
          ? yield* Effect.provide(DryRun.run(jobs, local), Journal.layerMemory)
          : yield* withJournal(path, journalFile.layerUnused(path, exclusively), (path) =>
            Effect.flatMap(whenUnfit(path), (whenUnfit) =>
              DryRun.run(jobs, { ...local, whenUnfit })))
        const table = yield* DryRun.table(plan)
        return {
          json: { items: plan.items, totals: plan.totals },
          text: (width: number) => [...table(width), ...journalFile.advice(plan.items)],
          exitStatus: plan.exitStatus
        }
      }
      const report = durable
        ? yield* submit(manifest, jobs, {
          ...options,
          concurrency: Option.getOrUndefined(concurrency),
          outputOf,
          round: Option.getOrElse(round, () =>
            1)
        })
        : noJournal
        ? yield* Effect.provide(Uploads.run(jobs, { ...local, looks: Looks.inMemory() }), Journal.layerMemory)
        : yield* Effect.flatMap(journalPath, (path) =>
          withJournal(
            path,
            journalFile.layerExclusive(path, exclusively),
            (path) =>
              Effect.flatMap(
                whenUnfit(path),
                (whenUnfit) =>
                  Effect.flatMap(
                    Effect.all([RowHistory.recorder, Looks.inJournal]),
                    ([remember, looks]) => Uploads.run(jobs, { ...local, whenUnfit, remember, looks })
                  )
              )
          ))
      return outputOf(report)
    }).pipe(
      UploadRoute.withSessions(route, sessions, unknown),
      provideStudio,
      printOutputWith((error) => ({ ...Report.nothing(), error }))
    )
).pipe(
  Command.withDescription("Upload every file of a manifest"),
  Command.withExamples([
    { command: "tbm-studio batch january.csv", description: "Upload what january.csv lists, four files at a time" },
    { command: "tbm-studio batch january.csv --dry-run", description: "Show what that would send, and send nothing" },
    {
      command: "tbm-studio batch january.json --concurrency 2 --pace 1s --fail-fast --json",
      description: "Upload slowly, and stop at the first failure"
    },
    {
      command: "tbm-studio batch january.csv --unknown skip",
      description: "Continue after a crash, and treat appends that were running as done"
    },
    {
      command: "DATABASE_URL=postgres://uploads@db/uploads tbm-studio batch january.csv --durable",
      description: "Let the workers of a cluster upload it; see tbm-studio worker --help"
    }
  ])
)

// Waiting for the journal is a part of the time that the batch may take.
const longest = (
  wait: Option.Option<Duration.Duration>,
  maxTime: Option.Option<Duration.Duration>
): Duration.Duration | undefined =>
  Option.getOrUndefined(Option.map(wait, (wait) => Duration.min(wait, Option.getOrElse(maxTime, () => wait))))

const withJournal = <A, E, R, AL, EL, RL>(
  path: string,
  layer: Layer.Layer<AL, EL, RL>,
  use: (path: string) => Effect.Effect<A, E, R>
) =>
  use(path).pipe(
    Effect.mapError((error) => error instanceof Journal.JournalError ? journalFile.failure(path, error) : error),
    Effect.provide(layer)
  )

const submit = Effect.fnUntraced(function*(
  manifest: string,
  jobs: ReadonlyArray<Uploads.Job>,
  options: Parameters<typeof Submit.run>[2]
) {
  const fs = yield* FileSystem.FileSystem
  const batch = yield* Effect.orElseSucceed(fs.realPath(manifest), () => manifest)
  // Only `batch --durable` and `worker` load these.
  const [cluster, submit] = yield* Effect.promise(() => Promise.all([import("../cluster.ts"), import("../submit.ts")]))
  const engine = Layer.effectContext(Effect.mapError(Layer.build(cluster.layer(undefined)), cluster.explain))
  return yield* Effect.provide(submit.run(batch, jobs, options), engine)
})
