/** What a doc comment says: its text, the items that describe members, its tags. */

/** A tag, such as `@since 0.1.0`. */
export interface Tag {
  readonly name: string
  readonly text: string
}

export interface DocComment {
  /** Markdown, without the tags. */
  readonly text: string
  /** The first paragraph, if it is not a list. */
  readonly summary: string
  /** What items of the form "- `name`: text" say of members and parameters, by name. */
  readonly items: ReadonlyMap<string, string>
  readonly tags: ReadonlyArray<Tag>
}

/** Reads a block comment, given without its delimiters. */
export const read = (value: string): DocComment => {
  const body: Array<string> = []
  const tags: Array<{ name: string; text: string }> = []
  let fenced = false
  for (const written of value.replace(/^\*/, "").split("\n")) {
    const line = written.replace(/^\s*\* ?/, "").trimEnd()
    if (line.trimStart().startsWith("```")) fenced = !fenced
    const tag = fenced ? null : /^\s*@(\w+)\s*(.*)$/.exec(line)
    const last = tags.at(-1)
    if (tag !== null) tags.push({ name: tag[1] ?? "", text: (tag[2] ?? "").trim() })
    else if (last !== undefined) last.text = `${last.text}\n${line}`.trim()
    else body.push(line)
  }
  const text = body.join("\n").trim()
  const first = text.split("\n\n")[0] ?? ""
  return { text, summary: isBlock(first) ? "" : first.replaceAll("\n", " "), items: itemsOf(text), tags }
}

const isBlock = (paragraph: string) => /^(- |\||\*\*|```|#)/.test(paragraph)

const itemsOf = (text: string): ReadonlyMap<string, string> => {
  const items = new Map<string, string>()
  for (
    const [, names = "", first = "", more = ""] of text.matchAll(
      /^- ((?:`[^`]+`(?:, | and )?)+): (.*)((?:\n {2,}.*)*)/gm
    )
  ) {
    for (const [, name = ""] of names.matchAll(/`([^`]+)`/g)) {
      items.set(name, `${first}${more}`.replaceAll(/\n\s+/g, " "))
    }
  }
  return items
}

/** The sentence of a text that names something in backticks: `retryAfter`, or `retryAfter.kind`. */
export const sentenceOn = (name: string, { text }: DocComment): string | undefined =>
  text.replaceAll(/^(```[^]*?^```|\|.*)$/gm, "").split(/(?<=[.!?:])\s+|\n\n/).find((sentence) =>
    new RegExp(`\`${name.replaceAll(/\W/g, "\\$&")}[\`.(]`).test(sentence)
  )?.replaceAll(/\s*\n\s*/g, " ").replace(/^- /, "").trim()
