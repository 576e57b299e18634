import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Period from "@effect-resilience/tbm-studio/Period"
import type * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import type * as TableUploads from "@effect-resilience/tbm-studio/TableUploads"
import type * as Batch from "@effect-resilience/upload/Batch"
import type * as UploadPlan from "@effect-resilience/upload/UploadPlan"
import * as ExitStatus from "../ExitStatus.ts"
import { type Failure, failureOf, forPeople, Interrupted } from "./commandOutput.ts"
import * as listing from "./listing.ts"
import type * as LiveRegion from "./liveRegion.ts"
import type { LookReport } from "./lookAgain.ts"
import type * as Output from "./output.ts"
import type { Item } from "./progressView.ts"
import { joinFitting } from "./textWidth.ts"
import * as units from "./units.ts"
import * as words from "./words.ts"

/** An upload of a file, with the file name as the user wrote it. */
export interface FileUpload extends TableUploads.TableUpload {
  readonly file: string
}

/** The HTTP attempts of one upload, including replays after a new login. */
export interface Track {
  readonly attempts: number
  /** Why attempts failed, without the failure that ended the upload. */
  readonly recoveries: ReadonlyArray<string>
  readonly durationMillis: number
  /** For how long the service had accepted nothing when the upload ended. */
  readonly unavailableMillis?: number | undefined
}

type Each<A, K extends string> = A extends unknown ? Omit<A, K> : never

/** How an upload ended: alone, in a batch, or on a cluster, which keeps no receipt and has other errors. */
export type Ended<Item> = Each<Batch.Result<Item, unknown, unknown>, "index" | "attempts">

/**
 * One upload as `--json` reports it. A `skipped` one was uploaded by an earlier run, an `assumed` one may have been, and a
 * later row of the manifest replaces a `superseded` one.
 */
export interface ItemReport {
  readonly status:
    | "uploaded"
    | "failed"
    | "unknown"
    | "planned"
    | "skipped"
    | "assumed"
    | "superseded"
    | "notStarted"
  readonly project: string
  readonly table: string
  readonly period: string
  readonly action: TableAddress.Action
  readonly file: string
  readonly bytes: number
  readonly md5: string | null
  readonly verified: boolean
  readonly attempts: number
  readonly recoveries: ReadonlyArray<string>
  readonly durationMs: number
  readonly error?: Failure
  /** The file that keeps what it replaced. */
  readonly backup?: string
  /** What was seen of the table, if the outcome is unknown. */
  readonly look?: LookReport
}

/** The uploads of a command, in the order of its jobs. */
export interface BatchReport {
  readonly items: ReadonlyArray<ItemReport>
  readonly totals: {
    readonly planned: number
    readonly uploaded: number
    readonly failed: number
    readonly unknown: number
    readonly skipped: number
    readonly assumed: number
    readonly superseded: number
    readonly notStarted: number
    readonly bytes: number
    readonly attempts: number
    readonly logins: number
    readonly retriesByCause: { readonly [cause: string]: number }
    readonly durationMs: number
  }
  readonly exitStatus: number
}

/** The fields that identify an upload in a report. */
export type Names = Pick<ItemReport, "project" | "table" | "period" | "action" | "file">

export const namesOf = ({ action, address, file }: FileUpload): Names => ({ ...address, action, file })

/** An item before anything was sent. */
export const unsent = (
  { action, file, period, project, table }: Names,
  status: "planned" | "notStarted" | "failed",
  bytes = 0
): ItemReport => ({
  status,
  project,
  table,
  period,
  action,
  file,
  bytes,
  md5: null,
  verified: false,
  attempts: 0,
  recoveries: [],
  durationMs: 0
})

/** What is tracked of an upload of which nothing was sent. */
export const untried: Track = { attempts: 0, recoveries: [], durationMillis: 0 }

/** The report of an upload. `failure` is why it was abandoned, by default a signal. */
export const reportOf = (
  result: Ended<FileUpload>,
  { attempts, durationMillis, recoveries, unavailableMillis }: Track,
  failure = interrupted
): ItemReport => {
  const base = {
    ...unsent(namesOf(result.item), "failed"),
    attempts,
    recoveries,
    durationMs: Math.round(durationMillis)
  }
  switch (result._tag) {
    case "Uploaded": {
      const { bytes, digests, durationMillis, verified } = result.report
      return {
        ...base,
        status: "uploaded",
        bytes,
        md5: digests.md5 ?? null,
        verified,
        durationMs: Math.round(durationMillis)
      }
    }
    case "Failed": {
      const error = { ...failureOf(result.error), [forPeople]: words.explain(result.error, unavailableMillis) }
      return {
        ...base,
        status: Recovery.of(result.error)._tag === "Verify" ? "unknown" : "failed",
        error
      }
    }
    case "Abandoned":
      return result.outcomeUnknown
        ? { ...base, status: "unknown", error: possiblyStored(failure) }
        : { ...base, status: "failed", error: failure }
    case "Skipped": {
      if (result.why === "superseded") return { ...base, status: "superseded" }
      const { bytes = 0, md5 = null, verified } = result.entry
      return { ...base, status: result.why === "uploaded" ? "skipped" : "assumed", bytes, md5, verified }
    }
    case "NotStarted":
      return result.behind === undefined
        ? { ...base, status: "notStarted" }
        : { ...base, status: "notStarted", error: heldBack }
  }
}

