/** The chart of the guide that leads from what goes wrong to a policy: the guide's own list, drawn. */
import type { Drawing } from "./Drawing.ts"
import { text, widths } from "./Drawing.ts"

export interface Symptom {
  readonly words: string
  readonly cases: ReadonlyArray<{ readonly when: string; readonly policy: string }>
}

const plain = (markdown: string): string => markdown.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[`*_]/g, "")

/** Reads `- **symptom**`, and below it `  - when: policy`. Lines that are neither are an error. */
export const symptoms = (list: string): ReadonlyArray<Symptom> => {
  const found: Array<{ words: string; cases: Array<Symptom["cases"][number]> }> = []
  for (const line of list.split("\n").filter((each) => each.trim() !== "")) {
    const [, symptom] = /^- \*\*(.+)\*\*$/.exec(line) ?? []
    const [, when, policy] = /^ {2}- (.+?): (.+)$/.exec(line) ?? []
    if (symptom !== undefined) found.push({ words: plain(symptom), cases: [] })
    else if (when !== undefined && policy !== undefined && found.length > 0) {
      found.at(-1)?.cases.push({ when: plain(when), policy: plain(policy) })
    } else throw new Error(`no line of the chart: ${line}`)
  }
  return found
}

/** Lines of at most so many letters. */
const wrapped = (words: string, letters: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of words.split(" ")) {
    const last = lines.at(-1)
    if (last === undefined || last.length + word.length >= letters) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

const pill = (x: number, y: number, width: number, words: string): string =>
  `<rect class="pill" x="${x}" y="${y}" width="${width}" height="26" rx="13"/>${text(x + 12, y + 18, words, "name")}`

const wide = (all: ReadonlyArray<Symptom>) => {
  const [row, gap, box, when, policy] = [36, 20, 206, 236, 462]
  const shapes: Array<string> = []
  let y = 40
  for (const { cases, words } of all) {
    const lines = wrapped(words, 24)
    const middle = y + cases.length * row / 2
    const tall = lines.length * 18 + 14
    const branch = (i: number) => y + i * row + row / 2
    shapes.push(
      ...cases.map((_, i) => `<path class="line" d="M${box} ${middle}H${box + 14}V${branch(i)}H${policy}"/>`),
      `<rect class="box" x="1" y="${middle - tall / 2}" width="${box}" height="${tall}" rx="6"/>`,
      ...lines.map((line, i) => text(12, middle - tall / 2 + 20 + i * 18, line, "name")),
      ...cases.flatMap(({ policy: then, when: words }, i) => [
        text(when, branch(i) - 5, words),
        pill(policy, branch(i) - 13, widths.wide - policy - 1, then)
      ])
    )
    y += cases.length * row + gap
  }
  return { height: y, shapes }
}

const narrow = (all: ReadonlyArray<Symptom>) => {
  const shapes: Array<string> = []
  let y = 40
  for (const { cases, words } of all) {
    const lines = wrapped(words, 40)
    const tall = lines.length * 18 + 14
    const end = y + tall + cases.length * 58 - 15
    shapes.push(
      `<path class="line" d="M12 ${y + tall}V${end}"/>`,
      `<rect class="box" x="1" y="${y}" width="${widths.narrow - 2}" height="${tall}" rx="6"/>`,
      ...lines.map((line, i) => text(12, y + 20 + i * 18, line, "name")),
      ...cases.flatMap(({ policy, when }, i) => {
        const at = y + tall + i * 58
        return [
          text(30, at + 22, when),
          `<path class="line" d="M12 ${at + 43}H30"/>`,
          pill(30, at + 30, widths.narrow - 31, policy)
        ]
      })
    )
    y = end + 32
  }
  return { height: y - 10, shapes }
}

export const choosing = (list: string): Drawing => {
  const all = symptoms(list)
  return {
    title: "From what goes wrong to a policy",
    alternative: "A chart that leads from what goes wrong to a policy. The list below it says the same.",
    draw: (width) => {
      const { height, shapes } = (width === "wide" ? wide : narrow)(all)
      return { height, shapes: [text(2, 22, "What goes wrong?", "name"), ...shapes] }
    }
  }
}
