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
import * as Place from "../place.ts"
import { InvalidInput } from "../runtime.ts"
import * as textTable from "../textTable.ts"
import * as units from "../units.ts"

const flags = {
  file: Argument.String("file").pipe(Argument.withDescription("A manifest that was uploaded, or its journal"))
}

export const status = Command.make("status", flags, ({ file }) =>
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
    const states = ["uploaded", "failed", "unknown", "started", "retrying", "waiting"] as const
    const running = yield* journalFile.isInUse(path)
    const unknown = running ? doubts.filter(({ state }) => state !== "started") : doubts
    return {
      json: { journal: path, items: entries },
      text: [
        ...textTable.render(entries, [
          { title: "Table", cell: ({ period, project, table }) => `${project} / ${table} / ${period}` },
          { title: "Action", cell: ({ action }) => action },
          { title: "State", cell: ({ state }) => state },
          { title: "Attempts", align: "right", cell: ({ attempts }) => String(attempts) },
          { title: "Size", align: "right", cell: ({ bytes }) => bytes === null ? "" : units.bytes(bytes) },
          { title: "md5", cell: ({ verified }) => verified ? "verified" : "" },
          { title: "When", cell: ({ at }) => at },
          { title: "File", cell: ({ file }) => file }
        ]),
        "",
        states.filter((state) => count(state) > 0).map((state) => `${count(state)} ${state}`).join(" · "),
        ...entries.flatMap(({ file, note }) => note === null ? [] : [`${file}: ${note}`]),
        ...(running
          ? ["", "A batch is running."]
          : [
            ...journalFile.advice(unknown.map(() => ({ action: "append", status: "unknown" }))),
            ...journalFile.adviceOnOverwrites(endangered.length)
          ])
      ],
      exitStatus: unknown.length > 0 ? ExitStatus.outcomeUnknown : ExitStatus.done
    }
  }).pipe(printOutput)).pipe(
    Command.withDescription("Show what a batch has uploaded so far, from its journal"),
    Command.withExamples([{ command: "tbm-studio status january.csv", description: "How far did January get?" }])
  )

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
