import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { printOutputWith } from "../commandOutput.ts"
import * as duration from "../duration.ts"
import * as journalFile from "../journalFile.ts"
import * as listing from "../listing.ts"
import * as Precautions from "../precautions.ts"
import * as Report from "../report.ts"
import * as Rules from "../rules.ts"
import { provideStudio } from "../runtime.ts"
import * as UploadRoute from "../uploadRoute.ts"
import * as Watching from "../watching.ts"
import * as WatchReport from "../watchReport.ts"

const flags = {
  directory: Argument.String("directory").pipe(Argument.withDescription("The folder in which files arrive")),
  rules: Flag.String("rules").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Which files go where, and what they must have; a JSON file that the README describes")
  ),
  once: Flag.Boolean("once").pipe(
    Flag.withDescription("Upload what is there now, and end: for cron"),
    Flag.withDefault(false)
  ),
  only: Flag.String("only").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("Upload only the file of this name; may be given several times"),
    Flag.atLeast(0)
  ),
  settle: duration.flag("settle").pipe(
    Flag.withDescription("How long a file without a marker must stay as it is until it counts as whole (default 10s)"),
    Flag.optional
  ),
  interval: duration.flag("interval").pipe(
    Flag.withDescription("How often to look at the folder if no event tells of a file (default 30s)"),
    Flag.optional
  ),
  ...UploadRoute.flags,
  concurrency: Flag.Int("concurrency").pipe(
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 64 }))),
    Flag.withDescription("How many uploads run at once, 1 to 64 (default 4)"),
    Flag.withDefault(4)
  ),
  pace: duration.flag("pace").pipe(
    Flag.withDescription("The least time between the starts of two attempts, such as 500ms or 2s"),
    Flag.optional
  ),
  ...Precautions.flags,
  wait: journalFile.waitFlag,
  journal: Flag.String("journal").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("The file that records what is uploaded (default RULES.journal.sqlite)"),
    Flag.optional
  ),
  unknown: Flag.Literals("unknown", ["fail", "skip", "retry"]).pipe(
    Flag.withDescription("What to do with an append that an earlier run may have applied (default fail)"),
    Flag.withDefault("fail")
  ),
  changed: Flag.Literals("changed", ["fail", "send"]).pipe(
    Flag.withDescription("What to do with new content under the name of a file that was uploaded (default fail)"),
    Flag.withDefault("fail")
  ),
  acceptJournal: Flag.Boolean("accept-journal").pipe(
    Flag.withDescription("Continue with a journal that is incomplete"),
    Flag.withDefault(false)
  ),
  all: listing.all
}

export const watch = Command.make(
  "watch",
  flags,
  (
    {
      acceptJournal,
      all,
      backup,
      changed,
      directory,
      interval,
      journal,
      look,
      pace,
      rules,
      sessions,
      settle,
      unknown,
      wait,
      ...options
    }
  ) =>
    Effect.gen(function*() {
      const read = yield* Rules.readWatch(rules)
      const call: WatchReport.Call = {
        directory,
        rulesPath: rules,
        flags: [
          ...Option.toArray(Option.map(journal, (file) => ["--journal", file] as const)),
          ...(options.route === "table" ? [] : [["--via", options.route] as const]),
          ...Option.toArray(Option.map(sessions, (directory) => ["--sessions", directory] as const)),
          ...Option.toArray(Option.map(backup, (directory) => ["--backup", directory] as const)),
          ...(look ? [["--look"] as const] : [])
        ]
      }
      return yield* Watching.run({
        ...options,
        call,
        rules: read,
        journal: Option.isSome(journal) ? journal.value : yield* journalFile.beside(rules),
        incomplete: acceptJournal,
        settle: Option.getOrElse(settle, () => Duration.seconds(10)),
        interval: Option.getOrElse(interval, () => Duration.seconds(30)),
        pace: Option.getOrUndefined(pace),
        precautions: { look, backup },
        wait: Option.getOrUndefined(wait),
        onUnknown: unknown,
        onChanged: changed,
        outputOf: WatchReport.outputOf(call, { all, backup })
      })
    }).pipe(
      UploadRoute.withSessions(options.route, sessions, unknown),
      provideStudio,
      printOutputWith((error) => ({ ...Report.nothing(), waiting: [], rejected: [], error }))
    )
).pipe(
  Command.withDescription("Upload the files that arrive in a folder"),
  Command.withExamples([
    { command: "tbm-studio watch inbox --rules rules.json", description: "Upload what arrives in inbox, until Ctrl-C" },
    {
      command: "tbm-studio watch inbox --rules rules.json --once --json",
      description: "Upload what is there, from cron"
    },
    {
      command: "tbm-studio watch inbox --rules rules.json --once --only gl.csv --changed send",
      description: "Send the new content of a file that was uploaded before"
    }
  ])
)
