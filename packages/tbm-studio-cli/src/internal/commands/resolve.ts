import * as Period from "@effect-resilience/tbm-studio/Period"
import { Settings } from "@effect-resilience/tbm-studio/Settings"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import { TableDownloads } from "@effect-resilience/tbm-studio/TableDownloads"
import * as Journal from "@effect-resilience/upload/Journal"
import * as UploadPlan from "@effect-resilience/upload/UploadPlan"
import * as Arr from "effect/Array"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import * as ExitStatus from "../../ExitStatus.ts"
import { printOutput } from "../commandOutput.ts"
import * as journalFile from "../journalFile.ts"
import * as LookAgain from "../lookAgain.ts"
import * as Looks from "../looks.ts"
import * as Output from "../output.ts"
import * as Place from "../place.ts"
import { InvalidInput, InvalidOption, provideStudio } from "../runtime.ts"
import * as units from "../units.ts"

const flags = {
  journal: Argument.String("journal").pipe(
    Argument.withDescription("A journal with appends of unknown outcome, or its manifest")
  ),
  unknown: Flag.Literals("unknown", ["ask", "skip", "retry"]).pipe(
    Flag.withDescription(
      "What to record: skip, it is there; retry, it is missing, and the next batch sends it again (default ask, one by one)"
    ),
    Flag.withDefault("ask")
  ),
  files: Flag.String("file").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("Only the appends of this file, as the manifest names it; may be given several times"),
    Flag.atLeast(0)
  ),
  wait: journalFile.waitFlag,
  look: Flag.Boolean("look").pipe(
    Flag.withDescription("Download each table again, and tell what has changed since batch --look appended to it"),
    Flag.withDefault(false)
  )
}

export const resolve = Command.make(
  "resolve",
  flags,
  ({ files, journal, look, unknown, wait }) =>
    Effect.gen(function*() {
      const windowOf = yield* Output.WindowOf
      if (unknown === "ask" && (windowOf("stderr") === undefined || !process.stdin.isTTY)) {
        return yield* new InvalidOption({
          message: "There is no terminal to ask on. Look at the tables, then use --unknown skip or --unknown retry."
        })
      }
      const path = yield* journalFile.find(journal)
      return yield* run(path, { files, look, unknown }).pipe(
        Effect.mapError((error) => error instanceof Journal.JournalError ? journalFile.failure(path, error) : error),
        Effect.provide(journalFile.layerExclusive(path, { incomplete: false, wait: Option.getOrUndefined(wait) }))
      )
    }).pipe(printOutput)
).pipe(
  Command.withDescription("Record whether appends of unknown outcome have arrived, so that the next batch continues"),
  Command.withExamples([
    { command: "tbm-studio resolve january.csv", description: "Decide one by one, on the terminal" },
    { command: "tbm-studio resolve january.csv --look", description: "See first what has changed in the tables" },
    {
      command: "tbm-studio resolve january.csv --unknown retry --file late.csv",
      description: "late.csv is missing: the next batch sends it again"
    }
  ])
)

type Decision = "skip" | "retry" | undefined

interface Doubt {
  readonly entry: Journal.Entry
  readonly place: Place.Place
  readonly look: LookAgain.LookReport | undefined
}

