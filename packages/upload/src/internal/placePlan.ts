import type * as Journal from "../Journal.ts"

/**
 * What is known of a content. Two with the same `version` or `md5` are the same, two of different lengths are not. Of a source
 * that is `gone` only the name is known.
 */
export interface Content {
  readonly version: string | undefined
  readonly bytes: number | undefined
  readonly md5: string | undefined
  readonly gone: boolean
}

/** An item of a list, as its place sees it. */
export interface Row {
  readonly action: Journal.Action
  readonly name: string
  readonly content: Content
}

/**
 * - `Send`: `again` where an earlier run added it, or may have. The caller knows that the one in `doubt` was not added.
 * - `Present`: an earlier run uploaded it, and nothing has replaced it since. `version` is the source's new one, if it has
 *   changed.
 * - `Assumed`: it may be there, and the caller takes it for done. This `resolves` the doubt of the `entry` where the two are
 *   the same. It becomes an entry of the `item` where that may be another upload or a replacement may have wiped it out.
 * - `Superseded`: a later item of the list replaces it.
 * - `InDoubt`: an earlier run may have added it.
 * - `Changed`: an earlier run added it with other content, or may have, where `compared` is false.
 * - `Surplus`: it is there, and so are additions that the list does not name.
 */
export type Verdict =
  | { readonly _tag: "Send"; readonly again: boolean; readonly doubt?: Journal.Entry | undefined }
  | { readonly _tag: "Present"; readonly entry: Journal.Entry; readonly version: string | undefined }
  | { readonly _tag: "Superseded" | "InDoubt"; readonly entry: Journal.Entry }
  | { readonly _tag: "Assumed"; readonly entry: Journal.Entry; readonly resolves: "nothing" | "entry" | "item" }
  | { readonly _tag: "Changed"; readonly entry: Journal.Entry; readonly compared: boolean }
  | { readonly _tag: "Surplus"; readonly entry: Journal.Entry; readonly surplus: ReadonlyArray<Journal.Entry> }

export interface Choices {
  readonly onUnknown: Journal.OnUnknown
  readonly onChanged: Journal.OnChanged
  /** Whether the rows are all that the place should contain. */
  readonly complete: boolean
}

/** What a place contains: the last replacement, if it certainly was applied, and what was added since. */
export interface Holding {
  readonly base: Journal.Entry | undefined
  readonly additions: ReadonlyArray<Addition>
}

interface Addition {
  readonly entry: Journal.Entry
  readonly certain: boolean
  /** Whether a replacement in doubt may have wiped it out. */
  readonly endangered: boolean
}

const wasBegun = ({ state }: Journal.Entry): boolean => state !== "waiting" && state !== "failed"

/** What a place contains according to its history. */
export const holding = (history: ReadonlyArray<Journal.Entry>): Holding => {
  let base: Journal.Entry | undefined
  let additions: Array<Addition> = []
  for (const entry of history) {
    if (!wasBegun(entry)) continue
    const certain = entry.state === "uploaded"
    if (entry.action === "add") additions.push({ entry, certain, endangered: false })
    else if (certain) {
      base = entry
      additions = []
    } else {
      // It may have replaced everything before it.
      base = undefined
      additions = additions.map(({ entry }) => ({ entry, certain: false, endangered: true }))
    }
  }
  return { base, additions }
}

/** What a person is asked about: additions in doubt that were neither wiped out nor certainly added since. */
export const doubts = (history: ReadonlyArray<Journal.Entry>): ReadonlyArray<Journal.Entry> => {
  const begun = history.filter(wasBegun)
  // A replacement in doubt is sent again, and what follows it too.
  const additions = begun.slice(begun.findLastIndex(({ action }) => action === "replace") + 1)
  const added = additions.filter(({ state }) => state === "uploaded")
  return additions.filter((entry) => entry.state !== "uploaded" && !isResolved(entry, added))
}

