import { Preflight, UploadSource } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Csv } from "effect/encoding"
import * as fc from "fast-check"
import { isUtf8 as isUtf8Buffer } from "node:buffer"
import { gzipSync } from "node:zlib"

const problemsOf = (name: string, content: string | Uint8Array, options?: Preflight.CsvOptions) =>
  Preflight.csv(UploadSource.bytes(name, content), options).pipe(
    Effect.as(""),
    Effect.catch((error) => Effect.succeed(error.message))
  )

/** The same bytes, however they are cut. */
const cut = (content: Uint8Array, size: number) =>
  UploadSource.stream("a.csv", {
    stream: Stream.fromIterable(
      Array.from({ length: Math.ceil(content.length / size) }, (_, i) => content.subarray(i * size, (i + 1) * size))
    )
  })

describe("Preflight.csv", () => {
  it.effect("accepts quotes, line breaks in quotes, CRLF, blank lines, a byte order mark and no final line break", () =>
    Effect.gen(function*() {
      const content = "\uFEFF\"Account\",\"A \"\"b\"\"\"\r\n\r\n1,\"two\r\nlines, and a comma\"\r\n\"\",3"
      const summary = yield* Preflight.csv(UploadSource.bytes("a.csv", content))
      assert.deepStrictEqual(summary.header, ["Account", "A \"b\""])
      assert.strictEqual(summary.rows, 2)
    }))

  it.effect("names each line that has another number of fields", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* problemsOf("gl.csv", "a,b\n1,2\n3\n\"x\ny\",4\n5,6,7\n"),
        "gl.csv, line 3: has 1 field where the header has 2\ngl.csv, line 6: has 3 fields where the header has 2"
      )
    }))

  it.effect("compares the header", () =>
    Effect.gen(function*() {
      const header = ["Account", "Amount"]
      assert.strictEqual(yield* problemsOf("a.csv", "Account,Amount\n1,2\n", { header }), "")
      assert.strictEqual(
        yield* problemsOf("a.csv", "account,Amount\n", { header }),
        "a.csv, line 1: column 1 is \"account\", not \"Account\""
      )
      assert.strictEqual(
        yield* problemsOf("a.csv", "Account\n", { header }),
        "a.csv, line 1: has 1 columns where 2 are expected"
      )
    }))

  it.effect("finds other encodings, open quotes, stray text and nothing at all", () =>
    Effect.gen(function*() {
      const latin1 = Buffer.from("a,b\n1,2\nM\u00FCller,3\n", "latin1")
      assert.strictEqual(
        yield* problemsOf("a.csv", latin1),
        "a.csv, line 3: is not UTF-8 from here on, but probably Windows-1252: in Excel, save it as \"CSV UTF-8 (Comma delimited)\""
      )
      const other = Buffer.from([...Buffer.from("abc\n"), 0xff, 0x81])
      assert.strictEqual(yield* problemsOf("a.csv", other), "a.csv, line 2: is not UTF-8 from here on")
      assert.strictEqual(
        yield* problemsOf("a.csv", "a,b\n1,\"2\n3,4\n"),
        "a.csv, line 2: a quoted field is never closed"
      )
      assert.strictEqual(yield* problemsOf("a.csv", "a,b\n1,\"2\"3\n"), "a.csv, line 2: has text after a closing quote")
      assert.strictEqual(yield* problemsOf("a.csv", ""), "a.csv, line 1: is empty: it has no header")
      assert.strictEqual(yield* problemsOf("a.csv", "\uFEFF\n\n"), "a.csv, line 1: is empty: it has no header")
    }))

  it.effect("finds every sequence that is not UTF-8 and accepts every character, however the bytes are cut", () =>
    Effect.gen(function*() {
      const characters = "\u0080\u07ff\u0800\ud7ff\ue000\uffff\u{10000}\u{10ffff}\uFEFF"
      for (const size of [1, 2, 3, 5, 100]) {
        const whole = yield* Preflight.csv(cut(Buffer.from(`\uFEFF${characters},b\n${characters},2\n`), size))
        assert.deepStrictEqual([whole.header, whole.rows], [[characters, "b"], 1])
        for (
          const bad of ["80", "c0af", "c3", "e28", "e080af", "eda080", "f08080af", "f4908080", "f5", "ff", "e2822c"]
        ) {
          const bytes = Buffer.concat([Buffer.from("a,b\nü,"), Buffer.from(bad, "hex"), Buffer.from("\nä,1\n")])
          const { message } = yield* Effect.flip(Preflight.csv(cut(bytes, size), { maxProblems: 1 }))
          assert.match(message, /^a\.csv, line 2: is not UTF-8 from here on/, `${bad} in pieces of ${size}`)
        }
      }
      const { message } = yield* Effect.flip(Preflight.csv(cut(Buffer.from([0x61, 0x2c, 0x62, 0xe2, 0x82]), 1)))
      assert.match(message, /^a\.csv, line 1: is not UTF-8 from here on/)
    }))

  it.effect("agrees with the platform's decoder on all bytes", () =>
    Effect.sync(() =>
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
          const content = Buffer.concat([Buffer.from("h\n"), bytes])
          const isUtf8 = Effect.runSync(
            Effect.match(Preflight.csv(UploadSource.bytes("a.csv", content), { maxProblems: 100 }), {
              onSuccess: () => true,
              onFailure: ({ message }) => !message.includes("not UTF-8")
            })
          )
          assert.strictEqual(isUtf8, isUtf8Buffer(content))
        }),
        { seed: 14 }
      )
    ))

  it.effect("keeps no more than a header's worth of what has no line break", () =>
    Effect.gen(function*() {
      const endless = UploadSource.stream("a.csv", { stream: Stream.forever(Stream.make(Buffer.alloc(65_536, "x"))) })
      const { message } = yield* Effect.flip(Preflight.csv(endless))
      assert.strictEqual(message, "a.csv, line 1: is no header: it has more than 1 MiB")
    }))

  it.effect("knows tabs by the name, takes other delimiters, and stops after so many problems", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* problemsOf("a.csv", "a;b;\"c,d,e,f\"\n1,5;2;3\n"), "")
      assert.strictEqual(yield* problemsOf("a.csv", "a\tb\n1\t2\n"), "")
      assert.strictEqual(yield* problemsOf("a.csv", "a\n1;2\n"), "")
      assert.strictEqual(yield* problemsOf("a.csv", "a\n1,2\n"), "a.csv, line 2: has 2 fields where the header has 1")
      assert.strictEqual(yield* problemsOf("a.tsv", "a\tb\n1\t2\n"), "")
      assert.strictEqual(yield* problemsOf("a.csv", "a;b\n1;2\n", { delimiter: ";" }), "")
      const problems = yield* problemsOf("a.csv", `a,b\n${"1\n".repeat(100)}`, { maxProblems: 3 })
      assert.strictEqual(problems.split("\n").length, 3)
    }))

  it.effect("reads what is compressed, and says where it is not", () =>
    Effect.gen(function*() {
      const { bytes } = yield* UploadSource.gzip(UploadSource.bytes("a.csv", "a,b\n1,2\n3\n")).open
      const zipped = Buffer.concat(yield* Stream.runCollect(bytes()))
      assert.strictEqual(yield* problemsOf("a.csv.gz", zipped), "a.csv.gz, line 3: has 1 field where the header has 2")
      assert.strictEqual(
        yield* problemsOf("a.csv.gz", "a,b\n"),
        "a.csv.gz cannot be read: it is not gzip, or damaged."
      )
    }))

  it.effect.prop("agrees with Effect's own parser, however the bytes are cut", {
    cells: Schema.Array(
      Schema.Array(Schema.Literals(["", "x", "a,b", "say \"hi\"", "two\nlines", "ü表"]))
        .check(Schema.isMinLength(2), Schema.isMaxLength(4))
    ).check(Schema.isMinLength(1), Schema.isMaxLength(8)),
    size: Schema.Literals([1, 2, 3, 7, 1000])
  }, ({ cells: [header = [], ...rows], size }) =>
    Effect.gen(function*() {
      // Each column has a name of its own.
      const cells = [header.map((name, i) => `${i}${name}`), ...rows]
      const content = Buffer.concat(
        yield* Stream.runCollect(Stream.fromIterable(cells).pipe(Stream.pipeThroughChannel(Csv.encode())))
      )
      const width = cells[0]?.length
      const wrong = cells.flatMap((row, i) => row.length === width ? [] : [i])
      const result = yield* Effect.result(Preflight.csv(cut(content, size), { maxProblems: 100 }))
      if (result._tag === "Success") {
        assert.deepStrictEqual(wrong, [])
        assert.deepStrictEqual(result.success.header, cells[0])
        assert.strictEqual(result.success.rows, cells.length - 1)
      } else {
        assert.isTrue(result.failure._tag === "InvalidFile")
        assert.strictEqual(result.failure._tag === "InvalidFile" && result.failure.problems.length, wrong.length)
      }
    }))
})

