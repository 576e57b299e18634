import * as Time from "@effect-resilience/kernel/Time"
import { Settings } from "@effect-resilience/tbm-studio/Settings"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as Journal from "@effect-resilience/upload/Journal"
import * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as ExitStatus from "../ExitStatus.ts"
import { type CommandOutput, onEarlyEnd, withEnd } from "./commandOutput.ts"
import * as DataFile from "./dataFile.ts"
import * as journalFile from "./journalFile.ts"
import * as LiveRegion from "./liveRegion.ts"
import * as Looks from "./looks.ts"
import * as Place from "./place.ts"
import * as Precautions from "./precautions.ts"
import * as Preflight from "./preflight.ts"
import * as Report from "./report.ts"
import * as RowHistory from "./rowHistory.ts"
import type * as Rules from "./rules.ts"
import { InvalidInput } from "./runtime.ts"
import { clip } from "./textWidth.ts"
import type * as UploadRoute from "./uploadRoute.ts"
import * as Uploads from "./uploads.ts"
import * as WatchFolder from "./watchFolder.ts"
import * as WatchHistory from "./watchHistory.ts"
import * as WatchReport from "./watchReport.ts"
import type * as WatchRules from "./watchRules.ts"

export interface Options {
  readonly call: WatchReport.Call
  readonly rules: { readonly tables: ReadonlyArray<Rules.Rule>; readonly watch: WatchRules.WatchRules }
  readonly journal: string
  /** Continues with a journal whose `-wal` file is lost. */
  readonly incomplete: boolean
  /** For how long to wait for another command that uses the journal. */
  readonly wait: Duration.Duration | undefined
  readonly once: boolean
  /** The names of the files that are sent; all if there are none. */
  readonly only: ReadonlyArray<string>
  /** How long a file without a marker must stay as it is. */
  readonly settle: Duration.Duration
  readonly interval: Duration.Duration
  readonly concurrency: number
  readonly pace: Duration.Duration | undefined
  readonly precautions: Pick<Precautions.Options, "look" | "backup">
  readonly route: UploadRoute.UploadRoute
  readonly onUnknown: Journal.OnUnknown
  readonly onChanged: "fail" | "send"
  readonly outputOf: (report: WatchReport.WatchReport) => CommandOutput
}

