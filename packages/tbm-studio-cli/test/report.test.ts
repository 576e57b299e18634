import { assert, describe, it } from "@effect/vitest"
import * as progressView from "../src/internal/progressView.ts"
import * as Report from "../src/internal/report.ts"
import * as textTable from "../src/internal/textTable.ts"
import { widthOf } from "../src/internal/textWidth.ts"

const item = (table: string, period: string, more: Partial<Report.ItemReport> = {}): Report.ItemReport => ({
  ...Report.unsent({ project: "P", table, period, action: "overwrite", file: `${table}.csv` }, "failed"),
  status: "uploaded",
  bytes: 999_999,
  md5: "0",
  verified: true,
  attempts: 1,
  durationMs: 119_999,
  ...more
})

const reportOf = (items: ReadonlyArray<Report.ItemReport>): Report.BatchReport => ({
  items,
  totals: Report.totalsOf(items, 1, 10_800_000),
  exitStatus: 0
})

const failed = (tag: string, message: string): Partial<Report.ItemReport> => ({
  status: "failed",
  verified: false,
  error: { tag, reason: tag, message, recovery: "Retry" }
})

const month = reportOf([
  item("GL Data", "Jan:2024"),
  item("Labor & Contractors", "September:FY2024", { attempts: 3, recoveries: ["503 ServiceUnavailable", "failure"] }),
  item("総勘定元帳の明細データ", "current", failed("CircuitOpen", "The service was unavailable for 40 s.")),
  item("Vendor Invoices", "January:2024", failed("HeldBack", "It was not sent."))
])

const screens: ReadonlyArray<readonly [width: number, lines: string]> = [
  [
    119,
    `
Table                                   Action     Result    Attempts  Recovered from        Size   Time  md5
──────────────────────────────────────  ─────────  ────────  ────────  ──────────────────  ──────  ─────  ────────
GL Data / January:2024                  overwrite  uploaded         1                      1.0 MB  2 min  verified
Labor & Contractors / September:FY2024  overwrite  uploaded         3  503, other failure  1.0 MB  2 min  verified
総勘定元帳の明細データ / current        overwrite  failed           1                      1.0 MB  2 min
Vendor Invoices / January:2024          overwrite  failed           1                      1.0 MB  2 min

2 of 4 uploaded · 2 failed · 4.0 MB · 3 h · 6 attempts · 1 login
`
  ],
  [
    79,
    `
Table                              Action     Result    Attempts    Size   Time
─────────────────────────────────  ─────────  ────────  ────────  ──────  ─────
GL Data / January:2024             overwrite  uploaded         1  1.0 MB  2 min
Labor & Contr… / September:FY2024  overwrite  uploaded         3  1.0 MB  2 min
総勘定元帳の明細データ / current   overwrite  failed           1  1.0 MB  2 min
Vendor Invoices / January:2024     overwrite  failed           1  1.0 MB  2 min

2 of 4 uploaded · 2 failed · 4.0 MB · 3 h · 6 attempts · 1 login
`
  ],
  [
    59,
    `
Table                               Result      Size   Time
──────────────────────────────────  ────────  ──────  ─────
GL Data / January:2024              uploaded  1.0 MB  2 min
Labor & Contra… / September:FY2024  uploaded  1.0 MB  2 min
総勘定元帳の明細データ / current    failed    1.0 MB  2 min
Vendor Invoices / January:2024      failed    1.0 MB  2 min

2 of 4 uploaded · 2 failed · 4.0 MB · 3 h · 6 attempts
`
  ],
  [
    39,
    `
Table                          Result
─────────────────────────────  ────────
GL Data / January:2024         uploaded
Labor & C… / September:FY2024  uploaded
総勘定元帳の明細デ… / current  failed
Vendor Invoic… / January:2024  failed

2 of 4 uploaded · 2 failed · 4.0 MB
`
  ]
]

describe("the report of a batch", () => {
  it("fits the window, and keeps what tells uploads apart", () => {
    for (const [width, lines] of screens) {
      const shown = Report.table(month, { width }).slice(0, 8)
      assert.strictEqual(`\n${shown.join("\n").trimEnd()}\n`, lines, `${width}`)
    }
  })

  it("has no line of a table that is wider than the window, at any width, and one line for its header", () => {
    for (let width = 8; width < 130; width++) {
      const lines = Report.table(month, { width })
      const rule = lines.findIndex((line) => line.startsWith("─"))
      assert.strictEqual(rule, 1, `${width}`)
      for (const line of lines.slice(0, 6)) assert.isAtMost(widthOf(line), width, line)
    }
  })

  it("lists of a large batch what failed, and everything if all are asked for", () => {
    const fine = Array.from({ length: 500 }, (_, at) => item(`Table ${at}`, "January:2024"))
    const items = fine.with(400, item("Lost", "May:2024", failed("NotFound", "404 Not Found.")))
      .with(450, item("Doubt", "May:2024", { ...failed("InDoubt", "Look at the table."), status: "unknown" }))
    const lines = Report.table(reportOf(items), { all: false, width: 79 })
    assert.deepStrictEqual(lines.map((line) => line.split(/ {2,}/)[0]), [
      "Table",
      "────────────────",
      "Lost / May:2024",
      "Doubt / May:2024",
      "",
      "498 of 500 uploaded · 1 failed · 1 with unknown outcome · 500.0 MB · 3 h",
      "Lost.csv: 404 Not Found.",
      "Doubt.csv: Look at the table.",
      "498 uploads are not listed: --all lists all."
    ])
    assert.lengthOf(Report.table(reportOf(items), { width: 79 }), 500 + 6)
    assert.deepStrictEqual(Report.table(reportOf(fine), { all: false, width: 79 }), [
      "500 of 500 uploaded · 500.0 MB · 3 h · 500 attempts · 1 login",
      "500 uploads are not listed: --all lists all."
    ])
  })

  it("says once what several files have in common", () => {
    const items = Array.from(
      { length: 12 },
      (_, at) => item(`T${at}`, "May:2024", failed("HeldBack", "It was not sent."))
    )
    const lines = Report.table(reportOf(items), { all: false }).slice(-12)
    assert.deepStrictEqual(lines.slice(0, 2), ["12 files: It was not sent.", "  T0.csv"])
    assert.strictEqual(lines.at(-1), "  … and 2 more")
  })
})