/** Additions that a replacement in doubt may have wiped out, and that no later entry shows to be there. */
export const endangered = (history: ReadonlyArray<Journal.Entry>): ReadonlyArray<Journal.Entry> => {
  const { additions } = holding(history)
  const certain = additions.flatMap(({ certain, entry }) => certain ? [entry] : [])
  return additions.flatMap(({ endangered, entry }) => endangered && !isResolved(entry, certain) ? [entry] : [])
}

/** Whether one of these was added after an entry in doubt, and nothing shows that it is another upload. */
const isResolved = ({ md5, name, ordinal }: Journal.Entry, certain: ReadonlyArray<Journal.Entry>): boolean =>
  certain.some((entry) => entry.ordinal > ordinal && entry.name === name && (md5 === undefined || entry.md5 === md5))

/** Names the run of entries that were taken over from an earlier build. */
export const adopted = "adopted"

/** Whether a row's content is that of an entry; by the names where either has none. `undefined` where that is unknown. */
const compare = (row: Row, entry: Journal.Entry): boolean | undefined => {
  const { bytes, gone, md5, version } = row.content
  if (version !== undefined && version === entry.version) return true
  if (md5 !== undefined && entry.md5 !== undefined) return md5 === entry.md5
  if (bytes !== undefined && entry.bytes !== undefined && bytes !== entry.bytes) return false
  // Earlier builds did not always record what they sent, and asking about each of these would be useless.
  const bare = entry.run === adopted && (entry.version ?? entry.bytes ?? entry.md5) === undefined
  return gone || bare ? row.name === entry.name : undefined
}

const send: Verdict = { _tag: "Send", again: false }

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

  const holds = base !== undefined && compare(replacement, base) === true
  const earlier = planEarlier(rows.slice(0, last), history, holds ? base : undefined)
  const anew = rows.slice(last).map(() => send)
  if (!holds) return [...earlier, ...anew]

  const { surplus, verdicts } = planAdditions(rows.slice(last + 1), additions, choices)
  const unlisted = choices.complete && surplus.length > 0 ? choices.onChanged : "skip"
  // Sending everything from the replacement on doubles nothing.
  if (unlisted === "send" || verdicts.some((verdict) => verdict._tag === "Send" && verdict.again)) {
    return [...earlier, ...anew]
  }
  return [
    ...earlier,
    unlisted === "fail" ? { _tag: "Surplus", entry: base, surplus } : present(replacement, base),
    ...verdicts
  ]
}

const present = ({ content: { md5, version } }: Row, entry: Journal.Entry): Verdict => ({
  _tag: "Present",
  entry,
  version: version !== entry.version && md5 !== undefined && md5 === entry.md5 ? version : undefined
})

/** The same without the source's version: the entry may be the upload of another row, too. */
const wasPresent = (entry: Journal.Entry): Verdict => ({ _tag: "Present", entry, version: undefined })

// What comes before the last replacement leaves nothing behind. So any earlier upload of it is enough: one that was wiped out,
// is in doubt or cannot be compared. If the replacement is there already, none is needed.
const planEarlier = (
  rows: ReadonlyArray<Row>,
  history: ReadonlyArray<Journal.Entry>,
  base: Journal.Entry | undefined
): ReadonlyArray<Verdict> => {
  const left = history
    .filter(wasBegun)
    .sort((a, b) => Number(b.state === "uploaded") - Number(a.state === "uploaded"))
  return rows.map((row) => {
    const find = (same: true | undefined) =>
      left.findIndex((entry) => entry.action === row.action && compare(row, entry) === same)
    const i = find(true)
    const [entry = base ?? left[find(undefined)]] = i < 0 ? [] : left.splice(i, 1)
    if (i >= 0 && entry?.state === "uploaded" && entry !== base) return wasPresent(entry)
    return entry === undefined ? send : { _tag: "Superseded", entry }
  })
}