/** Uploads what arrives in a directory: until a signal, or what is there now. */
export const run = Effect.fnUntraced(function*(options: Options) {
  const scope = Place.scopeOf(yield* Settings)
  const clock = yield* Clock.Clock
  const fs = yield* FileSystem.FileSystem
  const region = yield* LiveRegion.make
  const { call: { directory }, once, rules } = options
  const interval = Duration.toMillis(options.interval)
  const settle = Duration.toMillis(options.settle)
  const folder = new WatchFolder.Folder(directory, rules.watch, settle)
  const only = new Set(options.only.map((name) => name.normalize("NFC")))
  const concerned = ({ name }: WatchFolder.Arrival) => only.size === 0 || only.has(name)
  const results = new Results(options, folder, concerned, clock)

  const journal = journalFile.layerExclusive(options.journal, { incomplete: options.incomplete, wait: options.wait })
  const withJournal = <A, E, R>(use: Effect.Effect<A, E, R>) =>
    use.pipe(
      Effect.mapError((error) =>
        error instanceof Journal.JournalError ? journalFile.failure(options.journal, error) : error
      ),
      Effect.provide(journal)
    )
  let history: WatchHistory.History | undefined
  const readHistory = Effect.map(WatchHistory.read(scope), (read) => history = read)
  const skipIfDone = (arrival: WatchFolder.Arrival) => {
    if (history === undefined || !WatchFolder.isSendable(arrival)) return
    const entry = history.latest(arrival.name, arrival.found.match.address)
    if (entry?.state === "uploaded" && WatchHistory.isVersion(entry, arrival.version)) results.skipped(arrival, entry)
  }

  const stopping = yield* Deferred.make<void>()
  const stopped = Deferred.isDone(stopping)
  yield* Effect.forkChild(
    Effect.andThen(Uploads.stopped("finish"), Deferred.succeed(stopping, undefined)),
    { startImmediately: true }
  )
  const early = onEarlyEnd((end) => withEnd(results.output(), end))
  yield* early

  const look = Effect.gen(function*() {
    const stuck = folder.all.filter(({ state }) => state === "stuck")
    if (stuck.length > 0 || results.unknown.length > 0) {
      // A person may have answered, with another command.
      const read = yield* Effect.option(Effect.provide(readHistory, journalFile.layer(options.journal)))
      stuck.forEach(skipIfDone)
      if (Option.isSome(read)) results.answered(read.value)
    }
    const now = yield* Time.now
    yield* folder.look(now, skipIfDone)
    results.forgetGone()
    folder.rejectUnmatched(now)
    return now
  })

  const tryLater = (arrival: WatchFolder.Arrival) => {
    arrival.state = "later"
    arrival.at = Time.monotonicMillis(clock) + interval
  }

  const fail = (arrival: WatchFolder.Sendable, error: unknown) => {
    const ended: Report.Ended<Report.FileUpload> = { _tag: "Failed", item: jobOf(arrival), error }
    const item = Report.reportOf(ended, Report.untried)
    arrival.state = "stuck"
    const isKnown = results.messageOf(arrival) === item.error?.message
    results.settle(arrival, item, Report.exitOf(ended))
    return isKnown ? Effect.void : region.print([Report.progressLine(arrival.name, item, region.paint)])
  }

  /** Opens a file, and compares its content with what was sent under its name. */
  const open = Effect.fnUntraced(function*(arrival: WatchFolder.Sendable, known: WatchHistory.History) {
    const isLink = Effect.isSuccess(fs.readLink(arrival.path))
    if (!hasNoFollow && (yield* isLink)) return void WatchFolder.reject(arrival, WatchFolder.isLink)
    const opened = yield* Effect.option(fs.open(arrival.path, { noFollow: hasNoFollow }))
    if (Option.isNone(opened)) {
      if (yield* isLink) WatchFolder.reject(arrival, WatchFolder.isLink)
      else if (yield* Effect.orElseSucceed(fs.exists(arrival.path), () => true)) {
        yield* fail(
          arrival,
          new InvalidInput({ message: "It cannot be opened: check its permissions. It is tried again later." })
        )
        // What the permissions are does not change its version.
        if (!once) tryLater(arrival)
      } else folder.forget(arrival)
      return undefined
    }
    const info = yield* Effect.option(opened.value.stat)
    const why = Option.isNone(info) ? undefined : WatchFolder.unsuitable(info.value)
    if (why !== undefined) WatchFolder.reject(arrival, why)
    // It is another file now, or one that still changes.
    else if (Option.isNone(info) || UploadSource.versionOf(info.value) !== arrival.version) folder.forget(arrival)
    else {
      const { address, encoding } = arrival.found.match
      const source = DataFile.encoded(UploadSource.openedFile(arrival.name, opened.value), encoding)
      const entry = known.latest(arrival.name, address)
      if (entry?.state !== "uploaded") return source
      if ((yield* Effect.orElseSucceed(WatchHistory.isContent(entry, source), () => false)) === true) {
        results.skipped(arrival, entry)
      } else if (
        options.onChanged === "send" || entry.place !== Place.of(scope, address, clock.currentTimeMillisUnsafe())
      ) return source
      else yield* fail(arrival, WatchReport.changed(arrival, entry, known.addedSince(entry)))
    }
    return undefined
  })

  const rowsBefore = rules.tables.some(({ rowsChange }) => rowsChange !== undefined)
    ? RowHistory.read(options.journal)
    : Effect.succeed([])

  /** Opens files in their order, checks them, and sends what it has opened. */
  const sendSome = Effect.fnUntraced(function*(arrivals: ReadonlyArray<WatchFolder.Sendable>) {
    const known = yield* readHistory
    const before = yield* rowsBefore
    const rows = new Map<string, number>()
    const jobs = new Map<Uploads.Job, WatchFolder.Sendable>()
    const heldBack = new Set<string>()
    for (const arrival of arrivals) {
      const { address, allowEmpty } = arrival.found.match
      const place = TableAddress.key(address)
      if (heldBack.has(place) || (yield* stopped)) continue
      const source = yield* open(arrival, known)
      const job = jobOf(arrival, source)
      const checked = source === undefined ? undefined : yield* Effect.result(Effect.gen(function*() {
        const count = yield* Preflight.checkSource(source, job, { allowEmpty, rules: rules.tables, watched: true })
        if (count === undefined) return
        rows.set(job.file, count)
        yield* Preflight.compareRows([job], rows, {
          rules: rules.tables,
          before: (address) => RowHistory.before(before, Place.parts(scope, address, clock.currentTimeMillisUnsafe())),
          watched: true
        })
      }))
      if (checked?._tag === "Success") jobs.set(job, arrival)
      else {
        if (checked !== undefined) yield* fail(arrival, checked.failure)
        if (!WatchFolder.isSettled(arrival)) heldBack.add(place)
      }
    }
    if (jobs.size === 0) return
    const settle = (item: Report.ItemReport, exit: number) => {
      const arrival = [...jobs.values()].find(({ path }) => path === item.file)
      if (arrival === undefined || item.status === "notStarted") return
      results.settle(arrival, item, exit)
      if (item.status === "failed" && item.error?.recovery === "Retry" && !once) tryLater(arrival)
      else arrival.state = item.status === "failed" || item.status === "unknown" ? "stuck" : "done"
    }
    const { concurrency, onChanged, onUnknown, pace, precautions, route } = options
    yield* Uploads.run([...jobs.keys()], {
      concurrency,
      onChanged,
      onUnknown,
      pace,
      precautions,
      looks: yield* Looks.inJournal,
      route,
      complete: false,
      rows,
      remember: yield* RowHistory.recorder,
      stop: Effect.as(Deferred.await(stopping), "finish"),
      onSettled: settle,
      outputOf: (round) => {
        for (const item of round.items) settle(item, round.exitStatus)
        return results.output()
      }
    })
    if (results.loginIsRejected && !(yield* stopped)) {
      yield* region.print(["Stopping: the login was rejected, and accounts lock after failed logins."])
      yield* Deferred.succeed(stopping, undefined)
    }
  }, Effect.scoped)

  const sendReady = Effect.gen(function*() {
    while (!(yield* stopped)) {
      const ready = folder.ready(yield* Time.now, concerned).ready.slice(0, mostOpen)
      if (ready.length === 0) return
      yield* Effect.ensuring(withJournal(sendSome(ready)), early)
    }
  })

  yield* Precautions.check(options.precautions)
  const seenAt = yield* look
  const missing = [...only].filter((name) => folder.get(name) === undefined)
  if (missing.length > 0) {
    return yield* new InvalidInput({
      message: `There is no ${missing.join(", ")} in ${directory}, or no rule is for it.`
    })
  }
  const known = yield* withJournal(readHistory)
  if (known.isForeign) yield* withJournal(journalFile.checkFit(options.journal, scope))
  folder.all.forEach(skipIfDone)

  if (once) {
    const waits = folder.hasYoung(seenAt)
    yield* sendReady
    if (waits) {
      const rest = Math.max(0, seenAt + settle - (yield* Time.now))
      yield* Effect.raceFirst(Deferred.await(stopping), Effect.sleep(rest))
      yield* look
      yield* sendReady
    }
    return results.output()
  }

  yield* region.print([`Watching ${directory}. Ctrl-C or SIGTERM stops.`])
  const wake = yield* Queue.sliding<void>(1)
  yield* Effect.forkChild(hasten(fs, directory, wake))
  // The folder may be mounted again, and another command with this journal ends.
  const lookAndSend = Effect.andThen(look, sendReady).pipe(
    Effect.as(undefined),
    Effect.catchTags({
      JournalInUse: ({ message }) => Effect.succeed(message),
      UnreadableFolder: ({ message }) => Effect.succeed(message)
    })
  )
  const said = new Map<string, string>()
  const say = (notes: ReadonlyMap<string, string>) =>
    Effect.suspend(() => {
      const fresh = [...notes].flatMap(([about, note]) => said.get(about) === note ? [] : [note])
      said.clear()
      for (const [about, note] of notes) said.set(about, note)
      return region.print(fresh)
    })
  yield* region.clearAfter(Effect.gen(function*() {
    while (!(yield* stopped)) {
      const trouble: string | undefined = yield* lookAndSend
      const report = results.report()
      yield* say(
        new Map([
          ...(trouble === undefined ? [] : [[directory, trouble] as const]),
          ...report.rejected.map(({ file, why }) => [file, `${file}: ${why}`] as const),
          ...report.waiting.filter(({ why }) => !why.includes("within")).map(({ file, why }) =>
            [file, `${file}: not sent yet, since ${why}.`] as const
          ),
          ...report.choices.map((choice) => [choice, choice] as const)
        ])
      )
      yield* region.draw(({ columns }) => [clip(WatchReport.statusLine(directory, report), columns - 1)])
      const pause = trouble === undefined ? folder.nextLook(yield* Time.now, interval) : interval
      yield* Effect.raceAllFirst([
        Deferred.await(stopping),
        // Many events come together.
        Effect.andThen(Queue.take(wake), Effect.sleep("100 millis")),
        Effect.sleep(pause)
      ])
    }
  }))
  return results.output()
})

