/** The help of `effect/cli`, whose lines do not end at the edge of the window. */
import { widthOf, wrap } from "./textWidth.ts"

const escape = "\u001b"
const colours = new RegExp(`${escape}\\[[\\d;]*m`, "g")

// A name, with or without colours, and its description in the next column.
const described = new RegExp(`^( +(?:${escape}\\[[\\d;]*m)?\\S.*?) {2,}(\\S.*)$`)

/** Breaks the lines of a help between words. A description goes on below itself, or below its name if there is little room. */
export const fit = (help: string, width: number): string =>
  help.split("\n").flatMap((line) => fitLine(line, width)).join("\n")

const fitLine = (line: string, width: number): ReadonlyArray<string> => {
  if (visible(line) <= width) return [line]
  const [, name, description = ""] = described.exec(line) ?? []
  if (name === undefined) return wrap(line, width)
  const column = visible(line) - visible(description)
  const lines = (indent: number) => {
    const [first = "", ...others] = wrap(description, width - indent)
    // Further lines come with an indent of two.
    return [first, ...others.map((line) => line.trimStart())].map((line) => " ".repeat(indent) + line)
  }
  if (column > width / 2) return [...wrap(name, width), ...lines(Math.min(6, width >> 2))]
  const [first = "", ...others] = lines(column)
  return [line.slice(0, line.length - description.length) + first.trimStart(), ...others]
}

/** A text as a terminal without colours shows it. */
export const withoutColours = (text: string): string => text.replaceAll(colours, "")

const visible = (text: string): number => widthOf(withoutColours(text))