const run = Effect.fnUntraced(function*(path: string, { files, look, unknown }: {
  readonly files: ReadonlyArray<string>
  readonly look: boolean
  readonly unknown: "ask" | "skip" | "retry"
}) {
  const { entries } = yield* Journal.Journal
  const histories = Object.values(Arr.groupBy(yield* Stream.runCollect(entries), ({ place }) => place))
  const all = histories.flatMap(UploadPlan.doubts)
  for (const file of files) {
    if (!all.some(({ name }) => name === file)) {
      const known = [...new Set(all.map(({ name }) => name))]
      return yield* new InvalidInput({
        message: `No append of ${file} is in doubt in ${path}${
          known.length === 0 ? "." : `, but of ${known.join(", ")}.`
        }`
      })
    }
  }
  const asked = files.length === 0 ? all : all.filter(({ name }) => files.includes(name))
  const seen = look ? yield* looksAt(asked) : []
  const doubts = yield* Effect.forEach(asked, (entry, i) =>
    Option.match(Place.parse(entry.place), {
      onNone: () =>
        Effect.fail(
          new InvalidInput({
            message:
              `${path} has entries of another program, or of another version of tbm-studio. Name one of this version.`
          })
        ),
      onSome: (place) => Effect.succeed<Doubt>({ entry, place, look: seen[i] })
    }))

  const items: Array<object> = []
  const decisions: Array<Decision> = []
  let asking = true
  for (const [i, doubt] of doubts.entries()) {
    const { entry, place, look } = doubt
    let decision: Decision = unknown === "ask" ? undefined : unknown
    if (unknown === "ask" && asking) {
      yield* Output.print("stderr", describe(doubt, i, doubts.length))
      const said = yield* ask
      if (said === "end") asking = false
      else decision = said
    } else if (look !== undefined) yield* Output.print("stderr", [`${entry.name}: ${look.message}`])
    if (decision !== undefined) yield* UploadPlan.resolve(entry, decision)
    decisions.push(decision)
    items.push({
      ...place,
      period: Period.format(place.period),
      action: "append",
      file: entry.name,
      at: iso(entry.at),
      decision: decision ?? null,
      ...look === undefined ? {} : { look }
    })
  }
  const count = (decision: Decision) => decisions.filter((given) => given === decision).length
  const left = count(undefined) + all.length - asked.length
  const endangered = histories.flatMap(UploadPlan.endangered).length
  const parts = [
    ...(count("skip") > 0 ? [`${count("skip")} taken for done`] : []),
    ...(count("retry") > 0 ? [`${count("retry")} to be sent again`] : []),
    ...(left > 0 ? [`${left} still in doubt`] : [])
  ]
  return {
    json: { journal: path, items, left },
    text: [
      ...(parts.length > 0 ? [parts.join(" · ")] : ["Nothing is in doubt."]),
      ...(count("retry") > 0 ? ["Run the batch again: it sends what is missing."] : []),
      ...journalFile.adviceOnOverwrites(endangered)
    ],
    exitStatus: left > 0 ? ExitStatus.outcomeUnknown : ExitStatus.done
  }
})

const iso = (millis: number): string => DateTime.formatIso(DateTime.makeUnsafe(millis))

const describe = ({ entry, look, place }: Doubt, index: number, of: number): ReadonlyArray<string> => [
  "",
  `${index + 1} of ${of}: ${entry.name}, which was appended to ${place.project} / ${place.table} / ${
    Period.format(place.period)
  } at ${iso(entry.at).slice(0, 16).replace("T", " ")} UTC${
    entry.bytes === undefined ? "." : ` (${units.bytes(entry.bytes)}).`
  }`,
  ...(entry.note === undefined ? [] : [`  What happened: ${entry.note}`]),
  ...(look === undefined ? [] : [`  ${look.message}`]),
  "Are its rows in the table? yes: it is done. no: the next batch sends it again. Anything else: decide later."
]

// `end` at the end of the input.
const ask = Effect.gen(function*() {
  const line = yield* (yield* Terminal.Terminal).readLine
  const said = line.trim().toLowerCase()
  return said === "y" || said === "yes" ? "skip" : said === "n" || said === "no" ? "retry" : undefined
}).pipe(Effect.catchTag("QuitError", () => Effect.succeed("end" as const)))

/** Compares the tables with how they were before these appends, as far as they were looked at then. */
const looksAt = (entries: ReadonlyArray<Journal.Entry>) =>
  Effect.gen(function*() {
    const looks = yield* Looks.inJournal
    const scope = Place.scopeOf(yield* Settings)
    const now = yield* Clock.currentTimeMillis
    return yield* Effect.forEach(entries, ({ name, place }) =>
      Effect.gen(function*() {
        const before = yield* looks.find(place, name)
        const parsed = Option.getOrUndefined(Place.parse(place))
        if (before === undefined || parsed === undefined) return undefined
        const { project, table } = parsed
        const address = yield* Effect.fromResult(TableAddress.make({ project, table, period: before.period }))
        // The same names may be another table by now: of another service, or of another month.
        return Place.of(scope, address, now) === place ? yield* LookAgain.compare(address, before) : undefined
      }), { concurrency: 4 })
  }).pipe(Effect.provide(TableDownloads.layer), provideStudio)
