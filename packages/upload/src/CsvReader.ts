/**
 * Splits CSV into records, chunk by chunk, and names each line that is malformed. `Preflight` reads with it.
 *
 * **Details**
 *
 * Every byte that matters is ASCII, which no other character of UTF-8 contains, so records are found without decoding them.
 * Cells are decoded on request, and of the header. Fields may be quoted, and then contain delimiters, line breaks and doubled
 * quotes (RFC 4180). Lines end with LF or CRLF. A byte order mark is no part of the first field.
 *
 * **Example** (Reading cells)
 *
 * ```ts import.meta.vitest
 * import { CsvReader } from "@effect-resilience/upload"
 *
 * const records: Array<ReadonlyArray<string> | undefined> = []
 * const reader = CsvReader.make({
 *   cells: true,
 *   onRecord: ({ cells }) => records.push(cells),
 *   onProblem: ({ description, line }) => console.log(`line ${line} ${description}`)
 * })
 * reader.read(new TextEncoder().encode("Account;Amount\n4711;\"1;000\"\n"))
 * reader.end()
 * records // => [["Account", "Amount"], ["4711", "1;000"]]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import { Utf8Checker } from "./internal/utf8.ts"
import * as Windows1252 from "./internal/windows1252.ts"

/**
 * How a CSV is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Default the one that the header contains most often, or `usual` where it contains none. */
  readonly delimiter?: Delimiter | undefined
  /** Default a comma. */
  readonly usual?: Delimiter | undefined
  /** Whether records after the header have cells; default false, which is several times as fast. */
  readonly cells?: boolean | undefined
  /** Whether a quote inside an unquoted field is malformed; default false. */
  readonly strictQuotes?: boolean | undefined
  /** Receives each record that is not a blank line. The first is the header. */
  readonly onRecord: (record: Record) => void
  /** Receives what is malformed, before the record that contains it. */
  readonly onProblem: (problem: Problem) => void
}

/**
 * What separates fields.
 *
 * @category models
 * @since 0.1.0
 */
export type Delimiter = "," | ";" | "\t" | "|"

/**
 * A record.
 *
 * @category models
 * @since 0.1.0
 */
export interface Record {
  /** Where it begins, from 1. */
  readonly line: number
  /** Its number, from 1. Blank lines count, as in a spreadsheet. */
  readonly row: number
  /** The number of its fields. */
  readonly fields: number
  /** Their content, without quotes. */
  readonly cells: ReadonlyArray<string> | undefined
  /** False where `onProblem` received a problem of its quotes. */
  readonly wellFormed: boolean
}

/**
 * One thing that is wrong.
 *
 * @category models
 * @since 0.1.0
 */
export interface Problem {
  /** Counts from 1; for a record that spans several lines, it is the first. */
  readonly line: number
  /** What is wrong, in a sentence for people. */
  readonly description: string
  /**
   * `windows-1252` where the text is probably in that encoding, which `UploadSource.fromWindows1252` reads; `noRows` where
   * `Preflight` finds a header and nothing else.
   */
  readonly kind?: "windows-1252" | "noRows" | undefined
}

/**
 * Reads chunks in order.
 *
 * @category models
 * @since 0.1.0
 */
export interface CsvReader {
  /** How many were read. */
  readonly bytes: number
  /**
   * The chunk's memory may be used again afterwards. Returns false once a record whose cells are wanted is longer than 1 MiB:
   * nothing is read after it.
   */
  read(chunk: Uint8Array): boolean
  /** Ends the last record. */
  end(): void
}