const planAdditions = (
  rows: ReadonlyArray<Row>,
  additions: ReadonlyArray<Addition>,
  { complete, onChanged, onUnknown }: Choices
): { readonly verdicts: ReadonlyArray<Verdict>; readonly surplus: ReadonlyArray<Journal.Entry> } => {
  const verdicts: Array<Verdict> = rows.map(() => send)
  const open = new Map(rows.entries())
  const added = additions.flatMap(({ certain, entry }) => certain ? [entry] : [])
  const left = new Set(
    additions.filter(({ certain, endangered, entry }) =>
      certain || endangered || entry.md5 !== undefined || !isResolved(entry, added)
    )
  )
  // Additions that are certainly no row's: what cannot be compared may be one of them.
  const suspects = new Set(additions)
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
        verdicts[i] = verdictOf(row, addition)
        open.delete(i)
        left.delete(addition)
        break
      }
    }
  }
  const verdictOf = (row: Row, addition: Addition): Verdict => {
    const { certain, endangered, entry } = addition
    const same = compare(row, entry)
    if (same === true) suspects.delete(addition)
    const versions = row.content.version !== undefined && entry.version !== undefined
    if (same === false || (same === undefined && (certain || versions))) {
      return changed(entry, same === false || versions)
    }
    if (certain) return present(row, entry)
    // A choice about the row is one about the entry where they are the same, and nothing else is in doubt about the entry.
    const its = same === true && !endangered
    if (onUnknown === "retry") return { _tag: "Send", again: true, doubt: its ? entry : undefined }
    return onUnknown === "skip"
      ? { _tag: "Assumed", entry, resolves: its ? "entry" : "item" }
      : { _tag: "InDoubt", entry }
  }
  const changed = (entry: Journal.Entry, compared: boolean): Verdict => {
    if (onChanged === "send") return { _tag: "Send", again: true }
    return onChanged === "skip" ? { _tag: "Assumed", entry, resolves: "nothing" } : { _tag: "Changed", entry, compared }
  }
  // What certainly is there raises the fewest questions.
  for (const certain of [true, false]) {
    match((part) => contentKeys(part).map((key) => `${key} ${part.name}`), certain)
    match(contentKeys, certain)
  }
  for (const certain of [true, false]) match(({ name }) => [name], certain)
  // A list that is not complete leaves additions out, and names show what is new.
  if (complete && open.size > 0 && suspects.size > 0) {
    const suspectOf = suspicion(suspects)
    for (const [i, row] of open) {
      const suspect = suspectOf(row)
      if (suspect === undefined) continue
      // A choice about doubts is none about this one.
      verdicts[i] = changed(suspect.entry, false)
      left.delete(suspect)
    }
  }
  return { verdicts, surplus: [...left].map(({ entry }) => entry) }
}

/** Finds an addition that may be a row, although they share neither name nor content. */
const suspicion = (suspects: Iterable<Addition>): (row: Row) => Addition | undefined => {
  const index = (additions: ReadonlyArray<Addition>) => ({
    any: additions.at(-1),
    bySize: new Map(additions.map((addition) => [addition.entry.bytes, addition]))
  })
  // What certainly is there raises the fewest questions.
  const all = [...suspects].sort((a, b) => Number(a.certain) - Number(b.certain))
  const some = index(all)
  const unhashed = index(all.filter(({ entry }) => entry.md5 === undefined))
  return ({ content: { bytes, gone, md5 } }) => {
    if (gone) return undefined
    const { any, bySize } = md5 === undefined ? some : unhashed
    return bytes === undefined ? any : bySize.get(bytes) ?? bySize.get(undefined)
  }
}

/** What rows and entries have in common. */
type Part = Pick<Journal.Entry, "name" | "version" | "md5">

const contentKeys = ({ md5, version }: Part): ReadonlyArray<string> => [
  ...(version === undefined ? [] : [`version ${version}`]),
  ...(md5 === undefined ? [] : [`md5 ${md5}`])
]