describe("Preflight.csv of gzip", () => {
  const rows = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => `${from + i},${Math.sin(from + i)}\n`).join("")

  it.effect("reads all members of a file, however it is cut", () =>
    Effect.gen(function*() {
      const parts = [`a,b\n${rows(0, 300)}`, rows(300, 1), "", rows(301, 4_700)]
      const whole = Buffer.concat(parts.map((part) => gzipSync(part)))
      for (const size of [13, 1_000, 65_537, whole.length]) {
        const source = { ...cut(whole, size), name: "a.csv.gz" }
        assert.deepInclude(yield* Preflight.csv(source), { header: ["a", "b"], rows: 5_001 })
      }
      // As tape and object stores pad files.
      const padded = UploadSource.bytes("a.csv.gz", Buffer.concat([whole, Buffer.alloc(512)]))
      assert.deepInclude(yield* Preflight.csv(padded), { rows: 5_001 })
    }))

  it.effect("finds what is wrong in a later member", () =>
    Effect.gen(function*() {
      const file = Buffer.concat([gzipSync("a,b\n1,2\n"), gzipSync("3\n")])
      assert.strictEqual(yield* problemsOf("a.csv.gz", file), "a.csv.gz, line 3: has 1 field where the header has 2")
    }))

  it.effect("says that a file ends in the middle, wherever it does", () =>
    Effect.gen(function*() {
      const first = gzipSync(`a,b\n${rows(0, 100)}`)
      const file = Buffer.concat([first, gzipSync(rows(100, 100))])
      for (const length of [5, 30, first.length - 1, first.length + 12, file.length - 1]) {
        assert.strictEqual(
          yield* problemsOf("a.csv.gz", file.subarray(0, length)),
          "a.csv.gz cannot be read: its gzip data ends in the middle."
        )
      }
    }))

  it.effect("says that a file is damaged", () =>
    Effect.gen(function*() {
      const file = gzipSync(`a,b\n${rows(0, 1_000)}`)
      file[file.length >> 1] = ~(file[file.length >> 1] ?? 0)
      assert.strictEqual(
        yield* problemsOf("a.csv.gz", file),
        "a.csv.gz cannot be read: it is not gzip, or damaged."
      )
    }))

  it.effect("reads one member where the runtime has no node:zlib, and names what follows", () =>
    Effect.gen(function*() {
      const { getBuiltinModule } = process
      yield* Effect.acquireRelease(
        Effect.sync(() => Reflect.set(process, "getBuiltinModule", undefined)),
        () => Effect.sync(() => Reflect.set(process, "getBuiltinModule", getBuiltinModule))
      )
      const member = gzipSync("a,b\n1,2\n")
      assert.strictEqual(yield* problemsOf("a.csv.gz", member), "")
      assert.strictEqual(
        yield* problemsOf("a.csv.gz", Buffer.concat([member, member])),
        "a.csv.gz cannot be read: something follows its gzip data, which this runtime cannot read."
      )
    }))
})

