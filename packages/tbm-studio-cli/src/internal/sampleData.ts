import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"

/** One file of the demonstration: its place, and its size. */
export interface SampleTable {
  readonly fileName: string
  readonly project: string
  readonly table: string
  readonly period: string
  readonly action: "overwrite" | "append"
  readonly rows: number
}

const project = "Cost Transparency"
const months = ["January", "February", "March", "April"] as const

/** A quarter of a company's IT cost, and one year of cloud usage as one large file. */
export const tables: ReadonlyArray<SampleTable> = [
  ...months.map((month, index) => sample("GL Data", month, 4_000 + index * 500, "overwrite")),
  ...months.slice(0, 3).map((month) => sample("Labor & Contractors", month, 1_500, "overwrite")),
  ...months.slice(0, 3).map((month) => sample("Vendor Invoices", month, 2_500, "overwrite")),
  sample("Vendor Invoices", "March", 120, "append", "late-invoices"),
  sample("Fixed Assets", "March", 900, "overwrite"),
  sample("Cloud Usage", "March", 0, "overwrite")
]

function sample(
  table: string,
  month: string,
  rows: number,
  action: SampleTable["action"],
  stem = table.toLowerCase().replace(/[^a-z]+/g, "-")
): SampleTable {
  return { fileName: `${stem}-${month.toLowerCase()}-2024.csv`, project, table, period: `${month}:2024`, action, rows }
}

/** The size of the one large file, which has `rows: 0` above. */
export const largeFileBytes = 64 * 1024 * 1024

/** Writes all files into a folder. The same seed writes the same bytes. */
export const write = Effect.fnUntraced(function*(folder: string, seed: number) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  yield* Effect.forEach(tables, (table) => {
    const path = paths.join(folder, table.fileName)
    return table.rows > 0
      ? Effect.flatMap(csv(table.rows), (text) => fs.writeFileString(path, text))
      : Stream.run(largeFile, fs.sink(path))
  }).pipe(Random.withSeed(seed))
})

const header = "Cost Center,Account,Vendor,Description,Currency,Amount\r\n"
const costCenters = [
  "1000 Data Center",
  "1100 Network",
  "1200 Service Desk",
  "2000 Applications",
  "2100 ERP",
  "3000 Security"
]
const accounts = ["610100 Hardware", "610200 Software", "620100 Internal Labor", "620200 Contractors", "630100 Cloud"]
const vendors = [
  "Northwind Hosting",
  "Fabrikam Networks",
  "Contoso Software GmbH",
  "Adventure Cloud, Inc.",
  "Müller & Söhne"
]
const descriptions = ["Monthly charge", "Maintenance, annual", "Licence \"Enterprise\"", "Usage", "Correction"]

const csv = Effect.fnUntraced(function*(rows: number) {
  const lines = [header]
  for (let row = 0; row < rows; row++) lines.push(yield* line)
  return lines.join("")
})

const pick = (choices: ReadonlyArray<string>) =>
  Effect.map(Random.nextIntBetween(0, choices.length - 1), (index) => quote(choices[index] ?? ""))

const quote = (cell: string) => /[",\r\n]/.test(cell) ? `"${cell.replaceAll("\"", "\"\"")}"` : cell

const line = Effect.gen(function*() {
  const cells = [yield* pick(costCenters), yield* pick(accounts), yield* pick(vendors), yield* pick(descriptions)]
  const cents = yield* Random.nextIntBetween(-50_000, 2_500_000)
  return `${cells.join(",")},EUR,${(cents / 100).toFixed(2)}\r\n`
})

// Repeats one block of rows: as many bytes as real usage data, in a hundredth of the time.
const largeFile = Stream.unwrap(Effect.gen(function*() {
  const encoder = new TextEncoder()
  const lines: Array<string> = []
  for (let row = 0; row < 8_000; row++) lines.push(yield* line)
  const block = encoder.encode(lines.join(""))
  const blocks = Math.ceil(largeFileBytes / block.length)
  return Stream.concat(
    Stream.make(encoder.encode(header)),
    Stream.map(Stream.range(1, blocks), () => block)
  )
}))
