/**
 * The stored uploads: only digests and counts, not the bytes.
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

export interface Target {
  readonly domain: string
  readonly project: string
  readonly table: string
  readonly period: string
  readonly action: "overwrite" | "append"
}

/** One upload while it arrives. */
export interface Write {
  readonly update: (bytes: Uint8Array) => void
  /** The file's digests and length so far. */
  readonly received: () => { readonly md5: string; readonly sha256: string; readonly bytes: number }
  /** Adds the upload to the record. `created` is true if the table had no content for that period before. */
  readonly commit: (file: CommittedFile) => Effect.Effect<{ readonly created: boolean }>
  /** The value that `created` would have. */
  readonly wouldCreate: () => boolean
}

export interface CommittedFile {
  readonly fileName: string
  readonly rows: number
  /** Epoch milliseconds. */
  readonly storedAt: number
}

export class Busy extends Data.TaggedError("Busy")<{}> {}

export interface TableStore {
  readonly write: (target: Target) => Effect.Effect<Write, Busy, Scope.Scope>
  readonly uploads: () => ReadonlyArray<SimulatorState.StoredUpload>
  readonly tables: () => { readonly [key: string]: SimulatorState.StoredTable }
}

export const make = (mode: SimulatorOptions.Settings["concurrentWrites"]): TableStore => {
  const uploads: Array<SimulatorState.StoredUpload> = []
  const tables = new Map<string, StoredContent>()
  const locks = new Map<string, Semaphore.Semaphore>()

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
    const holds = mode === "reject" || (mode === "serialize" && target.action === "append")
    if (mode === "reject") {
      yield* Effect.acquireRelease(
        Effect.filterOrFail(lock.takeIfAvailable(1), (taken) => taken, () => new Busy()),
        () => lock.release(1)
      )
    } else if (holds) {
      yield* lock.takeScoped(1)
    }

    const base = tables.get(key)
    const appended = target.action === "append" ? base : undefined
    const file = createHash("md5")
    const sha256 = createHash("sha256")
    const whole = appended?.hash.copy()
    let bytes = 0

    const store = ({ fileName, rows, storedAt }: CommittedFile) => {
      const before = tables.get(key)
      const { domain, project, table, period, action } = target
      tables.set(key, {
        bytes: bytes + (appended?.bytes ?? 0),
        rows: rows + (appended?.rows ?? 0),
        versions: (before?.versions ?? 0) + 1,
        hash: whole ?? file
      })
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
      },
      received: () => ({ md5: hex(file), sha256: hex(sha256), bytes }),
      commit: (committed) => {
        const stored = Effect.sync(() => store(committed))
        return holds || mode === "lastWins" ? stored : lock.withPermit(stored)
      },
      wouldCreate: () => !tables.has(key)
    }
    return result
  })

  return {
    write,
    uploads: () => uploads.slice(),
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

const keyOf = ({ domain, period, project, table }: Target): string =>
  `${encodeURIComponent(domain)}\n${project}/${table}/${period}`

const hex = (hash: Hash): string => hash.copy().digest("hex")
