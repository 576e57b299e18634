import * as Journal from "@effect-resilience/upload/Journal"
import * as UploadPlan from "@effect-resilience/upload/UploadPlan"
import * as Arr from "effect/Array"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as ExitStatus from "../../ExitStatus.ts"
import { type CommandOutput, onEarlyEnd, printOutput, withEnd } from "../commandOutput.ts"
import * as JournalEntries from "../journalEntries.ts"
import * as journalFile from "../journalFile.ts"
import * as listing from "../listing.ts"
import * as LiveRegion from "../liveRegion.ts"
import type * as Output from "../output.ts"
import { tail } from "../report.ts"
import { InvalidOption } from "../runtime.ts"
import type * as textTable from "../textTable.ts"
import { clip } from "../textWidth.ts"
import * as units from "../units.ts"

const flags = {
  file: Argument.String("file").pipe(
    Argument.withDescription("A manifest that was uploaded, or its journal"),
    Argument.optional
  ),
  all: listing.all,
  cluster: Flag.Boolean("cluster").pipe(
    Flag.withDescription("Show the workers of the cluster that DATABASE_URL names, and what each of them does"),
    Flag.withDefault(false)
  ),
  watch: Flag.Boolean("watch").pipe(
    Flag.withDescription("Show how far a running batch is until it ends, or the workers until you press Ctrl-C"),
    Flag.withDefault(false)
  )
}

export const status = Command.make("status", flags, ({ all, cluster, file: named, watch }) =>
  Effect.gen(function*() {
    if (cluster) {
      if (Option.isSome(named)) {
        return yield* new InvalidOption({ message: "Leave out FILE: --cluster is for the workers of all batches." })
      }
      // Only this flag loads it.
      const { run } = yield* Effect.promise(() => import("../clusterStatus.ts"))
      return yield* run(watch)
    }
    const file = yield* Effect.mapError(
      Effect.fromOption(named),
      () => new InvalidOption({ message: "Name a manifest that was uploaded, or its journal; or use --cluster." })
    )
    const path = yield* journalFile.find(file)
    const outputOf = (state: State): CommandOutput => ({
      json: { journal: path, items: state.entries },
      text: (width) => report(state, { all, width }),
      exitStatus: exitOf(state)
    })
    if (!watch) return outputOf(yield* stateOf(path))
    return outputOf(yield* watching(path, outputOf))
  }).pipe(printOutput)).pipe(
    Command.withDescription("Show what a batch has uploaded so far, from its journal"),
    Command.withExamples([
      { command: "tbm-studio status january.csv", description: "How far did January get?" },
      { command: "tbm-studio status january.csv --watch", description: "Follow a batch that runs elsewhere" },
      { command: "tbm-studio status --cluster", description: "What does each worker do?" }
    ])
  )

type State = Effect.Success<ReturnType<typeof stateOf>>

/** What a journal says, and whether a batch is running. Of one that begins or ends meanwhile, the entries may be older. */
export const stateOf = Effect.fnUntraced(function*(path: string) {
  const wasRunning = yield* journalFile.isInUse(path)
  const state = yield* read.pipe(
    Effect.mapError((error) => error instanceof Journal.JournalError ? journalFile.failure(path, error) : error),
    Effect.provide(journalFile.layer(path))
  )
  const running = wasRunning || (yield* journalFile.isInUse(path))
  return { ...state, running, doubts: running ? state.doubts.filter(({ state }) => state !== "started") : state.doubts }
})

const exitOf = ({ doubts, left, running }: State): number =>
  ExitStatus.gravest([
    doubts.length > 0 ? ExitStatus.outcomeUnknown : ExitStatus.done,
    left.some(({ state }) => state === "failed" || state === "unknown") ? ExitStatus.uploadsFailed : ExitStatus.done,
    left.length > 0 && !running ? ExitStatus.interrupted : ExitStatus.done
  ])

