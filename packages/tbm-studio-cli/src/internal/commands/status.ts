import * as Period from "@effect-resilience/tbm-studio/Period"
import * as Journal from "@effect-resilience/upload/Journal"
import * as UploadPlan from "@effect-resilience/upload/UploadPlan"
import * as Arr from "effect/Array"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ExitStatus from "../../ExitStatus.ts"
import { printOutput } from "../commandOutput.ts"
import * as journalFile from "../journalFile.ts"
import * as listing from "../listing.ts"
import * as Place from "../place.ts"
import { tail } from "../report.ts"
import { InvalidInput } from "../runtime.ts"
import * as units from "../units.ts"

const flags = {
  file: Argument.String("file").pipe(Argument.withDescription("A manifest that was uploaded, or its journal")),
  all: listing.all
}

export const status = Command.make("status", flags, ({ all, file }) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const beside = yield* journalFile.beside(file)
    const path = (yield* Effect.orElseSucceed(fs.exists(beside), () => false)) ? beside : file
    if (path === file && !(yield* Effect.orElseSucceed(isSqlite(fs, path), () => false))) {
      return yield* new InvalidInput({ message: `${file} is not a journal, and there is none beside it.` })
    }
    const { doubts, endangered, entries } = yield* read.pipe(
      Effect.mapError((error) => error instanceof Journal.JournalError ? journalFile.failure(path, error) : error),
      Effect.provide(journalFile.layer(path))
    )
    const count = (state: Journal.State) => entries.filter((entry) => entry.state === state).length
    const running = yield* journalFile.isInUse(path)
    const unknown = running ? doubts.filter(({ state }) => state !== "started") : doubts
    const text = (width: number) => {
      const { more, table } = listing.uploads(
        entries,
        { all, attention: ({ state }) => attention.indexOf(state), width },
        [
          {
            title: "Table",
            least: 28,
            cell: ({ period, project, table }) => `${project} / ${table} / ${period}`,
            tail
          },
          { title: "Action", dispensable: 3, cell: ({ action }) => action },
          { title: "State", cell: ({ state }) => state },
          { title: "Attempts", align: "right", dispensable: 5, cell: ({ attempts }) => String(attempts) },
          {
            title: "Size",
            align: "right",
            dispensable: 2,
            cell: ({ bytes }) => bytes === null ? "" : units.bytes(bytes)
          },
          { title: "md5", dispensable: 6, cell: ({ verified }) => verified ? "verified" : "" },
          { title: "When (UTC)", dispensable: 4, cell: ({ at }) => at.slice(0, 16).replace("T", " ") },
          { title: "File", dispensable: 1, least: 12, cell: ({ file }) => file }
        ]
      )
      return [
        ...table,
        ["uploaded" as const, ...attention].filter((state) => count(state) > 0)
          .map((state) => `${count(state)} ${state}`).join(" · "),
        ...entries.flatMap(({ file, note }) => note === null ? [] : [`${file}: ${note}`]),
        ...more,
        ...(running
          ? ["", "A batch is running."]
          : [
            ...journalFile.advice(unknown.map(() => ({ action: "append", status: "unknown" }))),
            ...journalFile.adviceOnOverwrites(endangered.length)
          ])
      ]
    }
    return {
      json: { journal: path, items: entries },
      text,
      exitStatus: unknown.length > 0 ? ExitStatus.outcomeUnknown : ExitStatus.done
    }
  }).pipe(printOutput)).pipe(
    Command.withDescription("Show what a batch has uploaded so far, from its journal"),
    Command.withExamples([{ command: "tbm-studio status january.csv", description: "How far did January get?" }])
  )

// The gravest first.
const attention: ReadonlyArray<Journal.State> = ["failed", "unknown", "started", "retrying", "waiting"]

const read = Effect.gen(function*() {
  const journal = yield* Journal.Journal
  const history = yield* Stream.runCollect(journal.entries)
  const entries = yield* Effect.forEach(
    history,
    ({ action, at, bytes, md5, name, note, ordinal, place, state, ...entry }) =>
      Option.match(Place.parse(place), {
        onNone: () => Effect.fail(notOurs),
        onSome: (place) =>
          Effect.succeed({
            ...place,
            period: Period.format(place.period),
            ordinal,
            action: action === "add" ? "append" : "overwrite",
            file: name,
            state,
            attempts: entry.attempts,
            bytes: bytes ?? null,
            md5: md5 ?? null,
            verified: entry.verified,
            note: note ?? null,
            at: DateTime.formatIso(DateTime.makeUnsafe(at))
          })
      })
  )
  const places = Object.values(Arr.groupBy(history, ({ place }) => place))
  return { entries, doubts: places.flatMap(UploadPlan.doubts), endangered: places.flatMap(UploadPlan.endangered) }
})

const notOurs = new InvalidInput({
  message: "The journal has entries of another program, or of another version of tbm-studio."
})

const isSqlite = (fs: FileSystem.FileSystem, path: string) =>
  fs.stream(path, { bytesToRead: 16 }).pipe(
    Stream.decodeText(),
    Stream.mkString,
    Effect.map((head) => head.startsWith("SQLite format 3"))
  )
