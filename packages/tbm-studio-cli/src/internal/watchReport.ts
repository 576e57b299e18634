import * as Recovery from "@effect-resilience/errors/Recovery"
import type * as Journal from "@effect-resilience/upload/Journal"
import * as Data from "effect/Data"
import type * as Option from "effect/Option"
import type { CommandOutput } from "./commandOutput.ts"
import * as Precautions from "./precautions.ts"
import * as Report from "./report.ts"
import { InvalidInput } from "./runtime.ts"
import * as units from "./units.ts"
import type * as WatchFolder from "./watchFolder.ts"

/** A file that was not sent, and why, for people. */
export interface NotSent {
  readonly file: string
  readonly why: string
}

export interface WatchReport extends Report.BatchReport {
  /** Files that are not whole yet. */
  readonly waiting: ReadonlyArray<NotSent>
  /** Files that are never sent. */
  readonly rejected: ReadonlyArray<NotSent>
  /** The commands that answer what a person is asked. */
  readonly choices: ReadonlyArray<string>
}

/** How the command was called: the commands that it names repeat that. */
export interface Call {
  readonly directory: string
  readonly rulesPath: string
  /** The flags that decide how files are sent. */
  readonly flags: ReadonlyArray<readonly [name: string, value?: string]>
}

/** Another content arrived under the name of a file that was uploaded. */
export class ChangedSinceUpload extends Data.TaggedError("ChangedSinceUpload")<{ readonly message: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
}

/** The question about a file that was uploaded with other content, and is not sent again by itself. */
export const changed = (
  { found, name }: WatchFolder.Sendable,
  entry: Journal.Entry,
  addedSince: ReadonlyArray<string>
): ChangedSinceUpload => {
  const effect = found.match.action === "append"
    ? "adds its rows to those that are stored"
    : `replaces the rows of the period${
      addedSince.length === 0 ? "" : `, and what was added since: ${addedSince.join(", ")}`
    }`
  return new ChangedSinceUpload({
    message:
      `${name} was uploaded with other content at ${new Date(entry.at).toISOString()}, so it is not sent by itself. ` +
      `Sending it ${effect}. Remove it to leave the table as it is.`
  })
}

/** The commands that answer the question about a file. */
export const choicesFor = (call: Call, name: string, { error, status }: Report.ItemReport): ReadonlyArray<string> => {
  const command = `${callOf(call)} --once ${flag("--only", name)}`
  if (status === "unknown") {
    return [
      `Look whether the rows of ${name} are stored. If they are: ${command} --unknown skip`,
      `If they are not: ${command} --unknown retry`
    ]
  }
  return error?.reason === "ChangedSinceUpload" ? [`To send the new content of ${name}: ${command} --changed send`] : []
}

const callOf = ({ directory, flags, rulesPath }: Call): string =>
  [
    "tbm-studio watch",
    quoted(directory.startsWith("-") ? `./${directory}` : directory),
    flag("--rules", rulesPath),
    ...flags.map(([name, value]) => value === undefined ? name : flag(name, value))
  ].join(" ")

// A value that begins with a dash would be taken for a flag.
const flag = (name: string, value: string): string => `${name}${value.startsWith("-") ? "=" : " "}${quoted(value)}`

/** A word as shells read it, on one line. */
export const quoted = (word: string): string =>
  /\p{Cc}/u.test(word)
    ? `$'${
      word.replace(/[\\']/g, "\\$&").replace(/\p{Cc}/gu, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
    }'`
    : /^[\w%+,./:=@-]+$/.test(word)
    ? word
    : `'${word.replaceAll("'", "'\\''")}'`

/** A file that was not sent because another, which this call leaves alone, comes before it. */
export const heldBack = (held: WatchFolder.Sendable, by: WatchFolder.Sendable): InvalidInput =>
  new InvalidInput({
    message:
      `${held.name} was not sent: ${by.name} was written before it for the same table and period, and is not done. ` +
      "Send that one first, or move it away."
  })

/** The output of the command. Of what earlier runs have uploaded, people see the count. */
export const outputOf =
  (call: Call, { all, backup }: { readonly all: boolean; readonly backup: Option.Option<string> }) =>
  (report: WatchReport): CommandOutput => ({
    json: {
      items: report.items,
      totals: report.totals,
      waiting: report.waiting,
      rejected: report.rejected
    },
    text: (width) => {
      const items = report.items.filter(({ status }) => status !== "skipped")
      const { skipped } = report.totals
      return [
        ...(items.length === 0
          ? [
            `Nothing was sent from ${call.directory}${
              skipped === 0 ? "." : `: ${units.plural(skipped, "file")} already there.`
            }`
          ]
          : Report.table({ ...report, items }, { all, width })),
        ...Precautions.advice(report.items, backup),
        ...report.rejected.map(({ file, why }) => `${file}: ${why}`),
        ...report.waiting.map(({ file, why }) => `${file}: not sent yet, since ${why}.`),
        ...(report.choices.length === 0 ? [] : ["", ...report.choices])
      ]
    },
    exitStatus: report.exitStatus
  })

/** What the last line of a terminal says while nothing is sent. */
export const statusLine = (directory: string, { items, rejected, totals, waiting }: WatchReport): string =>
  [
    `Watching ${directory}`,
    `${totals.uploaded} uploaded`,
    ...(["failed", "unknown"] as const).flatMap((status) =>
      totals[status] === 0 ? [] : [`${totals[status]} ${status}`]
    ),
    ...(rejected.length === 0 ? [] : [`${rejected.length} not sent`]),
    ...(waiting.length === 0 ? [] : [`${waiting.length} waiting`]),
    ...(items.some(({ status }) => status === "notStarted") ? ["some held back"] : [])
  ].join(" · ")
