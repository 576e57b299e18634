import type { Problem } from "../Preflight.ts"

const quote = 34
const lf = 10
const cr = 13

/** Reads records byte by byte: every byte that matters is ASCII, which no other character of UTF-8 contains. */
export class CsvReader {
  readonly problems: Array<Problem> = []
  private readonly delimiter: number
  private readonly expected: ReadonlyArray<string> | undefined
  private readonly maxProblems: number
  private readonly utf8 = new TextDecoder("utf-8", { fatal: true })
  private broken = false
  private header: ReadonlyArray<string> | undefined
  private headerBytes: Array<number> = []
  private rows = 0
  private bytes = 0
  private line = 1
  private recordLine = 1
  private fields = 1
  private blank = true
  private state: "start" | "plain" | "quoted" | "quoteInQuoted" = "start"
  private stray = false

  constructor(delimiter: string, expected: ReadonlyArray<string> | undefined, maxProblems: number) {
    this.delimiter = delimiter.charCodeAt(0)
    this.expected = expected
    this.maxProblems = maxProblems
  }

  get full(): boolean {
    return this.problems.length >= this.maxProblems
  }

  read(chunk: Uint8Array): void {
    this.decode(chunk, false)
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] ?? 0
      if (this.header === undefined && (byte !== lf || this.state === "quoted")) this.headerBytes.push(byte)
      if (this.bytes + i < 3 && byte === byteOrderMark[this.bytes + i]) continue
      this.step(byte)
    }
    this.bytes += chunk.length
  }

  end() {
    this.decode(new Uint8Array(0), true)
    if (this.state === "quoted") this.problem(this.recordLine, "a quoted field is never closed")
    this.record()
    if (this.header === undefined) this.problem(1, "is empty: it has no header")
    return { header: this.header ?? [], rows: this.rows, bytes: this.bytes, problems: this.problems }
  }

  private step(byte: number): void {
    if (byte === lf) this.line++
    if (this.state === "quoted") {
      if (byte === quote) this.state = "quoteInQuoted"
      return
    }
    switch (byte) {
      case this.delimiter:
        this.fields++
        this.blank = false
        this.state = "start"
        return
      case lf:
        this.record()
        return
      case cr:
        // Belongs to the line break, or to a field that keeps it.
        return
      case quote:
        if (this.state === "start" || this.state === "quoteInQuoted") this.state = "quoted"
        this.blank = false
        return
      default:
        if (this.state === "quoteInQuoted") this.stray = true
        this.blank = false
        this.state = "plain"
    }
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

  private readHeader(): void {
    const text = new TextDecoder().decode(new Uint8Array(this.headerBytes)).replace(/\r$/, "")
    const delimiter = String.fromCharCode(this.delimiter)
    this.header = splitRecord(text, delimiter)
    this.headerBytes = []
    if (this.expected === undefined) return
    if (this.header.length !== this.expected.length) {
      this.problem(this.recordLine, `has ${this.header.length} columns where ${this.expected.length} are expected`)
      return
    }
    this.expected.forEach((expected, i) => {
      const actual = this.header?.[i]
      if (actual !== expected) {
        this.problem(this.recordLine, `column ${i + 1} is ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`)
      }
    })
  }

  private decode(chunk: Uint8Array, last: boolean): void {
    if (this.broken) return
    try {
      this.utf8.decode(chunk, { stream: !last })
    } catch {
      this.broken = true
      this.problem(this.line + badLine(chunk), "is not UTF-8 from here on")
    }
  }

  private problem(line: number, description: string): void {
    if (!this.full) this.problems.push({ line, description })
  }
}

const byteOrderMark = [0xef, 0xbb, 0xbf]

/** How many lines of a chunk are sound before the first that is not UTF-8. */
const badLine = (chunk: Uint8Array): number => {
  const text = new TextDecoder().decode(chunk)
  return text.slice(0, text.indexOf("\uFFFD")).split("\n").length - 1
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