describe("Preflight.csv of what is no table", () => {
  const line1 = (description: string) => `a.csv, line 1: ${description}`

  it.effect("names carriage returns alone, and accepts them where CRLF or quotes explain them", () =>
    Effect.gen(function*() {
      const found =
        "has carriage returns without line feeds, as old Macs ended lines: save the file with the line ends of Windows or Unix"
      assert.strictEqual(yield* problemsOf("a.csv", "a,b\r1,2\r3,4\r"), line1(found))
      assert.strictEqual(yield* problemsOf("a.csv", "\"a\",\"b\"\r\"1\",\"2\"\r"), line1(found))
      assert.strictEqual(yield* problemsOf("a.csv", `a,b\r${"1,2\r".repeat(400_000)}`), line1(found))
      assert.strictEqual(yield* problemsOf("a.csv", "a,\"b\rc\"\r\n1,\"2\r3\"\r\n"), "")
      assert.strictEqual(yield* problemsOf("a.csv", "a,b\r"), "")
      for (const size of [1, 2, 3]) {
        assert.strictEqual((yield* Preflight.csv(cut(Buffer.from("a,b\r\n1,2\r\n"), size))).rows, 1)
        const { message } = yield* Effect.flip(Preflight.csv(cut(Buffer.from("a,b\r1,2\r"), size)))
        assert.strictEqual(message, line1(found))
      }
    }))

  it.effect("names a NUL byte once, with its line, in quotes and outside", () =>
    Effect.gen(function*() {
      for (const cell of ["x\0", "\"x\0\"", "\0\0"]) {
        assert.strictEqual(
          yield* problemsOf("a.csv", `a,b\n1,${cell}\n2,${cell}\n`),
          "a.csv, line 2: has a NUL byte, so it is no text"
        )
      }
    }))

  it.effect("names what the file is instead, however it is cut, and nothing else about it", () =>
    Effect.gen(function*() {
      const files: ReadonlyArray<readonly [Uint8Array, RegExp]> = [
        [
          Buffer.from("\uFEFF \n<!doctype HTML>\n<html><title>Log in</title>"),
          /: is an HTML page, such as the login page/
        ],
        [Buffer.from("<html lang=en>"), /: is an HTML page/],
        [Buffer.from("<?xml version=\"1.0\"?>\n<Workbook>"), /: is XML/],
        [
          Buffer.concat([Buffer.from("PK\u0003\u0004"), Buffer.alloc(26), Buffer.from("xl/workbook.xml")]),
          /: is an Excel workbook/
        ],
        [Buffer.concat([Buffer.from("d0cf11e0a1b11ae1", "hex"), Buffer.alloc(99)]), /: is an Excel workbook/],
        [gzipSync("a,b\n1,2\n"), /: is compressed with gzip/],
        [Buffer.from("\uFEFFa\tb\r\n1\t2\r\n", "utf16le"), /: is text in UTF-16 \("Unicode Text"\): open it in Excel/],
        [Buffer.from("a\tb\r\n1\t2\r\n", "utf16le").swap16(), /: is text in UTF-16/],
        [Buffer.from("%PDF-1.7\n%\xe2"), /: is a PDF/]
      ]
      for (const [content, expected] of files) {
        const message = yield* problemsOf("a.csv", content)
        assert.match(message, expected)
        assert.lengthOf(message.split("\n"), 1)
        const pieces = yield* Effect.flip(Preflight.csv(cut(content, 100)))
        assert.strictEqual(pieces.message, message)
      }
      const zipped = yield* problemsOf("a.csv.gz", gzipSync("<html></html>"))
      assert.match(zipped, /^a\.csv\.gz, line 1: is an HTML page/)
      assert.strictEqual(yield* problemsOf("a.csv", "<amount,b\n1,2\n"), "")
    }))

  it.effect("names columns without a name, and names that several columns have", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* problemsOf("a.csv", "a,,c\n1,2,3\n"),
        line1("column 2 has no name: name or delete what is empty")
      )
      assert.strictEqual(
        yield* problemsOf("a.csv", "a;b; ;\n1;2;;\n"),
        line1("columns 3 and 4 have no name: name or delete what is empty")
      )
      assert.strictEqual(
        yield* problemsOf("a.csv", "Amount,b,Amount,\"Amount \",amount\n1,2,3,4,5\n"),
        line1("columns 1, 3 and 4 have one name, \"Amount\"")
      )
    }))

  it.effect("counts rows, and names a header without any", () =>
    Effect.gen(function*() {
      for (const content of ["a,b\n", "a,b", "a,b\r\n\r\n"]) {
        assert.strictEqual(yield* problemsOf("a.csv", content), "")
        const error = yield* Effect.flip(Preflight.csv(UploadSource.bytes("a.csv", content), { minRows: 1 }))
        assert.strictEqual(error.message, line1("has a header and no rows"))
        assert.deepStrictEqual(error._tag === "InvalidFile" && error.problems.map(({ kind }) => kind), ["noRows"])
      }
      assert.strictEqual(yield* problemsOf("a.csv", "a,b\n1,2\n", { minRows: 1 }), "")
      assert.strictEqual(
        yield* problemsOf("a.csv", "a,b\n1,2\n", { minRows: 3 }),
        line1("has 1 row where at least 3 are expected")
      )
    }))
})

