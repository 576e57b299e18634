const escape = "\u001b"
const token = new RegExp(`${escape}\\[\\??\\d*[A-Za-z]|[^]`, "gu")

/** What a terminal without an edge shows after these bytes, and in which row its cursor is. Colours are left out. */
export const screen = (written: string): { readonly lines: ReadonlyArray<string>; readonly row: number } => {
  const rows: Array<string> = [""]
  let [row, column] = [0, 0]
  for (const [text] of written.matchAll(token)) {
    if (text === "\r") column = 0
    else if (text === "\n") {
      row++
      column = 0
      rows[row] ??= ""
    } else if (text.startsWith("\u001b")) {
      if (text.endsWith("C")) column++
      else if (text.endsWith("A")) row -= Number(text.slice(2, -1))
      else if (text.endsWith("K")) rows[row] = (rows[row] ?? "").slice(0, column)
      else if (text.endsWith("J")) {
        rows[row] = (rows[row] ?? "").slice(0, column)
        rows.length = row + 1
      } else if (!/\[(\d+m|\?7[hl])$/.test(text)) throw new Error(`Unknown sequence ${JSON.stringify(text)}`)
    } else {
      const line = rows[row] ?? ""
      rows[row] = line.padEnd(column).slice(0, column) + text + line.slice(column + 1)
      column++
    }
  }
  const lines = rows.map((line) => line.trimEnd())
  while (lines.at(-1) === "") lines.pop()
  return { lines, row }
}