/** Shows the state while a batch is running, and returns the last one. */
const watching = Effect.fnUntraced(function*(path: string, outputOf: (state: State) => CommandOutput) {
  const region = yield* LiveRegion.make
  let state = yield* stateOf(path)
  yield* onEarlyEnd((end) => withEnd(outputOf(state), end))
  const show = Effect.suspend(() => region.follow((window) => view(state, window), countsOf(state.entries)))
  // The window may change more often than the journal is read.
  const shown = Effect.repeat(show, Schedule.upTo(Schedule.spaced("200 millis"), { duration: "1 second" }))
  yield* region.clearAfter(Effect.gen(function*() {
    while (state.running) {
      yield* shown
      state = yield* stateOf(path)
    }
  }))
  return state
})

const view = ({ entries }: State, { columns: width, rows }: Output.Window): ReadonlyArray<string> => {
  // A header, a rule, an empty line and the counts; one row stays for what was printed last.
  const most = rows - 5
  const { table } = most < 1
    ? { table: [] }
    : listing.uploads(entries, { all: false, attention: attentionOf, most, width: width - 1 }, columns)
  return [...table, clip(countsOf(entries), width - 1)]
}

const report = (
  { doubts, endangered, entries, left, running }: State,
  { all, width }: { readonly all: boolean; readonly width: number }
): ReadonlyArray<string> => {
  const { more, table } = listing.uploads(entries, { all, attention: attentionOf, width }, columns)
  return [
    ...table,
    countsOf(entries),
    ...entries.flatMap(({ file, note }) => note === null ? [] : [`${file}: ${note}`]),
    ...more,
    ...(running
      ? ["", "A batch is running."]
      : [
        ...(left.length === 0 ? [] : [
          "",
          `${units.plural(left.length, "upload")} did not succeed. Run the batch again to send ${
            left.length === 1 ? "it" : "them"
          }.`
        ]),
        ...journalFile.advice(doubts.map(() => ({ action: "append", status: "unknown" }))),
        ...journalFile.adviceOnOverwrites(endangered.length)
      ])
  ]
}

type Entry = State["entries"][number]

const columns: ReadonlyArray<textTable.Column<Entry>> = [
  { title: "Table", least: 28, cell: ({ period, project, table }) => `${project} / ${table} / ${period}`, tail },
  { title: "Action", dispensable: 3, cell: ({ action }) => action },
  { title: "State", cell: ({ state }) => state },
  { title: "Attempts", align: "right", dispensable: 5, cell: ({ attempts }) => String(attempts) },
  { title: "Size", align: "right", dispensable: 2, cell: ({ bytes }) => bytes === null ? "" : units.bytes(bytes) },
  { title: "md5", dispensable: 6, cell: ({ verified }) => verified ? "verified" : "" },
  { title: "When (UTC)", dispensable: 4, cell: ({ at }) => at.slice(0, 16).replace("T", " ") },
  { title: "File", dispensable: 1, least: 12, cell: ({ file }) => file }
]

// The gravest first.
const attention: ReadonlyArray<Journal.State> = ["failed", "unknown", "started", "retrying", "waiting"]

const attentionOf = ({ state }: Entry): number => attention.indexOf(state)

const countsOf = (entries: ReadonlyArray<Entry>): string => {
  const count = (state: Journal.State) => entries.filter((entry) => entry.state === state).length
  return ["uploaded" as const, ...attention].filter((state) => count(state) > 0)
    .map((state) => `${count(state)} ${state}`).join(" · ")
}

const read = Effect.gen(function*() {
  const { entries, history } = yield* JournalEntries.read
  const places = Object.values(Arr.groupBy(history, ({ place }) => place))
  return {
    entries,
    doubts: places.flatMap(UploadPlan.doubts),
    endangered: places.flatMap(UploadPlan.endangered),
    left: places.flatMap(leftOf)
  }
})

/** The uploads to a place that did not succeed, and that the next run sends. A person decides about the others. */
const leftOf = (history: ReadonlyArray<Journal.Entry>): ReadonlyArray<Journal.Entry> =>
  history.filter(({ action, name, ordinal, state }) =>
    state !== "uploaded" && (action === "replace" || state === "failed" || state === "waiting") &&
    !history.some((later) =>
      later.ordinal > ordinal &&
      // Nothing follows an upload that has failed, unless the manifest no longer lists it.
      (later.state === "uploaded" || (later.name === name && later.action === action))
    )
  )