describe("Preflight.csv with columns that must be there", () => {
  it.effect("names missing columns, with what is probably meant", () =>
    Effect.gen(function*() {
      const options = { required: ["Account", "Amount"], numbers: ["Tax"] }
      assert.strictEqual(yield* problemsOf("a.csv", " Tax ,Amount,Account,More\n1,x,y,z\n", options), "")
      assert.strictEqual(
        yield* problemsOf("a.csv", "Acount,Amount\n1,x\n", options),
        "a.csv, line 1: has no column \"Account\", but one named \"Acount\"\na.csv, line 1: has no column \"Tax\""
      )
    }))

  it.effect("accepts numbers with a decimal point, and empty cells", () =>
    Effect.gen(function*() {
      const cells = ["0", "-1.50", "+2", ".5", "3.", "1e6", "-2.5E-3", "", " ", " 7 ", "007"]
      assert.strictEqual(
        yield* problemsOf("a.csv", `n;b\n${cells.map((n) => `${n};x`).join("\n")}\n`, { numbers: ["n"] }),
        ""
      )
    }))

  it.effect("accepts a missing cell as a number, since its row says so already", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* problemsOf("a.csv", "a;n\nx\n", { numbers: ["n"] }),
        "a.csv, line 2: has 1 field where the header has 2"
      )
    }))

  it.effect("tells how to write a number with a decimal comma or with thousands", () =>
    Effect.gen(function*() {
      const cells = {
        "1,5": "with a decimal comma: write 1.5",
        "1.234,56": "with a decimal comma: write 1234.56",
        "-1.234.567,8": "with a decimal comma: write -1234567.8",
        "1 234,50": "with a decimal comma: write 1234.50",
        "1'234,50": "with a decimal comma: write 1234.50",
        "1,234.56": "with commas between thousands: write 1234.56",
        "12,345,678.9": "with commas between thousands: write 12345678.9",
        "12,345,678": "with commas between thousands: write 12345678",
        "1,234": "whose comma may mean thousands or decimals: write 1234 or 1.234",
        "n/a": "which is no number",
        "12 €": "which is no number",
        "(5.00)": "which is no number",
        "1.2.3": "which is no number",
        ",": "which is no number"
      }
      for (const [cell, problem] of Object.entries(cells)) {
        assert.strictEqual(
          yield* problemsOf("a.csv", `a;n\nx;1\n\ny;${cell}\n`, { numbers: ["n"] }),
          `a.csv, line 4: n is ${JSON.stringify(cell)}, ${problem}`
        )
      }
    }))
})