// One shared value: making an error takes longer than the rest of a report, and there may be a hundred thousand reports.
const interrupted = failureOf(new Interrupted())

const possiblyStored = ({ message, tag }: Failure): Failure => ({
  tag,
  reason: "OutcomeUnknown",
  message: `${message} The rows may have been stored: look at the table before you send them again.`,
  recovery: "Verify"
})

// Rows of one place depend on each other.
const heldBack: Failure = {
  tag: "HeldBack",
  reason: "HeldBack",
  message: "It was not sent, since an earlier upload to the same table and period did not succeed.",
  recovery: "Retry"
}

/** The report of an upload of a batch whose time is over. */
export const outOfTime = (item: ItemReport): ItemReport =>
  item.status === "notStarted" && item.error === undefined ? { ...item, error: timeOver } : item

const timeOver: Failure = {
  tag: "TimeOver",
  reason: "TimeOver",
  message: "It was not sent, since the time of --max-time was over.",
  recovery: "Retry"
}

/** The exit status of a result. */
export const exitOf = (result: Ended<unknown>): number => {
  switch (result._tag) {
    case "Uploaded":
    case "Skipped":
      return ExitStatus.done
    case "Failed":
      return ExitStatus.of(result.error)
    case "Abandoned":
      return result.outcomeUnknown ? ExitStatus.outcomeUnknown : ExitStatus.interrupted
    case "NotStarted":
      // The upload that it waits for has a status of its own.
      return result.behind === undefined ? ExitStatus.interrupted : ExitStatus.done
  }
}

const tally = (causes: ReadonlyArray<string>): { readonly [cause: string]: number } => {
  const counts = new Map<string, number>()
  for (const cause of causes) counts.set(cause, (counts.get(cause) ?? 0) + 1)
  return Object.fromEntries(counts)
}

/** The end of an upload that was interrupted in this phase, or before its first. */
export const cutOff = (
  item: FileUpload,
  phase: Item["phase"] | undefined,
  verdict?: UploadPlan.Verdict
): Ended<FileUpload> =>
  phase === undefined
    ? asked({ _tag: "NotStarted", item }, verdict)
    : { _tag: "Abandoned", item, outcomeUnknown: phase === "awaitingResponse" && item.action === "append" }

/** The end of an upload. If it was not started and a person must decide about it, it fails with that question. */
export const asked = <Item>(ended: Ended<Item>, verdict: UploadPlan.Verdict | undefined): Ended<Item> =>
  ended._tag === "NotStarted" && ended.behind === undefined && verdict?._tag === "Reject"
    ? { _tag: "Failed", item: ended.item, error: verdict.error }
    : ended

/** The totals of the items. */
export const totalsOf = (
  items: ReadonlyArray<ItemReport>,
  logins: number,
  durationMillis: number
): BatchReport["totals"] => {
  const count = (status: ItemReport["status"]) => items.filter((item) => item.status === status).length
  return {
    planned: count("planned"),
    uploaded: count("uploaded"),
    failed: count("failed"),
    unknown: count("unknown"),
    skipped: count("skipped"),
    assumed: count("assumed"),
    superseded: count("superseded"),
    notStarted: count("notStarted"),
    bytes: items.reduce((sum, item) => sum + item.bytes, 0),
    attempts: items.reduce((sum, item) => sum + item.attempts, 0),
    logins,
    retriesByCause: tally(items.flatMap(({ recoveries }) => recoveries)),
    durationMs: Math.round(durationMillis)
  }
}

/** The report of a batch that never started. */
export const nothing = () => ({ items: [], totals: totalsOf([], 0, 0) })

/** Nothing was sent for these, so they get no progress line. */
export const quiet: ReadonlyArray<ItemReport["status"]> = ["skipped", "assumed", "superseded", "notStarted"]

/** A failure in words for people. */
export const messageOf = (error: Failure): string => error[forPeople] ?? error.message

/** One line about an upload that succeeded. */
export const describe = (item: ItemReport): string =>
  `${item.file} is stored in ${item.project} / ${item.table} / ${Period.format(item.period)}: ${
    units.bytes(item.bytes)
  } in ${units.duration(item.durationMs)}, ${units.plural(item.attempts, "attempt")}, ${
    item.verified ? `md5 ${item.md5} verified` : "md5 not confirmed by the server"
  }`

/**
 * The report of a batch: a table of the uploads that were started, the totals, and what is wrong. Of a large batch, the table
 * has only what needs attention, unless `all` are asked for.
 */
