import type * as Journal from "../Journal.ts"

/** What is known of a content. Two that share a `version` or an `md5` are the same, two of other lengths are not. */
export interface Content {
  readonly version: string | undefined
  readonly bytes: number | undefined
  readonly md5: string | undefined
}

/** An item of a list, as its place sees it. */
export interface Row {
  readonly action: Journal.Action
  readonly name: string
  readonly content: Content
}

/**
 * - `Send`: `again` where an earlier run added it, or may have.
 * - `Present`: an earlier run uploaded it, and nothing has replaced it since.
 * - `Assumed`: it may be there, and the caller takes it for done: `there` where the caller knows so, otherwise other content
 *   under its name is.
 * - `Superseded`: a later item of the list replaces it.
 * - `InDoubt`: an earlier run may have added it.
 * - `Changed`: an earlier run added it with other content.
 * - `Surplus`: it is there, and so are additions that the list does not name.
 */
export type Verdict =
  | { readonly _tag: "Send"; readonly again: boolean }
  | { readonly _tag: "Present" | "Superseded" | "InDoubt" | "Changed"; readonly entry: Journal.Entry }
  | { readonly _tag: "Assumed"; readonly entry: Journal.Entry; readonly there: boolean }
  | { readonly _tag: "Surplus"; readonly entry: Journal.Entry; readonly surplus: ReadonlyArray<Journal.Entry> }

export interface Choices {
  readonly onUnknown: Journal.OnUnknown
  readonly onChanged: Journal.OnChanged
  /** Whether the rows are all that the place should hold. */
  readonly complete: boolean
}

/** What a place holds: the last replacement, if it certainly was applied, and what was added since. */
export interface Holding {
  readonly base: Journal.Entry | undefined
  readonly additions: ReadonlyArray<Addition>
}

interface Addition {
  readonly entry: Journal.Entry
  readonly certain: boolean
}

const wasBegun = ({ state }: Journal.Entry): boolean => state !== "waiting" && state !== "failed"

/** What a place holds according to its history. */
export const holding = (history: ReadonlyArray<Journal.Entry>): Holding => {
  let base: Journal.Entry | undefined
  let additions: Array<Addition> = []
  for (const entry of history) {
    if (!wasBegun(entry)) continue
    const certain = entry.state === "uploaded"
    if (entry.action === "add") additions.push({ entry, certain })
    else if (certain) {
      base = entry
      additions = []
    } else {
      // It may have replaced everything before it.
      base = undefined
      additions = additions.map((addition) => ({ ...addition, certain: false }))
    }
  }
  return { base, additions }
}

/** What a person is asked about: additions in doubt that were neither wiped out nor added for certain since. */
export const doubts = (history: ReadonlyArray<Journal.Entry>): ReadonlyArray<Journal.Entry> => {
  const begun = history.filter(wasBegun)
  // A replacement in doubt is sent again, and what follows it too.
  const additions = begun.slice(begun.findLastIndex(({ action }) => action === "replace") + 1)
  const added = additions.filter(({ state }) => state === "uploaded")
  return additions.filter((entry) =>
    entry.state !== "uploaded" && !added.some(({ md5, name }) => name === entry.name && md5 === entry.md5)
  )
}

/** Whether a row's content is that of an entry; where that cannot be told, whether they have one name. */
const isSame = (row: Row, entry: Journal.Entry): boolean => {
  const { bytes, md5, version } = row.content
  if (version !== undefined && version === entry.version) return true
  if (md5 !== undefined && entry.md5 !== undefined) return md5 === entry.md5
  if (bytes !== undefined && entry.bytes !== undefined && bytes !== entry.bytes) return false
  const comparable = version !== undefined && entry.version !== undefined
  return !comparable && row.name === entry.name
}

const send: Verdict = { _tag: "Send", again: false }
const sendAgain: Verdict = { _tag: "Send", again: true }

