import type { Problem } from "../Preflight.ts"

type State = "start" | "plain" | "quoted" | "quoteInQuoted"

/** Reads records byte by byte: every byte that matters is ASCII, which no other character of UTF-8 contains. */
export class CsvReader {
  readonly problems: Array<Problem> = []
  private readonly options: Options
  private readonly utf8 = new Utf8()
  private kinds: Uint8Array
  private beginning: Uint8Array | undefined = new Uint8Array(0)
  private header: ReadonlyArray<string> | undefined
  private headerBytes: Array<Uint8Array> = []
  private readonly delimiters = new Map<number, number>()
  private rows = 0
  private bytes = 0
  private line = 1
  private recordLine = 1
  private fields = 1
  private blank = true
  private state: State = "start"
  private stray = false
  private stopped = false

  constructor(options: Options) {
    this.options = options
    this.kinds = kindsFor(options.delimiter === undefined ? delimiters : [options.delimiter])
  }

  get full(): boolean {
    return this.stopped || this.problems.length >= this.options.maxProblems
  }

  read(chunk: Uint8Array): void {
    this.bytes += chunk.length
    if (this.beginning === undefined) return this.scan(chunk)
    const beginning = new Uint8Array([...this.beginning, ...chunk.subarray(0, byteOrderMark.length)])
    const rest = chunk.subarray(beginning.length - this.beginning.length)
    this.beginning = beginning
    if (beginning.length < byteOrderMark.length) return
    this.begin()
    this.scan(rest)
  }

  end() {
    this.begin()
    if (this.utf8.cut) this.notUtf8()
    if (this.header === undefined) this.collect(new Uint8Array(0))
    if (this.state === "quoted") this.problem(this.recordLine, "a quoted field is never closed")
    this.record()
    if (this.header === undefined) this.problem(1, "is empty: it has no header")
    return { header: this.header ?? [], rows: this.rows, bytes: this.bytes, problems: this.problems }
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
          if (this.state === "quoted") this.state = "quoteInQuoted"
          else if (this.state !== "plain") this.state = "quoted"
          this.blank = false
          break
        case delimiter:
          if (this.state === "quoted") break
          if (this.header === undefined) this.delimiters.set(byte, (this.delimiters.get(byte) ?? 0) + 1)
          this.fields++
          this.blank = false
          this.state = "start"
          break
        case lineFeed:
          this.line++
          if (this.state === "quoted") break
          if (this.header === undefined) {
            this.collect(chunk.slice(begun, i))
            begun = i + 1
          }
          this.record()
          kinds = this.kinds
          break
          // A carriage return belongs to the line break, or to a field that keeps it.
      }
      i++
    }
    if (this.header === undefined) this.collect(chunk.slice(begun))
  }

  private text(): void {
    if (this.state === "quoted") return
    if (this.state === "quoteInQuoted") this.stray = true
    this.blank = false
    this.state = "plain"
  }

  private characters(chunk: Uint8Array, from: number): number {
    const end = this.utf8.read(chunk, from)
    if (this.utf8.broken) this.notUtf8()
    return end
  }

  private notUtf8(): void {
    this.problem(this.line, "is not UTF-8 from here on")
    this.utf8.ignore()
  }

  private record(): void {
    if (!this.blank) {
      if (this.stray) this.problem(this.recordLine, "has text after a closing quote")
      if (this.header === undefined) this.readHeader()
      else {
        this.rows++
        if (this.fields !== this.header.length) {
          const has = this.fields === 1 ? "1 field" : `${this.fields} fields`
          this.problem(this.recordLine, `has ${has} where the header has ${this.header.length}`)
        }
      }
    }
    if (this.header === undefined) this.headerBytes = []
    this.fields = 1
    this.blank = true
    this.stray = false
    this.state = "start"
    this.recordLine = this.line
  }

  private collect(bytes: Uint8Array): void {
    this.headerBytes.push(bytes)
    if (this.headerBytes.reduce((sum, { length }) => sum + length, 0) <= longestHeader || this.stopped) return
    this.problem(this.recordLine, "is no header: it has more than 1 MiB")
    this.stopped = true
  }

  private readHeader(): void {
    const text = this.headerBytes.map((bytes) => utf8.decode(bytes, { stream: true })).join("") + utf8.decode()
    const chosen = this.options.delimiter ?? this.mostFrequentDelimiter()
    this.kinds = kindsFor([chosen])
    this.header = splitRecord(text.replace(/\r$/, ""), chosen)
    this.headerBytes = []
    const expected = this.options.header
    if (expected === undefined) return
    if (this.header.length !== expected.length) {
      this.problem(this.recordLine, `has ${this.header.length} columns where ${expected.length} are expected`)
      return
    }
    expected.forEach((expected, i) => {
      const actual = this.header?.[i]
      if (actual !== expected) {
        this.problem(this.recordLine, `column ${i + 1} is ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`)
      }
    })
  }

  private mostFrequentDelimiter(): string {
    let [most, count] = [this.options.usual, this.delimiters.get(this.options.usual.charCodeAt(0)) ?? 0]
    for (const [byte, times] of this.delimiters) {
      if (times > count) [most, count] = [String.fromCharCode(byte), times]
    }
    return most
  }

  private problem(line: number, description: string): void {
    if (!this.full) this.problems.push({ line, description })
  }
}