/** Windows follows a link when it opens a file, so links are looked for just before. */
const hasNoFollow = process.platform !== "win32"

/** So many files are open at once. */
const mostOpen = 64

const jobOf = (
  { found: { match: { action, address } }, name, path }: WatchFolder.Sendable,
  source: Uploads.Job["source"] = UploadSource.file(path)
): Uploads.Job => ({ name, file: path, source, address, action, force: false })

/** Wakes the watcher when something happens in a directory. Events may be lost or impossible, so it looks by itself, too. */
const hasten = (fs: FileSystem.FileSystem, directory: string, wake: Queue.Enqueue<void>) =>
  fs.watch(directory).pipe(
    Stream.runForEach(() => Queue.offer(wake, undefined)),
    Effect.catchCause((cause) => Effect.logDebug(`No events from ${directory}: ${Cause.pretty(cause)}`))
  )

interface Settled {
  readonly arrival: WatchFolder.Sendable
  readonly report: Report.ItemReport
  readonly exit: number
}

/** What became of the files, by their names. */
class Results {
  private readonly settled = new Map<string, Settled>()
  private readonly options: Options
  private readonly folder: WatchFolder.Folder
  private readonly concerned: (arrival: WatchFolder.Arrival) => boolean
  private readonly clock: Clock.Clock
  private readonly startedAt: number

