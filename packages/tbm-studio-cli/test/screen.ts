/** What a terminal without an edge shows after these bytes, and in which row its cursor is. Colours are left out. */
export const screen = (written: string): { readonly lines: ReadonlyArray<string>; readonly row: number } => {
  const rows: Array<string> = [""]
  let [row, column] = [0, 0]
  for (const [token] of written.matchAll(/\u001b\[\??\d*[A-Za-z]|[^]/gu)) {
    if (token === "\r") column = 0
    else if (token === "\n") {
      row++
      column = 0
      rows[row] ??= ""
    } else if (token.startsWith("\u001b")) {
      if (token.endsWith("A")) row -= Number(token.slice(2, -1))
      else if (token.endsWith("K")) rows[row] = (rows[row] ?? "").slice(0, column)
      else if (token.endsWith("J")) {
        rows[row] = (rows[row] ?? "").slice(0, column)
        rows.length = row + 1
      } else if (!/\[(\d+m|\?7[hl])$/.test(token)) throw new Error(`Unknown sequence ${JSON.stringify(token)}`)
    } else {
      const line = rows[row] ?? ""
      rows[row] = line.slice(0, column) + token + line.slice(column + 1)
      column++
    }
  }
  const lines = rows.map((line) => line.trimEnd())
  while (lines.at(-1) === "") lines.pop()
  return { lines, row }
}
