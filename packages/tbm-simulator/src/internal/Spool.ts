/** Temporary files for the parts of an upload: parts arrive in any order, and are too large for memory. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createReadStream } from "node:fs"
import { mkdtemp, open, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** The disk is full, or a reset has removed the file. */
export class SpoolError extends Data.TaggedError("SpoolError")<{ readonly cause: unknown }> {
  override get message() {
    return `the spool failed: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

export interface SpoolFile {
  readonly path: string
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, SpoolError>
  /** Keeps the file when the scope closes. */
  readonly keep: () => void
}

export interface Spool {
  /** A new file. The scope closes it, and removes it unless `keep` was called. */
  readonly create: Effect.Effect<SpoolFile, SpoolError, Scope.Scope>
  readonly remove: (path: string) => Effect.Effect<void>
}

/** Makes the folder with the first file, and removes it when the scope closes. */
export const make: Effect.Effect<Spool, never, Scope.Scope> = Effect.gen(function*() {
  let folder: Promise<string> | undefined
  let files = 0
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      const made = folder
      return made === undefined
        ? Effect.void
        : Effect.ignore(attempt(() => made.then((path) => rm(path, { recursive: true, force: true }))))
    })
  )
  const remove = (path: string) => Effect.ignore(attempt(() => rm(path, { force: true })))
  return {
    remove,
    create: Effect.gen(function*() {
      const inside = yield* attempt(() => folder ??= mkdtemp(join(tmpdir(), "tbm-simulator-")))
      const path = join(inside, String(files++))
      let kept = false
      yield* Effect.addFinalizer(() => kept ? Effect.void : remove(path))
      const handle = yield* Effect.acquireRelease(
        attempt(() => open(path, "wx")),
        (handle) => Effect.ignore(attempt(() => handle.close()))
      )
      return {
        path,
        write: (bytes) => attempt(() => handle.writeFile(bytes)),
        keep: () => {
          kept = true
        }
      }
    })
  }
})

export const read = (path: string): Stream.Stream<Uint8Array, SpoolError> =>
  Stream.fromAsyncIterable<Uint8Array, SpoolError>(
    createReadStream(path, { highWaterMark: 1024 * 1024 }),
    (cause) => new SpoolError({ cause })
  )

const attempt = <A>(evaluate: () => Promise<A>): Effect.Effect<A, SpoolError> =>
  Effect.tryPromise({ try: evaluate, catch: (cause) => new SpoolError({ cause }) })
