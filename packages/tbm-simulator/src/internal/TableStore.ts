/**
 * The stored uploads: digests and counts, and of the last ones the bytes, for downloads.
 *
 * A table's md5 is of all its bytes. An append continues from a copy of the table's unfinished hash, so appends to one
 * table take turns while their bodies are read.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { createHash, type Hash } from "node:crypto"
import type * as SimulatorOptions from "../SimulatorOptions.ts"
import type * as SimulatorState from "../SimulatorState.ts"

export interface Place {
  readonly domain: string
  readonly project: string
  readonly table: string
  readonly period: string
}

/** `action`: absent if the request has not named it yet. */
export interface Target extends Place {
  readonly action: Action | undefined
}

export type Action = "overwrite" | "append"

/** One upload while it arrives. */
export interface Write {
  readonly update: (bytes: Uint8Array) => void
  /** The file's digests and length so far. */
  readonly received: () => { readonly md5: string; readonly sha256: string; readonly bytes: number }
  /**
   * Adds the upload to the record when its turn has come, unless it `isKnown` by then. `created` is true if the table had no content for
   * that period before.
   */
  readonly commit: (file: CommittedFile, isKnown?: () => boolean) => Effect.Effect<{ readonly created: boolean }>
  /** The value that `created` would have. */
  readonly wouldCreate: () => boolean
}

export interface CommittedFile {
  readonly action: Action
  readonly fileName: string
  readonly rows: number
  /** Epoch milliseconds. */
  readonly storedAt: number
}

/** One upload that is part of a table. */
export interface KeptFile {
  readonly fileName: string
  readonly bytes: Uint8Array
}

export class Busy extends Data.TaggedError("Busy")<{}> {}

export interface TableStore {
  readonly write: (target: Target) => Effect.Effect<Write, Busy, Scope.Scope>
  readonly uploads: () => ReadonlyArray<SimulatorState.StoredUpload>
  readonly tables: () => { readonly [key: string]: SimulatorState.StoredTable }
  /** The files that a table consists of. `undefined` if there is no such table; `dropped` if their bytes were not kept. */
  readonly content: (place: Place) => ReadonlyArray<KeptFile> | "dropped" | undefined
}

export const make = (
  { concurrentWrites: mode, keptBytes }: Pick<SimulatorOptions.Settings, "concurrentWrites" | "keptBytes">
): TableStore => {
  const uploads: Array<SimulatorState.StoredUpload> = []
  const tables = new Map<string, StoredContent>()
  const locks = new Map<string, Semaphore.Semaphore>()

  // In the order of storing.
  const kept = new Map<string, ReadonlyArray<KeptFile>>()
  let keptSum = 0

  const drop = (key: string) => {
    for (const { bytes } of kept.get(key) ?? []) keptSum -= bytes.length
    kept.delete(key)
  }
  const keep = (key: string, files: ReadonlyArray<KeptFile> | undefined) => {
    drop(key)
    if (files === undefined) return
    kept.set(key, files)
    for (const { bytes } of files) keptSum += bytes.length
    for (const oldest of kept.keys()) {
      if (keptSum <= keptBytes) return
      drop(oldest)
    }
  }

  const lockOf = (key: string): Semaphore.Semaphore => {
    const found = locks.get(key)
    if (found !== undefined) return found
    const lock = Semaphore.makeUnsafe(1)
    locks.set(key, lock)
    return lock
  }

  const write = Effect.fnUntraced(function*(target: Target) {
    // The record shows keys without the domain, but tables of two domains are two tables.
    const key = keyOf(target)
    const lock = lockOf(key)
    const holds = mode === "reject" || (mode === "serialize" && target.action !== "overwrite")
    if (mode === "reject") {
      yield* Effect.acquireRelease(
        Effect.filterOrFail(lock.takeIfAvailable(1), (taken) => taken, () => new Busy()),
        () => lock.release(1)
      )
    } else if (holds) {
      yield* lock.takeScoped(1)
    }

    const base = tables.get(key)
    const keptBase = base === undefined ? [] : kept.get(key)
    let pieces: Array<Uint8Array> | undefined = []
    const mayAppend = target.action !== "overwrite"
    const file = createHash("md5")
    const sha256 = createHash("sha256")
    const whole = mayAppend ? base?.hash.copy() : undefined
    let bytes = 0

    const store = ({ action, fileName, rows, storedAt }: CommittedFile) => {
      const before = tables.get(key)
      const { domain, project, table, period } = target
      const appended = action === "append" ? base : undefined
      tables.set(key, {
        bytes: bytes + (appended?.bytes ?? 0),
        rows: rows + (appended?.rows ?? 0),
        versions: (before?.versions ?? 0) + 1,
        hash: appended === undefined ? file : whole ?? file
      })
      const earlier = action === "append" ? keptBase : []
      keep(key, pieces && earlier && [...earlier, { fileName, bytes: Buffer.concat(pieces) }])
      uploads.push({
        domain,
        project,
        table,
        period,
        action,
        fileName,
        bytes,
        md5: hex(file),
        sha256: hex(sha256),
        storedAt: new Date(storedAt).toISOString()
      })
      return { created: before === undefined }
    }

    const result: Write = {
      update(chunk) {
        bytes += chunk.length
        file.update(chunk)
        sha256.update(chunk)
        whole?.update(chunk)
        if (bytes > keptBytes) pieces = undefined
        else pieces?.push(chunk)
      },
      received: () => ({ md5: hex(file), sha256: hex(sha256), bytes }),
      commit: (committed, isKnown) => {
        const stored = Effect.sync(() => isKnown?.() === true ? { created: false } : store(committed))
        return holds || mode === "lastWins" ? stored : lock.withPermit(stored)
      },
      wouldCreate: () => !tables.has(key)
    }
    return result
  })

  return {
    write,
    uploads: () => uploads.slice(),
    content: (place) => {
      const key = keyOf(place)
      return tables.has(key) ? kept.get(key) ?? "dropped" : undefined
    },
    tables: () =>
      Object.fromEntries(
        Array.from(tables, ([key, { bytes, hash, rows, versions }]) => [
          key.slice(key.indexOf("\n") + 1),
          { bytes, rows, md5: hex(hash), versions }
        ])
      )
  }
}

interface StoredContent {
  readonly bytes: number
  readonly rows: number
  readonly versions: number
  /** Unfinished, so that an append can continue from a copy. */
  readonly hash: Hash
}

const keyOf = ({ domain, period, project, table }: Place): string =>
  `${encodeURIComponent(domain)}\n${project}/${table}/${period}`

const hex = (hash: Hash): string => hash.copy().digest("hex")
