import { CsvReader } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Csv } from "effect/encoding"

/** What a reader finds in text whose bytes are cut into pieces. */
const read = (content: string | Uint8Array, size: number, options: Partial<CsvReader.Options> = {}) => {
  const records: Array<CsvReader.Record> = []
  const problems: Array<CsvReader.Problem> = []
  const reader = CsvReader.make({
    cells: true,
    onRecord: (record) => records.push(record),
    onProblem: (problem) => problems.push(problem),
    ...options
  })
  const bytes = Buffer.from(content)
  // A reader keeps no memory that belongs to the caller.
  const piece = new Uint8Array(size)
  for (let from = 0; from < bytes.length; from += size) {
    const part = bytes.subarray(from, from + size)
    piece.set(part)
    if (!reader.read(piece.subarray(0, part.length))) break
    piece.fill(0)
  }
  reader.end()
  return { records, problems }
}

describe("CsvReader", () => {
  it.effect.prop("agrees with Effect's parser, however the bytes are cut", {
    rows: Schema.Array(
      Schema.Array(Schema.Literals(["x", "a,b", "say \"hi\"", "\"", "two\r\nlines", "ü表", "\u{feff}", "", "\r"]))
        .check(Schema.isMinLength(2), Schema.isMaxLength(4))
    ).check(Schema.isMinLength(1), Schema.isMaxLength(8)),
    newline: Schema.Literals(["\n", "\r\n"]),
    size: Schema.Literals([1, 2, 3, 7, 1000])
  }, ({ newline, rows, size }) =>
    Effect.gen(function*() {
      const content = yield* Stream.fromIterable(rows).pipe(
        Stream.pipeThroughChannel(Csv.encode({ newline })),
        Stream.decodeText,
        Stream.mkString
      )
      const { problems, records } = read(content, size, { delimiter: "," })
      assert.deepStrictEqual(problems, [])
      assert.deepStrictEqual(records.map(({ cells = [] }) => [...cells]), rows.map((row) => [...row]))
      assert.deepStrictEqual(records.map(({ fields }) => fields), rows.map(({ length }) => length))
    }))

  it("counts lines of the text and rows of a spreadsheet", () => {
    const { records } = read("a,b\r\n\r\n\"1\n2\",3\n\n\n4,5", 1)
    assert.deepStrictEqual(records.map(({ line, row }) => [line, row]), [[1, 1], [3, 3], [7, 6]])
  })

  it("reads a text that is shorter than a byte order mark", () => {
    for (const size of [1, 2, 3]) {
      assert.deepStrictEqual(read("a", size).records.map(({ cells }) => cells), [["a"]])
      assert.deepStrictEqual(read("a\n", size).records.map(({ cells }) => cells), [["a"]])
      assert.deepStrictEqual(read("", size).records, [])
    }
  })

  it("takes a text for Windows-1252 where it has no control characters but those of lines and tabs", () => {
    const kind = (rest: string) => read(Buffer.from(`h\n\xe4${rest}\n`, "latin1"), 100).problems.map(({ kind }) => kind)
    for (const rest of ["", " b", "\tb\r\n", "\xa0\x80\xff"]) assert.deepStrictEqual(kind(rest), ["windows-1252"], rest)
    for (const rest of ["\x7f", "\x1b", "\x0b", "\x81", "\x9d"]) assert.deepStrictEqual(kind(rest), [undefined], rest)
  })

  it("reads cells of the header only, unless others are wanted", () => {
    const { records } = read("a;b\n1;2\n", 100, { cells: false })
    assert.deepStrictEqual(records.map(({ cells, fields }) => [cells, fields]), [[["a", "b"], 2], [undefined, 2]])
  })

  it("takes a quote inside an unquoted field for text, unless quotes are strict", () => {
    const content = "a,b\n5\" pipe,1\n\"6\"\"\",2\n"
    const lenient = read(content, 3)
    assert.deepStrictEqual(lenient.problems, [])
    assert.deepStrictEqual(lenient.records.map(({ cells }) => cells?.[0]), ["a", "5\" pipe", "6\""])
    const strict = read(content, 3, { strictQuotes: true })
    assert.deepStrictEqual(strict.problems.map(({ line }) => line), [2])
    assert.deepStrictEqual(strict.records.map(({ wellFormed }) => wellFormed), [true, false, true])
  })

  it("ends at a record that is longer than 1 MiB, where its cells are wanted", () => {
    const content = `a,b\n1,${"x".repeat(2_000_000)}\n3\n`
    const { problems, records } = read(content, 65_536)
    assert.deepStrictEqual(problems, [{ line: 2, description: "is no record: it has more than 1 MiB" }])
    assert.lengthOf(records, 1)
    assert.deepStrictEqual(read(content, 65_536, { cells: false }).records.map(({ fields }) => fields), [2, 2, 1])
  })
})