/** What is to be done with each row of a place, in the order of the list, so that the place ends as the list says. */
export const plan = (
  rows: ReadonlyArray<Row>,
  history: ReadonlyArray<Journal.Entry>,
  choices: Choices
): ReadonlyArray<Verdict> => {
  if (history.length === 0) return rows.map(() => send)
  const { additions, base } = holding(history)
  const last = rows.findLastIndex(({ action }) => action === "replace")
  const replacement = rows[last]
  if (replacement === undefined) return planAdditions(rows, additions, choices).verdicts

  const holds = base !== undefined && isSame(replacement, base)
  const earlier = planEarlier(rows.slice(0, last), history, holds ? base : undefined)
  const anew = rows.slice(last).map(() => send)
  if (!holds) return [...earlier, ...anew]

  const { surplus, verdicts } = planAdditions(rows.slice(last + 1), additions, choices)
  const unlisted = choices.complete && surplus.length > 0 ? choices.onChanged : "skip"
  // Sent from the replacement on, nothing is doubled by what is sent again.
  if (unlisted === "send" || verdicts.some((verdict) => verdict._tag === "Send" && verdict.again)) {
    return [...earlier, ...anew]
  }
  return [...earlier, unlisted === "fail" ? { _tag: "Surplus", entry: base, surplus } : present(base), ...verdicts]
}

const present = (entry: Journal.Entry): Verdict => ({ _tag: "Present", entry })

// What comes before the last replacement leaves nothing behind. So an earlier upload of it is good enough, wiped out or in
// doubt, and where the replacement is there already, none is needed.
const planEarlier = (
  rows: ReadonlyArray<Row>,
  history: ReadonlyArray<Journal.Entry>,
  base: Journal.Entry | undefined
): ReadonlyArray<Verdict> => {
  const left = history
    .filter(wasBegun)
    .sort((a, b) => Number(b.state === "uploaded") - Number(a.state === "uploaded"))
  return rows.map((row) => {
    const i = left.findIndex((entry) => entry.action === row.action && isSame(row, entry))
    const [entry = base] = i < 0 ? [] : left.splice(i, 1)
    if (entry?.state === "uploaded" && entry !== base) return present(entry)
    return entry === undefined ? send : { _tag: "Superseded", entry }
  })
}

const planAdditions = (
  rows: ReadonlyArray<Row>,
  additions: ReadonlyArray<Addition>,
  { onChanged, onUnknown }: Choices
): { readonly verdicts: ReadonlyArray<Verdict>; readonly surplus: ReadonlyArray<Journal.Entry> } => {
  const verdicts: Array<Verdict> = rows.map(() => send)
  const open = new Map(rows.entries())
  const left = new Set(additions)
  const match = (keysOf: (part: Part) => ReadonlyArray<string>, certain: boolean): void => {
    if (open.size === 0 || left.size === 0) return
    const byKey = new Map<string, Array<Addition>>()
    for (const addition of left) {
      if (addition.certain !== certain) continue
      for (const key of keysOf(addition.entry)) {
        const alike = byKey.get(key)
        if (alike === undefined) byKey.set(key, [addition])
        else alike.push(addition)
      }
    }
    for (const [i, row] of open) {
      for (const key of keysOf({ name: row.name, ...row.content })) {
        const alike = byKey.get(key) ?? []
        let addition = alike.pop()
        while (addition !== undefined && !left.has(addition)) addition = alike.pop()
        if (addition === undefined) continue
        verdicts[i] = isSame(row, addition.entry) ? found(addition) : changed(addition)
        open.delete(i)
        left.delete(addition)
        break
      }
    }
  }
  const found = ({ certain, entry }: Addition): Verdict => {
    if (certain) return present(entry)
    if (onUnknown === "retry") return sendAgain
    return onUnknown === "skip" ? { _tag: "Assumed", entry, there: true } : { _tag: "InDoubt", entry }
  }
  const changed = ({ entry }: Addition): Verdict => {
    if (onChanged === "send") return sendAgain
    return onChanged === "skip" ? { _tag: "Assumed", entry, there: false } : { _tag: "Changed", entry }
  }
  // What certainly is there leaves the least to ask.
  for (const certain of [true, false]) {
    match((part) => contentKeys(part).map((key) => `${key} ${part.name}`), certain)
    match(contentKeys, certain)
  }
  for (const certain of [true, false]) match(({ name }) => [name], certain)
  return { verdicts, surplus: [...left].map(({ entry }) => entry) }
}

/** What rows and entries have in common. */
interface Part extends Content {
  readonly name: string
}

const contentKeys = ({ md5, version }: Content): ReadonlyArray<string> => [
  ...(version === undefined ? [] : [`version ${version}`]),
  ...(md5 === undefined ? [] : [`md5 ${md5}`])
]