export const table = (
  { items, totals }: BatchReport,
  { all = true, width = Infinity }: { readonly all?: boolean; readonly width?: number } = {}
): ReadonlyArray<string> => {
  const { more, table } = listing.uploads(
    items.filter(({ status }) => status !== "notStarted"),
    { all, attention: ({ status }) => attention.indexOf(status), width },
    [
      { title: "Table", least: 28, cell: labels(items), tail },
      { title: "Action", dispensable: 3, cell: (item) => item.action },
      { title: "Result", cell: (item) => statusWords[item.status] },
      { title: "Attempts", align: "right", dispensable: 2, cell: (item) => String(item.attempts) },
      {
        title: "Recovered from",
        dispensable: 4,
        cell: (item) => Object.entries(tally(item.recoveries.map(brief))).map(times).join(", ")
      },
      { title: "Size", align: "right", dispensable: 1, cell: (item) => units.bytes(item.bytes) },
      { title: "Time", align: "right", dispensable: 1, cell: (item) => units.duration(item.durationMs) },
      { title: "md5", dispensable: 5, cell: (item) => item.verified ? "verified" : "" }
    ]
  )
  const retries = Object.entries(tally(
    Object.entries(totals.retriesByCause).flatMap(([cause, count]) =>
      Array.from({ length: count }, () => words.cause(cause))
    )
  ))
  return [
    ...table,
    joinFitting(
      [
        `${totals.uploaded} of ${items.length} uploaded`,
        ...problemsOf(totals),
        units.bytes(totals.bytes),
        units.duration(totals.durationMs),
        units.plural(totals.attempts, "attempt"),
        // On a cluster, the workers log in.
        totals.logins > 0 ? units.plural(totals.logins, "login") : undefined
      ],
      width,
      [10, 9, 8, 7]
    ),
    ...(retries.length === 0 ? [] : [`Retries by cause: ${retries.map(times).join(", ")}`]),
    ...problems(items, all),
    ...items.flatMap(({ file, look }) => look === undefined ? [] : [`${file}: ${look.message}`]),
    ...more
  ]
}

const problemsOf = (totals: BatchReport["totals"]): ReadonlyArray<string | undefined> =>
  ([
    [totals.failed, "failed"],
    [totals.unknown, "with unknown outcome"],
    [totals.skipped, "already there"],
    [totals.assumed, "taken for done"],
    [totals.superseded, "replaced by a later row"],
    [totals.notStarted, "not started"]
  ] as const).map(([count, words]) => count === 0 ? undefined : `${count} ${words}`)

// The gravest first.
const attention: ReadonlyArray<ItemReport["status"]> = ["failed", "unknown", "assumed"]

const statusWords: { readonly [status in ItemReport["status"]]: string } = {
  uploaded: "uploaded",
  failed: "failed",
  unknown: "unknown",
  planned: "planned",
  skipped: "already there",
  assumed: "taken for done",
  superseded: "replaced",
  notStarted: "not started"
}

// Files that have the same problem are listed below it.
const problems = (items: ReadonlyArray<ItemReport>, all: boolean): ReadonlyArray<string> => {
  const groups = new Map<string, { readonly message: string; readonly files: Array<string> }>()
  for (const { error, file } of items) {
    if (error === undefined) continue
    const message = messageOf(error)
    const key = error.tag === "CircuitOpen" || error.reason === "CircuitOpen" ? "CircuitOpen" : message
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { message, files: [file] })
    else group.files.push(file)
  }
  return Array.from(groups.values()).toSorted((a, b) => b.files.length - a.files.length).flatMap(
    ({ files, message }) => {
      const [first = ""] = files
      if (files.length === 1) return [`${first}: ${message}`]
      const shown = all ? files : files.slice(0, mostFiles)
      const left = files.length - shown.length
      return [
        `${files.length} files: ${message}`,
        ...shown.map((file) => `  ${file}`),
        ...(left === 0 ? [] : [`  … and ${left} more`])
      ]
    }
  )
}

const mostFiles = 10

// In a table, the status is enough.
const brief = (cause: string): string => /^\d{3}/.exec(cause)?.[0] ?? words.cause(cause)

const times = ([cause, count]: readonly [string, number]): string => count === 1 ? cause : `${count} × ${cause}`

/** The end of a name that tells the period. */
export const tail = ({ period }: Pick<Named, "period">): string => ` / ${Period.format(period)}`

/** Short names of tables: without the project if there is only one. */
export const labels = (all: ReadonlyArray<Named>): (item: Named) => string => {
  const oneProject = all.every(({ project }) => project === all[0]?.project)
  return ({ period, project, table }) => `${oneProject ? "" : `${project} / `}${table}${tail({ period })}`
}

interface Named {
  readonly project: string
  readonly table: string
  readonly period: string
}

/** The line that is printed when an upload ends. */
export const progressLine = (
  name: string,
  item: ItemReport,
  paint: LiveRegion.LiveRegion["paint"]
): ReadonlyArray<string | Output.Painted> => {
  if (item.status !== "uploaded") {
    return [paint("red", "✗"), ` ${name}: ${item.error === undefined ? item.status : messageOf(item.error)}`]
  }
  const retried = item.recoveries.length === 0
    ? ""
    : paint("yellow", `, after ${item.recoveries.map(words.cause).join(", ")}`)
  return [
    paint("green", "✓"),
    ` ${name}  ${units.bytes(item.bytes)} in ${units.duration(item.durationMs)}`,
    retried
  ]
}
