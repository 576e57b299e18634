/** The content of a table as the API returns it: one header, then the rows of all files, separated by tabs. */
import { gunzipSync } from "node:zlib"
import type * as TableStore from "./TableStore.ts"

export const ofFiles = (files: ReadonlyArray<TableStore.KeptFile>): string => {
  let header: string | undefined
  return files.map(({ bytes, fileName }) => {
    const gzipped = /\.gz$/i.test(fileName)
    const text = new TextDecoder().decode(gzipped ? gunzipSync(bytes) : bytes)
    const lines = recordsOf(text, /\.tsv(\.gz)?$/i.test(fileName) ? "\t" : ",").map((cells) =>
      cells.map(cell).join("\t")
    )
    header ??= lines[0]
    const rows = header === lines[0] ? lines.slice(1) : lines
    return rows.map((line) => `${line}\n`).join("")
  }).reduce((text, rows) => text + rows, header === undefined ? "" : `${header}\n`)
}

const cell = (text: string): string => /["\t\r\n]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text

// A cell, quoted or not, and what ends it.
const cells = (delimiter: string) =>
  new RegExp(`(?:"((?:[^"]|"")*)"|([^${delimiter}\\r\\n]*))(${delimiter}|\\r?\\n|\\r|$)`, "g")

const recordsOf = (text: string, delimiter: string): ReadonlyArray<ReadonlyArray<string>> => {
  const records: Array<Array<string>> = []
  let record: Array<string> = []
  for (const [, quoted, plain = "", end = ""] of text.matchAll(cells(delimiter))) {
    if (end === "" && record.length === 0 && quoted === undefined && plain === "") break
    record.push(quoted?.replaceAll("\"\"", "\"") ?? plain)
    if (end === delimiter) continue
    records.push(record)
    record = []
    if (end === "") break
  }
  return records
}
