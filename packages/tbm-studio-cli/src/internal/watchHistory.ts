import type * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as Hashing from "@effect-resilience/upload/Hashing"
import * as Journal from "@effect-resilience/upload/Journal"
import type * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Place from "./place.ts"

/** What the journal knows of the files of a directory. */
export interface History {
  /** Whether it has uploads, but none to this service. */
  readonly isForeign: boolean
  /** The last upload under a name to a table and period. For `current` it may be one of another month. */
  readonly latest: (name: string, address: TableAddress.TableAddress) => Journal.Entry | undefined
  /** Whether that upload is no longer in doubt: it is there, or it is not. */
  readonly isDecided: (name: string, address: TableAddress.TableAddress) => boolean
  /** The names of what was added to the place of an upload after it. */
  readonly addedSince: (entry: Journal.Entry) => ReadonlyArray<string>
}

/** Reads the journal. */
export const read = Effect.fnUntraced(function*(scope: Place.Scope) {
  const journal = yield* Journal.Journal
  const latest = new Map<string, Journal.Entry>()
  const failed = new Map<string, Journal.Entry>()
  const additions = new Map<string, Array<Journal.Entry>>()
  let entries = 0
  let ours = 0
  yield* Stream.runForEach(journal.entries, (entry) =>
    Effect.sync(() => {
      entries++
      const place = Option.getOrUndefined(Place.parse(entry.place))
      if (place === undefined || !Place.sameScope(place, scope)) return
      ours++
      if (entry.state === "waiting") return
      const key = keyOf(entry.name, place)
      const entriesOf = entry.state === "failed" ? failed : latest
      const known = entriesOf.get(key)
      if (known === undefined || isLater(entry, known)) entriesOf.set(key, entry)
      if (entry.state === "failed") return
      if (entry.action !== "add") return
      const added = additions.get(entry.place)
      if (added === undefined) additions.set(entry.place, [entry])
      else added.push(entry)
    }))
  const history: History = {
    isForeign: entries > 0 && ours === 0,
    latest: (name, address) => latest.get(keyOf(name, Place.parts(scope, address, 0))),
    isDecided: (name, address) => {
      const key = keyOf(name, Place.parts(scope, address, 0))
      const known = latest.get(key)
      const last = failed.get(key)
      return known === undefined
        ? last !== undefined
        : known.state === "uploaded" || (last !== undefined && isLater(last, known))
    },
    addedSince: ({ ordinal, place }) =>
      (additions.get(place) ?? []).filter((entry) => entry.ordinal > ordinal).map(({ name }) => name)
  }
  return history
})

const isLater = (a: Journal.Entry, b: Journal.Entry): boolean =>
  a.place === b.place ? a.ordinal > b.ordinal : a.at > b.at

const keyOf = (name: string, { period, project, table }: Place.Place): string =>
  JSON.stringify([name, project, table, period.replace(/^current in .*/, "current")])

/** Whether an upload sent the content of a file, if that can be told from its version. */
export const isVersion = (entry: Journal.Entry, version: string): boolean =>
  // A file in another encoding has the version of the file in it.
  entry.version === version || entry.version?.startsWith(`${version} `) === true

/** Whether an upload sent the content of a source. `undefined` where that is unknown. */
export const isContent = Effect.fnUntraced(function*<R>(entry: Journal.Entry, source: UploadSource.UploadSource<R>) {
  const { bytes, size, version } = yield* source.open
  if (version !== undefined && entry.version === version) return true
  if (size !== undefined && entry.bytes !== undefined && size !== entry.bytes) return false
  if (entry.md5 === undefined) return undefined
  const hasher = yield* (yield* Hashing.Current).start(["md5"], { size })
  yield* Stream.runForEach(bytes(), (chunk) => hasher.update(chunk))
  return (yield* hasher.digest).md5 === entry.md5
}, Effect.scoped)