interface Options {
  /** Absent: the one that the header holds most of; `usual` where that is none. */
  readonly delimiter: string | undefined
  readonly usual: string
  readonly header: ReadonlyArray<string> | undefined
  readonly maxProblems: number
}

const delimiters = [",", ";", "\t", "|"]

const byteOrderMark = [0xef, 0xbb, 0xbf]

const longestHeader = 1_048_576

const plain = 0
const delimiter = 1
const quote = 2
const lineFeed = 3
const carriageReturn = 4
const high = 5

// One for all: a batch checks a hundred thousand files.
const utf8 = new TextDecoder()
const knownKinds = new Map<string, Uint8Array>()

const kindsFor = (delimiters: ReadonlyArray<string>): Uint8Array => {
  const known = knownKinds.get(delimiters.join(""))
  if (known !== undefined) return known
  const kinds = new Uint8Array(256).fill(high, 0x80)
  kinds[34] = quote
  kinds[10] = lineFeed
  kinds[13] = carriageReturn
  for (const text of delimiters) kinds[text.charCodeAt(0)] = delimiter
  knownKinds.set(delimiters.join(""), kinds)
  return kinds
}

/** Checks what is not ASCII, by the table of well-formed byte sequences of the Unicode standard (table 3-7). */
class Utf8 {
  broken = false
  private ignored = false
  private due = 0
  private low = 0x80
  private high = 0xbf

  /** Whether more bytes of a character are due. */
  get cut(): boolean {
    return this.due > 0
  }

  ignore(): void {
    this.ignored = true
    this.broken = false
    this.due = 0
  }

  /** Reads to the next character of ASCII. */
  read(chunk: Uint8Array, from: number): number {
    let i = from
    for (; i < chunk.length; i++) {
      const byte = chunk[i] ?? 0
      if (byte < 0x80) {
        this.broken ||= this.due > 0
        return i
      }
      if (this.ignored) continue
      if (this.due === 0) this.lead(byte)
      else {
        this.broken ||= byte < this.low || byte > this.high
        this.due--
        this.low = 0x80
        this.high = 0xbf
      }
    }
    return i
  }

  private lead(byte: number): void {
    if (byte < 0xc2 || byte > 0xf4) {
      this.broken = true
      return
    }
    this.due = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3
    this.low = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80
    this.high = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf
  }
}

const splitRecord = (text: string, delimiter: string): ReadonlyArray<string> => {
  const fields: Array<string> = []
  let field = ""
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i)
    if (quoted) {
      if (char !== `"`) field += char
      else if (text.charAt(i + 1) === `"`) field += text.charAt(i++)
      else quoted = false
    } else if (char === `"` && field === "") quoted = true
    else if (char === delimiter) {
      fields.push(field)
      field = ""
    } else field += char
  }
  return [...fields, field]
}