  constructor(
    options: Options,
    folder: WatchFolder.Folder,
    concerned: (arrival: WatchFolder.Arrival) => boolean,
    clock: Clock.Clock
  ) {
    this.options = options
    this.folder = folder
    this.concerned = concerned
    this.clock = clock
    this.startedAt = Time.monotonicMillis(clock)
  }

  settle(arrival: WatchFolder.Sendable, report: Report.ItemReport, exit: number): void {
    this.settled.delete(arrival.name)
    this.settled.set(arrival.name, { arrival, report, exit })
    if (this.settled.size <= mostResults) return
    for (const [name, { exit }] of this.settled) {
      if (exit === ExitStatus.done) return void this.settled.delete(name)
    }
  }

  skipped(arrival: WatchFolder.Sendable, entry: Journal.Entry): void {
    arrival.state = "done"
    if (!this.concerned(arrival)) return
    const ended: Report.Ended<Report.FileUpload> = { _tag: "Skipped", item: jobOf(arrival), entry, why: "uploaded" }
    this.settle(arrival, Report.reportOf(ended, Report.untried), ExitStatus.done)
  }

  messageOf({ name }: WatchFolder.Arrival): string | undefined {
    return this.settled.get(name)?.report.error?.message
  }

  /** What is in doubt. */
  get unknown(): ReadonlyArray<Settled> {
    return [...this.settled.values()].filter(({ report }) => report.status === "unknown")
  }

  /** Forgets what is no longer in doubt. A file whose rows are missing is sent again. */
  answered(history: WatchHistory.History): void {
    for (const { arrival } of this.unknown) {
      if (!history.isDecided(arrival.name, arrival.found.match.address)) continue
      this.settled.delete(arrival.name)
      if (arrival.state === "stuck") arrival.state = "new"
    }
  }

  /** Forgets what failed and is no longer there as it was: it needs no attention. */
  forgetGone(): void {
    for (const [name, { arrival, report }] of this.settled) {
      if (report.status === "failed" && this.folder.get(name) !== arrival) this.settled.delete(name)
    }
  }

  get loginIsRejected(): boolean {
    return [...this.settled.values()].some(({ report: { error } }) =>
      // It may have been a backup that needed the login.
      (error?.tag === "AuthError" || error?.reason === "AuthError") && error.recovery !== "Retry"
    )
  }

  report(): WatchReport.WatchReport {
    const now = Time.monotonicMillis(this.clock)
    const { by, held } = this.folder.ready(now, this.concerned)
    const heldBack = held.map((arrival) => {
      const first = by(arrival)
      const item = jobOf(arrival)
      const ended: Report.Ended<Report.FileUpload> = first === undefined || this.concerned(first)
        // The other has a status of its own.
        ? { _tag: "NotStarted", item, behind: 0 }
        : { _tag: "Failed", item, error: WatchReport.heldBack(arrival, first) }
      return { report: Report.reportOf(ended, Report.untried), exit: Report.exitOf(ended) }
    })
    const settled = [...this.settled.values(), ...heldBack]
    const items = settled.map(({ report }) => report)
    const all = this.folder.all.filter(this.concerned)
    const rejected = all.flatMap(({ path, state, why }) =>
      state === "rejected" && why !== undefined ? [{ file: path, why }] : []
    )
    return {
      items,
      totals: Report.totalsOf(items, 0, now - this.startedAt),
      rejected,
      waiting: all.flatMap((arrival) => {
        const why = arrival.state === "new" ? this.folder.waitsFor(arrival, now) : undefined
        return why === undefined ? [] : [{ file: arrival.path, why }]
      }),
      choices: [...this.settled].flatMap(([name, { report }]) =>
        WatchReport.choicesFor(this.options.call, name, report)
      ),
      exitStatus: ExitStatus.gravest([
        ...settled.map(({ exit }) => exit),
        ...(rejected.length > 0 ? [ExitStatus.noInput] : [])
      ])
    }
  }

  output(): CommandOutput {
    return this.options.outputOf(this.report())
  }
}

// The oldest that were uploaded are no longer listed.
const mostResults = 10_000
