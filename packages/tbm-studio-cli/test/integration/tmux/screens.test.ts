import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as command from "../../command.ts"
import * as tmux from "./tmux.ts"

const tables = ["GL Data", "Labor & Contractors", "総勘定元帳の明細データ", "Missing"]

/** Runs the command in a terminal, in a folder with the manifests `month.csv` and `many.csv`. */
const start = (
  args: string,
  size: { readonly columns: number; readonly rows?: number },
  more: Record<string, string> = {},
  before = ""
) =>
  Effect.gen(function*() {
    const { url } = yield* Simulator.Simulator
    const cwd = yield* command.folder
    command.write(cwd, "a.csv", "A,B\n1,2\n")
    const manifest = (names: ReadonlyArray<string>) =>
      ["file,project,table,period", ...names.map((name) => `a.csv,P,${name},September:FY2024`)].join("\n")
    command.write(cwd, "month.csv", manifest(tables))
    command.write(cwd, "many.csv", manifest(Array.from({ length: 30 }, (_, at) => `Held/Table ${at}`)))
    command.write(cwd, "large.csv", manifest([...Array.from({ length: 60 }, (_, at) => `Table ${at}`), "Missing"]))
    const line = `${before}${process.execPath} ${command.bin} ${args}`
    const env = { PATH: process.env["PATH"] ?? "", ...command.settingsFor(url), ...more }
    return { cwd, ...yield* tmux.run(line, { ...size, cwd, env }) }
  })

const ended = (lines: ReadonlyArray<string>) => lines.some((line) => line.startsWith("ENDED"))

const bars = /[█░]|waiting|^\d+ of \d+ files/

/** The table of a report. Its times, and so the widths of their column, differ from run to run. */
const table = (lines: ReadonlyArray<string>): ReadonlyArray<string> => {
  const from = lines.findIndex((line) => line.startsWith("Table "))
  const rows = lines.slice(from, from + 6).map((line) =>
    line.replace(/ +[\d.]+ m?s\b/, " 1 s").replace(/ +(?=Time)/, " ")
  )
  return [rows[0] ?? "", ...rows.slice(2, 6)]
}

const reports: ReadonlyArray<readonly [columns: number, table: ReadonlyArray<string>]> = [
  [120, [
    "Table                                      Action     Result    Attempts  Recovered from  Size Time  md5",
    "GL Data / September:FY2024                 overwrite  uploaded         1                   8 B 1 s  verified",
    "Labor & Contractors / September:FY2024     overwrite  uploaded         1                   8 B 1 s  verified",
    "総勘定元帳の明細データ / September:FY2024  overwrite  uploaded         1                   8 B 1 s  verified",
    "Missing / September:FY2024                 overwrite  failed           1                   0 B 1 s"
  ]],
  // How far names are cut depends on the widest time here.
  [80, []],
  [60, []],
  [40, [
    "Table                          Result",
    "GL Data / September:FY2024     uploaded",
    "Labor & C… / September:FY2024  uploaded",
    "総勘定元… / September:FY2024   uploaded",
    "Missing / September:FY2024     failed"
  ]]
]

