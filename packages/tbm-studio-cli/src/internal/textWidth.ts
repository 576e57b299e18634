/** What fits into a number of columns of a terminal. */
import * as CliOutput from "effect/cli/CliOutput"

/** The columns that a text takes. A table can have a hundred thousand lines, and finding graphemes takes time. */
export const widthOf = (text: string): number => /^[ -~]*$/.test(text) ? text.length : CliOutput.displayWidth(text)

const graphemes = new Intl.Segmenter()

const start = (text: string, width: number): string => {
  let taken = ""
  let left = width
  for (const { segment } of graphemes.segment(text)) {
    left -= widthOf(segment)
    if (left < 0) break
    taken += segment
  }
  return taken
}

const end = (text: string, width: number): string => {
  let taken = ""
  let left = width
  for (const { segment } of Array.from(graphemes.segment(text)).reverse()) {
    left -= widthOf(segment)
    if (left < 0) break
    taken = segment + taken
  }
  return taken
}

/** Cuts the end off a text that is too wide. */
export const clip = (text: string, width: number): string =>
  widthOf(text) <= width ? text : width < 1 ? "" : `${start(text, width - 1)}…`

/**
 * Cuts a part out of a name that is too wide, such that it ends as before: its middle, or what is before its `tail`.
 */
export const clipName = (text: string, width: number, tail = ""): string => {
  if (widthOf(text) <= width) return text
  const tailWidth = tail !== "" && text.endsWith(tail) && widthOf(tail) + 5 <= width
    ? widthOf(tail)
    : width < 9
    ? 0
    : Math.floor(width / 2)
  return tailWidth === 0 ? clip(text, width) : `${start(text, width - 1 - tailWidth)}…${end(text, tailWidth)}`
}

/** A text with spaces after it, as wide as this. */
export const padEnd = (text: string, width: number): string => text + " ".repeat(Math.max(0, width - widthOf(text)))

/** Breaks a line between words. Further lines are indented. A word that is too wide, such as a path, stays whole. */
export const wrap = (line: string, width: number): ReadonlyArray<string> => {
  if (widthOf(line) <= width) return [line]
  const leading = /^ */.exec(line)?.[0] ?? ""
  const [first = "", ...words] = line.slice(leading.length).split(betweenWords)
  const lines: Array<string> = []
  let current = leading + first
  for (const word of words) {
    const longer = `${current} ${word}`
    if (widthOf(longer) <= width) current = longer
    else {
      lines.push(current.trimEnd())
      current = `${leading}  ${word}`
    }
  }
  return [...lines, current]
}

// Not between an amount and its unit.
const betweenWords = /(?<!\d) | (?!(?:ms|s|min|h|d|B|[kMGT]B)(?![A-Za-z]))/

/** Joins parts with a dot between them, without the parts at `optional` that do not fit, the first of which go first. */
export const joinFitting = (
  parts: ReadonlyArray<string | undefined>,
  width: number,
  optional: ReadonlyArray<number>
): string => {
  const left = [...parts]
  const join = () => left.filter((part) => part !== undefined && part !== "").join(" · ")
  for (const at of optional) {
    if (widthOf(join()) <= width) break
    left[at] = undefined
  }
  return join()
}
