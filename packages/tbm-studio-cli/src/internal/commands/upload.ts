import { Settings } from "@effect-resilience/tbm-studio/Settings"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as TableUploads from "@effect-resilience/tbm-studio/TableUploads"
import * as Uploader from "@effect-resilience/upload/Uploader"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ExitStatus from "../../ExitStatus.ts"
import { type CommandOutput, type End, onEarlyEnd, printOutputWith, withEnd } from "../commandOutput.ts"
import * as DataFile from "../dataFile.ts"
import * as Looks from "../looks.ts"
import * as Precautions from "../precautions.ts"
import * as Preflight from "../preflight.ts"
import * as Report from "../report.ts"
import { InvalidOption, provideStudio } from "../runtime.ts"
import * as Tracker from "../tracker.ts"
import * as units from "../units.ts"
import * as UploadRoute from "../uploadRoute.ts"

const flags = {
  file: Argument.String("file").pipe(Argument.withDescription("The file to upload: CSV or TSV, plain or gzipped")),
  project: Flag.String("project").pipe(Flag.withDescription("The project that the table belongs to")),
  table: Flag.String("table").pipe(Flag.withDescription("The table; it is created where it does not exist")),
  period: Flag.String("period").pipe(
    Flag.withDescription("Month:Year, such as January:2024 or Jan:FY2024; or current")
  ),
  action: Flag.Literals("action", TableAddress.actions).pipe(
    Flag.withDescription("Whether to replace the period's rows or to add to them (default overwrite)"),
    Flag.withDefault("overwrite")
  ),
  force: Flag.Boolean("force").pipe(
    Flag.withDescription("Overwrite a table that is checked out"),
    Flag.withDefault(false)
  ),
  ...UploadRoute.flags,
  ...DataFile.flags,
  ...Precautions.flags,
  unknown: Flag.Literals("unknown", ["fail", "retry"]).pipe(
    Flag.withDescription(
      "With --sessions: what to do with an append that an earlier run may have applied (default fail)"
    ),
    Flag.withDefault("fail")
  ),
  dryRun: Flag.Boolean("dry-run").pipe(
    Flag.withDescription("Check settings, names and file, and send nothing"),
    Flag.withDefault(false)
  )
}

export const upload = Command.make(
  "upload",
  flags,
  ({ allowEmpty, backup, dryRun, encoding, file, look, preflight, rules, unknown, ...options }) =>
    Effect.gen(function*() {
      if (unknown === "retry" && Option.isNone(options.sessions)) {
        return yield* new InvalidOption({ message: "Leave out --unknown: it is for --sessions." })
      }
      const upload = { ...yield* TableUploads.make({ ...options, source: DataFile.source(file, encoding) }), file }
      const checks = yield* DataFile.checks({ allowEmpty, encoding, preflight, rules })
      const rows = preflight ? yield* Preflight.checkOne(upload, checks) : undefined
      return dryRun
        ? yield* plan(upload, options.route)
        : yield* send(upload, options.route, {
          sessions: Option.isSome(options.sessions),
          precautions: yield* Precautions.make({
            look,
            backup,
            looks: Looks.inMemory(),
            keyOf: () => ["", file],
            rowsOf: () => rows
          })
        })
    }).pipe(
      UploadRoute.withSessions(options.route, options.sessions, unknown),
      provideStudio,
      printOutputWith((error) => ({ ...documentOf(Report.unsent({ file, ...options }, "failed")), error }))
    )
).pipe(
  Command.withDescription("Upload one file to one table and period"),
  Command.withExamples([
    {
      command: `tbm-studio upload gl.csv --project "Cost Transparency" --table "GL Data" --period January:2024`,
      description: "Replace the rows of January"
    },
    {
      command: `tbm-studio upload late.csv --project "Cost Transparency" --table "GL Data" --period Jan:FY2024 ` +
        "--action append",
      description: "Add rows; if the response is lost, exit with 75 instead of adding them twice"
    },
    {
      command: `tbm-studio upload year.csv --project "Cost Transparency" --table "GL Data" --period Jan:FY2024 ` +
        "--via uploader --sessions .uploads",
      description: "Send a large file in parts; after a crash, the same line sends what is missing"
    }
  ])
)

const send = Effect.fnUntraced(function*(
  upload: Report.FileUpload,
  route: UploadRoute.UploadRoute,
  { precautions, sessions }: {
    readonly sessions: boolean
    readonly precautions: Precautions.Precautions<Report.FileUpload>
  }
) {
  const { responseTimeout, target } = yield* UploadRoute.destinationOf(route)
  const tracker = yield* Tracker.make([upload])
  const clock = yield* Clock.Clock
  const outputOf = (
    ended: Report.Ended<Report.FileUpload>,
    { backup, look }: Precautions.Seen,
    end?: End
  ): CommandOutput => {
    const track = tracker.settle(ended, clock.currentTimeMillisUnsafe())
    const item = {
      ...Report.reportOf(ended, track, end?.error),
      ...backup === undefined ? {} : { backup },
      ...look === undefined ? {} : { look }
    }
    return {
      json: documentOf(item),
      text: [
        ...(item.status === "uploaded" ? [Report.describe(item)] : []),
        ...(backup === undefined ? [] : [`What it replaced is in ${backup}.`])
      ],
      problems: [
        ...(item.error === undefined ? [] : [Report.messageOf(item.error)]),
        ...(look === undefined ? [] : [look.message]),
        ...(sessions && item.status === "unknown"
          ? [
            "Look at what is stored. If the rows are missing, run it again with --unknown retry to send them again."
          ]
          : [])
      ],
      exitStatus: Report.exitOf(ended)
    }
  }
  let output: CommandOutput | undefined
  yield* onEarlyEnd((end) =>
    withEnd(output ?? outputOf(Report.cutOff(upload, tracker.phaseOf(upload)), {}, end), end, output !== undefined)
  )
  const uploaded = Uploader.upload(tracker.observe(precautions.guard(target)), upload, {
    responseTimeout,
    digests: ["md5"],
    onEvent: (event) => Effect.andThen(precautions.onEvent(event, upload), tracker.onEvent(event, upload))
  })
  const ended = yield* tracker.show(Effect.match(uploaded, {
    onFailure: (error): Report.Ended<Report.FileUpload> => ({ _tag: "Failed", item: upload, error }),
    onSuccess: (report): Report.Ended<Report.FileUpload> => ({ _tag: "Uploaded", item: upload, report })
  }))
  return output = outputOf(ended, yield* precautions.report(upload, ended))
})

const documentOf = ({ recoveries: _, ...item }: Report.ItemReport): object => item

const plan = Effect.fnUntraced(function*(upload: Report.FileUpload, route: UploadRoute.UploadRoute) {
  const settings = yield* Settings
  const { address, action, source } = upload
  const { size = 0 } = yield* source.open
  return {
    json: documentOf(Report.unsent(Report.namesOf(upload), "planned", size)),
    text: [
      `Would ${action === "append" ? "append" : "upload"} ${upload.file} (${units.bytes(size)}) ` +
      `to ${TableAddress.format(address)}:`,
      `POST ${yield* UploadRoute.address(route, settings, upload)}`
    ],
    exitStatus: ExitStatus.done
  }
})