describe("in a real terminal", { timeout: 120_000 }, () => {
  layer(
    Simulator.layer({
      seed: 1,
      faults: [
        { match: { path: "P/Missing" }, fault: { type: "status", status: 404 } },
        { match: { path: "P/Held" }, fault: { type: "hang" } }
      ]
    }),
    { excludeTestServices: true }
  )((it) => {
    it.effect("a batch leaves a report that fits 120, 80, 60 and 40 columns, and no progress", () =>
      Effect.gen(function*() {
        for (const [columns, expected] of reports) {
          const { unbroken, until } = yield* start("batch month.csv", { columns })
          const screen = yield* until("ended", ended)
          assert.deepStrictEqual(screen, yield* unbroken, "the terminal had to break a line")
          assert.isFalse(screen.some((line) => bars.test(line)), screen.join("\n"))
          if (expected.length > 0) assert.deepStrictEqual(table(screen), expected)
          assert.include(screen, "ENDED 65")
        }
      }).pipe(Effect.scoped))

    it.effect("progress follows a window that changes, and leaves nothing behind", () =>
      Effect.gen(function*() {
        const { press, resize, until } = yield* start(
          "batch many.csv --concurrency 6 --on-interrupt abandon",
          { columns: 100 },
          {},
          // The prompt of a terminal that has been used is in its last row.
          "seq -f 'line %g' 40; "
        )
        const drawn = (lines: ReadonlyArray<string>) => lines.slice(lines.indexOf("line 40") + 1)
        const isWhole = (lines: ReadonlyArray<string>, uploads: number, more: boolean, state: RegExp) =>
          lines.length === uploads + (more ? 2 : 1) &&
          lines.slice(0, uploads).every((line) => line.startsWith("  Held") && state.test(line)) &&
          lines.at(-1)?.startsWith("0 of 30 files") === true
        const bar = /█{20}\]  sent, waiting for the response$/
        const sizes = [
          [100, 24, bar],
          [60, 24, /FY2024  sent, waiting$/],
          [40, 12, /FY2024  sent, waiting$/],
          [120, 30, bar],
          [80, 24, /FY2024  sent, waiting for the response$/],
          [80, 7, /FY2024  sent, waiting for the response$/],
          [90, 24, bar]
        ] as const
        for (const [columns, rows, state] of sizes) {
          yield* resize(columns, rows)
          const fits = Math.min(6, rows - 2)
          const shown = fits === 6 ? 6 : fits - 1
          const lines = drawn(
            yield* until(
              `drawn once for ${columns} × ${rows}`,
              (lines) =>
                isWhole(drawn(lines), shown, fits < 6, state) && drawn(lines).every((line) => line.length < columns)
            )
          )
          if (fits < 6) assert.include(lines, `  … and ${6 - shown} more`)
        }
        yield* press("C-c")
        const screen = yield* until("ended", ended)
        assert.isFalse(screen.some((line) => bars.test(line)), screen.join("\n"))
        assert.strictEqual(drawn(screen)[0], "Stopping: running uploads are abandoned.")
        assert.include(screen, "ENDED 130")
      }).pipe(Effect.scoped))

    // Opened with five rows: a terminal that shrinks in the instant of a drawing keeps its first line in the history.
    it.effect("progress in a window of five rows is what fits, and leaves nothing behind", () =>
      Effect.gen(function*() {
        const { press, until } = yield* start(
          "batch many.csv --concurrency 6 --on-interrupt abandon",
          { columns: 80, rows: 5 },
          {},
          "seq -f 'line %g' 40; "
        )
        const drawn = (lines: ReadonlyArray<string>) => lines.slice(lines.indexOf("line 40") + 1)
        const lines = yield* until("drawn once", (lines) => {
          const [first, second, more, totals, ...rest] = drawn(lines)
          return /^  Held.*sent, waiting for the response$/.test(first ?? "") &&
            second?.startsWith("  Held") === true &&
            more === "  … and 4 more" && totals?.startsWith("0 of 30 files") === true && rest.length === 0
        })
        assert.isTrue(lines.every((line) => line.length < 80))
        yield* press("C-c")
        const screen = yield* until("ended", ended)
        assert.isFalse(screen.some((line) => bars.test(line)), screen.join("\n"))
        assert.include(screen, "ENDED 130")
      }).pipe(Effect.scoped))

    it.effect("status --watch follows a batch that runs elsewhere in a window that changes, and ends on Ctrl-C", () =>
      Effect.gen(function*() {
        const { url } = yield* Simulator.Simulator
        const { cwd, press, resize, until } = yield* start(
          "status many.csv --watch",
          { columns: 100 },
          {},
          "seq -f 'line %g' 40; until [ -s many.csv.journal.sqlite-wal ]; do sleep 0.1; done; "
        )
        const args = ["batch", "many.csv", "--concurrency", "6"]
        yield* command.start(process.execPath, [command.bin, ...args], command.settingsFor(url), cwd)
        const counts = (lines: ReadonlyArray<string>) => lines.filter((line) => line === "6 started").length
        const headers = (lines: ReadonlyArray<string>) => lines.filter((line) => line.startsWith("Table ")).length
        for (const [columns, rows, uploads] of [[100, 24, 6], [60, 24, 6], [60, 8, 3], [120, 30, 6]] as const) {
          yield* resize(columns, rows)
          yield* until(
            `drawn once for ${columns} × ${rows}`,
            (lines) =>
              counts(lines) === 1 && headers(lines) === 1 && lines.every((line) => line.length < columns) &&
              lines.filter((line) => line.startsWith("P / Held")).length === uploads
          )
        }
        yield* press("C-c")
        const screen = yield* until("ended", ended)
        // The last report, once, and nothing of what was drawn.
        assert.deepStrictEqual([counts(screen), headers(screen)], [1, 1])
        assert.include(screen, "A batch is running.")
        assert.include(screen, "ENDED 130")
      }).pipe(Effect.scoped))

    it.effect("a large batch ends in a summary with its failures, and --all lists the rest", () =>
      Effect.gen(function*() {
        const { until } = yield* start("batch large.csv 2>log", { columns: 80, rows: 30 })
        const screen = yield* until("ended", ended)
        assert.deepStrictEqual(
          screen.slice(0, 1).concat(screen.slice(2, 4)).map((line) => line.split(/ {2,}/).slice(0, 3)),
          [
            ["Table", "Action", "Result"],
            ["Missing / September:FY2024", "overwrite", "failed"],
            [""]
          ]
        )
        assert.match(screen[4] ?? "", /^60 of 61 uploaded · 1 failed · 480 B/)
        assert.include(screen, "60 uploads are not listed: --all lists all.")
        const all = yield* start("batch large.csv --all 2>log", { columns: 80, rows: 30 })
        const lines = yield* all.until("ended", ended)
        assert.lengthOf(lines.filter((line) => / uploaded /.test(line)), 61)
      }).pipe(Effect.scoped))

    it.effect("TERM=dumb and NO_COLOR get no colours, a dumb terminal no progress, and a file every column", () =>
      Effect.gen(function*() {
        for (const env of [{ TERM: "dumb" }, { NO_COLOR: "1" }]) {
          const { cwd, until } = yield* start("batch month.csv >out", { columns: 40 }, env)
          const screen = yield* until("ended", ended)
          assert.isFalse(screen.some((line) => bars.test(line)), screen.join("\n"))
          const [header = ""] = readFileSync(join(cwd, "out"), "utf8").split("\n")
          assert.match(header, /^Table +Action +Result +Attempts +Recovered from +Size +Time +md5$/)
        }
      }).pipe(Effect.scoped))
  })
})