/**
 * Makes a reader of one file.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): CsvReader => new Reader(options)

type State = "start" | "plain" | "quoted" | "quoteInQuoted"

class Reader implements CsvReader {
  bytes = 0
  private readonly options: Options
  private readonly utf8 = new Utf8Checker()
  private kinds: Uint8Array
  private beginning: Uint8Array | undefined = new Uint8Array(0)
  private isHeader = true
  private collects = true
  private tooLong = false
  private line = 1
  private recordLine = 1
  private row = 1
  private fields = 1
  private blank = true
  private hasNul = false
  // Outside quotes, in the present record.
  private returns = 0
  private fault: string | undefined
  private state: State = "start"
  // The present record where its cells are wanted: what earlier chunks contain of it, and where its delimiters are.
  private parts: Array<Uint8Array> = []
  private length = 0
  private ends: Array<number> = []
  private readonly delimiters: Array<string> = []

  constructor(options: Options) {
    this.options = options
    this.kinds = kindsFor(options.delimiter === undefined ? delimiters : [options.delimiter])
  }

  read(chunk: Uint8Array): boolean {
    this.bytes += chunk.length
    if (this.tooLong) return false
    if (this.beginning === undefined) this.scan(chunk)
    else {
      const beginning = new Uint8Array([...this.beginning, ...chunk.subarray(0, byteOrderMark.length)])
      const rest = chunk.subarray(beginning.length - this.beginning.length)
      this.beginning = beginning
      if (beginning.length >= byteOrderMark.length) {
        this.begin()
        this.scan(rest)
      }
    }
    return !this.tooLong
  }

  end(): void {
    if (this.tooLong) return
    this.begin()
    if (this.utf8.cut) this.notUtf8(nothing)
    if (this.state === "quoted") this.fault = "a quoted field is never closed"
    this.record(nothing)
  }

  /** Without the byte order mark, which is no part of the first field. */
  private begin(): void {
    const beginning = this.beginning
    this.beginning = undefined
    if (beginning === undefined) return
    const marked = beginning.length >= 3 && byteOrderMark.every((byte, i) => beginning[i] === byte)
    this.scan(marked ? beginning.subarray(3) : beginning)
  }

  private scan(chunk: Uint8Array): void {
    const { length } = chunk
    let { kinds } = this
    let begun = 0
    let i = this.utf8.cut ? this.characters(chunk, 0) : 0
    while (i < length) {
      const from = i
      while (i < length && kinds[chunk[i] ?? 0] === plain) i++
      if (i > from) this.text()
      if (i === length) break
      const byte = chunk[i] ?? 0
      switch (kinds[byte]) {
        case high:
          this.text()
          i = this.characters(chunk, i)
          continue
        case quote:
          this.quote()
          break
        case delimiter:
          if (this.state === "quoted") break
          if (this.collects) {
            this.ends.push(this.length + i - begun)
            if (this.isHeader) this.delimiters.push(String.fromCharCode(byte))
          }
          this.fields++
          this.blank = false
          this.state = "start"
          break
        case lineFeed:
          this.line++
          if (this.state === "quoted") break
          this.record(this.collects ? chunk.subarray(begun, i) : nothing)
          if (this.tooLong) return
          begun = i + 1
          kinds = this.kinds
          break
        case carriageReturn:
          // It belongs to the line break, or to a field that keeps it.
          if (this.state !== "quoted") this.returns++
          break
        case nul:
          this.nul()
          break
      }
      i++
    }
    if (this.collects) this.keep(chunk.slice(begun))
  }

  private text(): void {
    if (this.state === "quoted") return
    if (this.state === "quoteInQuoted") this.fault ??= "has text after a closing quote"
    this.blank = false
    this.state = "plain"
  }

  private quote(): void {
    this.blank = false
    if (this.state === "quoted") this.state = "quoteInQuoted"
    else if (this.state !== "plain") this.state = "quoted"
    else if (this.options.strictQuotes === true) {
      this.fault ??= "has a quote inside a field that does not begin with one"
    }
  }

  private characters(chunk: Uint8Array, from: number): number {
    const end = this.utf8.read(chunk, from)
    if (this.utf8.broken) this.notUtf8(chunk.subarray(from))
    return end
  }

  private notUtf8(rest: Uint8Array): void {
    const description = "is not UTF-8 from here on"
    this.options.onProblem(
      Windows1252.mayBe(rest)
        ? {
          line: this.line,
          description: `${description}, but probably Windows-1252: in Excel, save it as "CSV UTF-8 (Comma delimited)"`,
          kind: "windows-1252"
        }
        : { line: this.line, description }
    )
    this.utf8.ignore()
  }

  private nul(): void {
    this.text()
    if (this.hasNul) return
    this.hasNul = true
    this.options.onProblem({ line: this.line, description: "has a NUL byte, so it is no text" })
  }

  private keep(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.parts.push(bytes)
    this.length += bytes.length
    if (this.length <= longestRecord) return
    const description = this.returns > 1
      ? returnsOnly
      : `is no ${this.isHeader ? "header" : "record"}: it has more than 1 MiB`
    this.options.onProblem({ line: this.recordLine, description })
    this.tooLong = true
  }

  private record(rest: Uint8Array): void {
    if (this.collects) this.keep(rest)
    if (this.tooLong) return
    if (!this.blank) {
      if (this.isHeader && this.returns > (this.endsInReturn() ? 1 : 0)) this.fault ??= returnsOnly
      if (this.fault !== undefined) this.options.onProblem({ line: this.recordLine, description: this.fault })
      const cells = this.isHeader ? this.readHeader() : this.collects ? this.cells(this.ends) : undefined
      const fields = cells?.length ?? this.fields
      this.options.onRecord({
        line: this.recordLine,
        row: this.row,
        fields,
        cells,
        wellFormed: this.fault === undefined
      })
    }
    this.parts = []
    this.length = 0
    this.ends = []
    this.row++
    this.fields = 1
    this.blank = true
    this.returns = 0
    this.fault = undefined
    this.state = "start"
    this.recordLine = this.line
  }

  private endsInReturn(): boolean {
    return this.parts.at(-1)?.at(-1) === 0x0d
  }

  private readHeader(): ReadonlyArray<string> {
    const chosen = this.options.delimiter ?? this.mostFrequentDelimiter()
    this.kinds = kindsFor([chosen])
    this.isHeader = false
    this.collects = this.options.cells === true
    return this.cells(this.ends.filter((_, i) => this.delimiters[i] === chosen))
  }

  private mostFrequentDelimiter(): string {
    const usual = this.options.usual ?? ","
    const count = (delimiter: string) => this.delimiters.filter((found) => found === delimiter).length
    return [...new Set(this.delimiters)].reduce((most, next) => count(next) > count(most) ? next : most, usual)
  }

  private cells(ends: ReadonlyArray<number>): ReadonlyArray<string> {
    const bytes = joined(this.parts, this.length)
    const text = utf8.decode(bytes)
    // Where all of it is ASCII, a byte is a character.
    const part = text.length === bytes.length
      ? (from: number, to: number) => text.slice(from, to)
      : (from: number, to: number) => utf8.decode(bytes.subarray(from, to))
    const end = bytes.at(-1) === 0x0d ? bytes.length - 1 : bytes.length
    let from = 0
    return [...ends, end].map((to) => {
      const cell = part(from, to)
      from = to + 1
      return cell.startsWith(`"`) ? unquoted(cell) : cell
    })
  }
}