describe("a table", () => {
  it("leaves out empty columns first, then the most dispensable ones", () => {
    const columns: ReadonlyArray<textTable.Column<string>> = [
      { title: "Name", least: 9, cell: (name) => name },
      { title: "Empty", dispensable: 1, cell: () => "" },
      { title: "One", dispensable: 1, cell: () => "1" },
      { title: "Two", dispensable: 2, cell: () => "2" }
    ]
    const header = (width: number) => textTable.render(["abcdefghijkl"], columns, width)
    assert.strictEqual(header(100)[0], "Name          Empty  One  Two")
    assert.strictEqual(header(26)[0], "Name          One  Two")
    assert.deepStrictEqual(header(20), ["Name        One  Two", "──────────  ───  ───", "abcd…hijkl  1    2"])
    assert.strictEqual(header(18)[0], "Name          One")
    assert.deepStrictEqual(header(9), ["Name", "─────────", "abcd…ijkl"])
  })
})

const running = (label: string, more: Partial<progressView.Item> = {}): progressView.Item => ({
  label: `${label} / January:2024`,
  tail: " / January:2024",
  size: 1_000_000,
  phase: "sending",
  sent: 500_000,
  attempts: 1,
  trouble: undefined,
  ...more
})

const view: progressView.View = {
  active: [
    running("GL Data"),
    running("Labor & Contractors", { attempts: 2, trouble: "503 service unavailable" }),
    running("請求書の明細", { phase: "awaitingResponse" }),
    running("Vendor Invoices", { phase: "pausing", attempts: 1, trouble: "connection lost" }),
    running("Later", { phase: "waiting" })
  ],
  total: 500,
  done: 12,
  failed: 1,
  attempts: 17,
  startedAt: 1_000,
  moved: 12_000_000
}

const progress = (columns: number, rows: number) => progressView.render(view, 13_000, { columns, rows })

const progressScreens: ReadonlyArray<readonly [columns: number, lines: string]> = [
  [
    120,
    `
  GL Data / January:2024              [██████████░░░░░░░░░░]   50%  500.0 kB
  Labor & Contractors / January:2024  [██████████░░░░░░░░░░]   50%  500.0 kB  attempt 2 after 503 service unavailable
  請求書の明細 / January:2024         [████████████████████]  sent, waiting for the response
  Vendor Invoices / January:2024      waiting to retry after connection lost
12 of 500 files · 1 failed · 12.0 MB · 1.0 MB/s · 17 attempts · 12 s
`
  ],
  [
    80,
    `
  GL Data / January:2024              [██████████░░░░░░░░░░]   50%  500.0 kB
  Labor & Contractors / January:2024  attempt 2 after 503 service unavailable
  請求書の明細 / January:2024         sent, waiting for the response
  Vendor Invoices / January:2024      waiting to retry after connection lost
12 of 500 files · 1 failed · 12.0 MB · 1.0 MB/s · 17 attempts · 12 s
`
  ],
  [
    60,
    `
  GL Data / January:2024      [█████░░░░░]   50%  500.0 kB
  Labor & Co… / January:2024  503 service unavailable
  請求書の明… / January:2024  sent, waiting
  Vendor Inv… / January:2024  retry after connection lost
12 of 500 files · 1 failed · 12.0 MB · 1.0 MB/s · 12 s
`
  ],
  [
    40,
    `
  GL D… / January:2024   50%  500.0 kB
  Labo… / January:2024   50%
  請求… / January:2024  sent, waiting
  Vend… / January:2024  connection lost
12 of 500 files · 1 failed · 12 s
`
  ]
]

describe("progress", () => {
  it("fits windows of any size, with the totals last", () => {
    for (let columns = 1; columns < 130; columns += 3) {
      for (let rows = 1; rows < 10; rows++) {
        const lines = progress(columns, rows)
        assert.isAtMost(lines.length, Math.max(1, rows - 1))
        for (const line of lines) assert.isBelow(widthOf(line), columns)
      }
    }
  })

  it("shows in windows of 120, 80, 60 and 40 columns what matters there", () => {
    for (const [columns, lines] of progressScreens) {
      assert.strictEqual(`\n${progress(columns, 30).join("\n")}\n`, lines)
    }
  })

  it("shows what is in trouble and counts the rest if there are more uploads than rows", () => {
    assert.deepStrictEqual(progress(80, 5), [
      "  Labor & Contractors / January:2024  attempt 2 after 503 service unavailable",
      "  Vendor Invoices / January:2024      waiting to retry after connection lost",
      "  … and 2 more",
      "12 of 500 files · 1 failed · 12.0 MB · 1.0 MB/s · 17 attempts · 12 s"
    ])
    assert.deepStrictEqual(progress(80, 2).length, 1)
  })
})
