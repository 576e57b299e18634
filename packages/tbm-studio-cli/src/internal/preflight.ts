import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Period from "@effect-resilience/tbm-studio/Period"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import type * as CsvReader from "@effect-resilience/upload/CsvReader"
import * as FileFormat from "@effect-resilience/upload/FileFormat"
import * as Preflight from "@effect-resilience/upload/Preflight"
import type * as UploadError from "@effect-resilience/upload/UploadError"
import type * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as Arr from "effect/Array"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { linesOf } from "./commandOutput.ts"
import * as DataFile from "./dataFile.ts"
import type { Encoding } from "./encoding.ts"
import type * as LiveRegion from "./liveRegion.ts"
import type * as RowHistory from "./rowHistory.ts"
import * as Rules from "./rules.ts"
import { clip } from "./textWidth.ts"
import * as units from "./units.ts"

/** Files are invalid. Each line of the message names a file and its line. */
export class InvalidFiles extends Data.TaggedError("InvalidFiles")<{
  readonly problems: ReadonlyArray<string>
  readonly remedies: ReadonlySet<Remedy>
  /** For files that arrive in a directory. */
  readonly watched?: boolean | undefined
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  get lines(): ReadonlyArray<string> {
    const { next, remedies } = this.watched === true ? ofWatch : ofFlags
    return [...this.problems, next, ...[...this.remedies].map((remedy) => remedies[remedy])]
  }
  override get message(): string {
    const { lines, problems, watched } = this
    return watched === true
      ? `${problems.join("; ")}. ${lines.slice(problems.length).join(" ")}`
      : lines.join("\n")
  }
}

type Remedy = NonNullable<CsvReader.Problem["kind"]>

interface Remedies {
  readonly next: string
  readonly remedies: { readonly [remedy in Remedy]: string }
}

const ofFlags: Remedies = {
  next: "Nothing was sent. Correct the files, or send them as they are with --no-preflight.",
  remedies: {
    "windows-1252": "To send files that are in Windows-1252 as UTF-8, add --encoding windows-1252.",
    "noRows": "To empty a table's period on purpose, add --allow-empty."
  }
}

const ofWatch: Remedies = {
  next: "It was not sent. Correct it, and it is looked at again.",
  remedies: {
    "windows-1252": "To send such files as UTF-8, add \"encoding\": \"windows-1252\" to their rule, and start again.",
    "noRows": "To empty a table's period on purpose, add \"allowEmpty\": true to its rule, and start again."
  }
}

/** A file that will be sent. */
export interface Checked {
  readonly file: string
  readonly action: TableAddress.Action
  readonly address: TableAddress.TableAddress
}

export interface Options {
  readonly encoding?: Encoding | undefined
  readonly allowEmpty?: boolean | undefined
  readonly rules?: ReadonlyArray<Rules.Rule> | undefined
}

/** Reads all files, and fails with all problems. Returns how many rows each CSV has. */
export const check = Effect.fnUntraced(function*(
  files: ReadonlyArray<Checked>,
  options: Options,
  region: LiveRegion.LiveRegion
) {
  const byFile = new Map<string, Array<Checked>>()
  for (const checked of files) {
    const same = byFile.get(checked.file)
    if (same === undefined) byFile.set(checked.file, [checked])
    else same.push(checked)
  }
  const distinct = [...byFile.keys()]
  const problems: Array<Found> = []
  const rows = new Map<string, number>()
  const problemsOf = (file: string) =>
    Effect.match(
      read(DataFile.source(file, options.encoding ?? "utf-8", file), file, byFile.get(file) ?? [], options),
      {
        onFailure: found,
        onSuccess: (count) => {
          if (count !== undefined) rows.set(file, count)
          return []
        }
      }
    )
  yield* Effect.gen(function*() {
    for (let done = 0; done < distinct.length; done += filesBetweenPauses) {
      yield* region.draw(({ columns }) => [clip(`Checking files: ${done} of ${distinct.length}`, columns - 1)])
      // Small files may be read synchronously, but signals need a pause.
      yield* Effect.yieldNow
      const found = yield* Effect.forEach(distinct.slice(done, done + filesBetweenPauses), problemsOf, {
        concurrency: filesAtOnce
      })
      problems.push(...found.flat())
    }
  }).pipe(region.clearAfter)
  if (problems.length > 0) return yield* invalid(problems)
  return rows
})