const unquoted = (cell: string): string => {
  const closing = cell.lastIndexOf(`"`)
  return cell.slice(1, closing > 0 ? closing : undefined).replaceAll(`""`, `"`)
}

const joined = (parts: ReadonlyArray<Uint8Array>, length: number): Uint8Array => {
  const [only = nothing] = parts.length === 1 ? parts : []
  if (parts.length === 1) return only
  const bytes = new Uint8Array(length)
  let position = 0
  for (const part of parts) {
    bytes.set(part, position)
    position += part.length
  }
  return bytes
}

const delimiters: ReadonlyArray<Delimiter> = [",", ";", "\t", "|"]

const nothing = new Uint8Array(0)

const byteOrderMark = [0xef, 0xbb, 0xbf]

const longestRecord = 1_048_576

const returnsOnly =
  "has carriage returns without line feeds, as old Macs ended lines: save the file with the line ends of Windows or Unix"

const plain = 0
const delimiter = 1
const quote = 2
const lineFeed = 3
const carriageReturn = 4
const high = 5
const nul = 6

// One for all: a batch checks a hundred thousand files. A mark within the text is a character like any other.
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })
const knownKinds = new Map<string, Uint8Array>()

const kindsFor = (delimiters: ReadonlyArray<string>): Uint8Array => {
  const known = knownKinds.get(delimiters.join(""))
  if (known !== undefined) return known
  const kinds = new Uint8Array(256).fill(high, 0x80)
  kinds[0] = nul
  kinds[34] = quote
  kinds[10] = lineFeed
  kinds[13] = carriageReturn
  for (const text of delimiters) kinds[text.charCodeAt(0)] = delimiter
  knownKinds.set(delimiters.join(""), kinds)
  return kinds
}
