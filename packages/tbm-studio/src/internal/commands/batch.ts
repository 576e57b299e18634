import * as Journal from "@effect-resilience/upload/Journal"
import * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Manifest from "../../Manifest.ts"
import * as duration from "../duration.ts"
import * as journalFile from "../journalFile.ts"
import { respondWith } from "../respond.ts"
import { provideStudio } from "../runtime.ts"
import * as Uploads from "../uploads.ts"

const flags = {
  manifest: Argument.String("manifest").pipe(
    Argument.withDescription("CSV or JSON rows of file, project, table, period, action")
  ),
  concurrency: Flag.Int("concurrency").pipe(
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 64 }))),
    Flag.withDescription("How many uploads run at once, 1 to 64 (default 4)"),
    Flag.withDefault(4)
  ),
  pace: Flag.String("pace").pipe(
    Flag.filterMap(duration.parse, () => "Expected a duration such as 500ms, 2s or 1m"),
    Flag.withMetavar("DURATION"),
    Flag.withDescription("The least time between the starts of two attempts, such as 500ms or 2s"),
    Flag.optional
  ),
  failFast: Flag.Boolean("fail-fast").pipe(
    Flag.withDescription("Start nothing more after the first failure"),
    Flag.withDefault(false)
  ),
  journal: Flag.String("journal").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Where to remember what is uploaded; MANIFEST.journal.sqlite where none is named"),
    Flag.optional
  ),
  noJournal: Flag.Boolean("no-journal").pipe(
    Flag.withDescription("Remember nothing: another run uploads everything again"),
    Flag.withDefault(false)
  ),
  unknown: Flag.Literals("unknown", ["fail", "skip", "retry"]).pipe(
    Flag.withDescription("What to do with an append that an earlier run may have applied (default fail)"),
    Flag.withDefault("fail")
  ),
  onInterrupt: Flag.Literals("on-interrupt", ["finish", "abandon"]).pipe(
    Flag.withDescription("What Ctrl-C does to the uploads that are under way (default finish)"),
    Flag.withDefault("finish")
  )
}

export const batch = Command.make(
  "batch",
  flags,
  ({ concurrency, failFast, journal, manifest, noJournal, onInterrupt, pace, unknown }) =>
    Effect.gen(function*() {
      const rows = yield* Manifest.read(manifest)
      const jobs = rows.map(({ action, address, file }): Uploads.Job => ({
        file,
        upload: { source: UploadSource.file(file), address, action, force: false }
      }))
      const report = yield* Uploads.run(jobs, {
        concurrency,
        failFast,
        pace: Option.getOrUndefined(pace),
        show: "each",
        onUnknown: unknown,
        onInterrupt
      }).pipe(Effect.provide(
        noJournal
          ? Journal.layerMemory
          : journalFile.layer(Option.getOrElse(journal, () => journalFile.beside(manifest)))
      ))
      return {
        json: { items: report.items, totals: report.totals },
        text: Uploads.table(report),
        exitStatus: report.exitStatus
      }
    }).pipe(provideStudio, respondWith((error) => ({ ...Uploads.nothing(), error })))
).pipe(
  Command.withDescription("Upload every file of a manifest"),
  Command.withExamples([
    { command: "tbm-studio batch january.csv", description: "Upload what january.csv lists, four files at a time" },
    {
      command: "tbm-studio batch january.json --concurrency 2 --pace 1s --fail-fast --json",
      description: "Gently, and stop at the first failure"
    },
    {
      command: "tbm-studio batch january.csv --unknown skip",
      description: "Go on after a crash, taking appends that were under way for done"
    }
  ])
)