/** Fails where the rows of a table and period differ too much from those of the one before. */
export const compareRows = Effect.fnUntraced(function*(
  uploads: ReadonlyArray<Checked>,
  rows: ReadonlyMap<string, number>,
  { before, rules, watched }: {
    readonly watched?: boolean | undefined
    readonly rules: ReadonlyArray<Rules.Rule>
    readonly before: (address: TableAddress.TableAddress) => RowHistory.Rows | undefined
  }
) {
  const problems = Object.values(Arr.groupBy(uploads, ({ address }) => TableAddress.key(address))).flatMap((all) => {
    const [{ address }] = all
    const { rowsChange } = Rules.of(rules, [address])
    const last = rowsChange < Infinity ? before(address) : undefined
    // What is already stored is not read again, so only a period that is sent from its overwrite on can be compared.
    const sent = all.slice(Math.max(0, all.findLastIndex(({ action }) => action === "overwrite")))
    const counts = sent.map(({ file }) => rows.get(file))
    if (last === undefined || counts.includes(undefined) || sent[0]?.action !== "overwrite") return []
    const count = counts.reduce((sum: number, some = 0) => sum + some, 0)
    if (Math.abs(count - last.rows) <= rowsChange * last.rows) return []
    return [{
      line:
        `${TableAddress.format(address)}: has ${units.plural(count, "row")} where ${Period.format(last.period)} has ` +
        `${last.rows}, and the rule allows ${Math.round(rowsChange * 100)}% more or fewer`
    }]
  })
  if (problems.length > 0) return yield* invalid(problems, watched)
})

const filesAtOnce = 8
const filesBetweenPauses = 128

/** Reads one file. One that cannot be read fails as its upload would. */
export const checkOne = (upload: Checked, options: Options) =>
  checkSource(DataFile.source(upload.file, options.encoding ?? "utf-8", upload.file), upload, options)

/** Reads the source of one file. `watched`: whether it arrived in a directory. */
export const checkSource = <R>(
  source: UploadSource.UploadSource<R>,
  upload: Checked,
  options: Options & { readonly watched?: boolean | undefined }
) =>
  Effect.mapError(
    read(source, upload.file, [upload], options),
    (error) => error._tag === "InvalidFile" ? invalid(found(error), options.watched) : error
  )

interface Found {
  readonly line: string
  readonly remedy?: Remedy | undefined
}

const invalid = (problems: ReadonlyArray<Found>, watched?: boolean) =>
  new InvalidFiles({
    watched,
    problems: problems.map(({ line }) => line),
    remedies: new Set(problems.flatMap(({ remedy }) => remedy ?? []))
  })

const found = (error: Preflight.InvalidFile | UploadError.UploadError): ReadonlyArray<Found> => {
  const lines = linesOf(error)
  return error._tag === "InvalidFile"
    ? error.problems.map(({ kind }, i) => ({ line: lines[i] ?? "", remedy: kind }))
    : lines.map((line) => ({ line }))
}

const read = <R>(
  source: UploadSource.UploadSource<R>,
  file: string,
  uploads: ReadonlyArray<Checked>,
  { allowEmpty = false, rules = [] }: Options
): Effect.Effect<number | undefined, Preflight.InvalidFile | UploadError.UploadError, R> => {
  const { apply, leastRows, numbers, required } = Rules.of(rules, uploads.map(({ address }) => address))
  const needsRows = !allowEmpty && uploads.some(({ action }) => action === "overwrite")
  return apply || /\.[ct]sv(\.gz)?$/i.test(file)
    ? Effect.map(
      Preflight.csv(source, { required, numbers, minRows: Math.max(leastRows, needsRows ? 1 : 0) }),
      ({ rows }) => rows
    )
    // Of other formats, only check that the file can be read, and that it is no workbook.
    : Effect.flatMap(source.open, ({ bytes }) =>
      Effect.flatMap(
        Stream.runHead(bytes({ offset: 0, length: FileFormat.headBytes })),
        (head) => notAWorkbook(file, Option.getOrElse(head, () => new Uint8Array(0)))
      ))
}

const workbooks: ReadonlyArray<FileFormat.FileFormat | undefined> = ["xlsx", "xls", "ods"]

const notAWorkbook = (source: string, head: Uint8Array) => {
  const format = FileFormat.of(head)
  return format !== undefined && workbooks.includes(format)
    ? Effect.fail(
      new Preflight.InvalidFile({ source, problems: [{ line: 1, description: FileFormat.describe(format) }] })
    )
    : Effect.succeed(undefined)
}
