/**
 * Shares the token between processes of one user through a file, so that a script of ten commands logs in once.
 *
 * **Details**
 *
 * The file is a SQLite database that only its owner can read. If its folder is missing, it is created so that only its owner
 * can enter it. A folder that others can write to, or that belongs to another user, is rejected: a user who can replace the
 * file could make this user write elsewhere. (Windows has neither modes nor owners of this kind, so nothing is checked
 * there.) The tokens are encrypted with AES-256-GCM. The encryption key is derived from the secret key, which every process
 * that shares them has; tokens are found by a keyed hash of frontdoor and key pair. One process logs in while the others
 * wait. If it dies, another takes over after 15 seconds.
 *
 * **Example** (The layer that the commands use)
 *
 * ```ts import.meta.vitest
 * import { TbmStudio } from "@effect-resilience/tbm-studio"
 * import { TokenFile } from "@effect-resilience/tbm-studio-cli"
 * import { Layer } from "effect"
 *
 * const studio = TbmStudio.layer.pipe(Layer.provide(TokenFile.layer("/home/ci/.cache/tbm-studio/tokens.sqlite")))
 * Layer.isLayer(studio) // => true
 * ```
 *
 * @stability rests on effect/FileSystem, effect/Path, effect/PlatformError, effect/sql
 * @since 0.1.0
 */
import * as SharedTokens from "@effect-resilience/auth/SharedTokens"
import * as Lease from "@effect-resilience/deadline/Lease"
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { ShareTokens } from "@effect-resilience/tbm-studio/Frontdoor"
import { Settings } from "@effect-resilience/tbm-studio/Settings"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Persistence from "effect/persistence/Persistence"
import * as PlatformError from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import type * as SqlError from "effect/sql/SqlError"

/**
 * Shares tokens through the file at `path`, and creates its folder if it is missing. Fails if the file cannot be opened, is a
 * link, or is in a folder that does not belong to this user alone.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  path: string
): Layer.Layer<
  never,
  PlatformError.PlatformError | SqlError.SqlError | Lease.LeaseError,
  Settings | FileSystem.FileSystem | Path.Path
> => {
  const folder = Layer.effectDiscard(prepare(path))
  const stores = Layer.mergeAll(Persistence.layerBackingSql, Lease.layerSql).pipe(
    Layer.provide(SqliteClient.layer({ filename: path })),
    Layer.provide(folder)
  )
  return Layer.effect(
    ShareTokens,
    Effect.gen(function*() {
      const { secretKey } = yield* Settings
      const context = yield* Effect.context<Persistence.BackingPersistence | Lease.Lease>()
      const key = Redacted.make(`@effect-resilience/tbm-studio/TokenFile/${Redacted.value(secretKey)}`)
      // The only possible failure is a key that is too short, and this one is long enough.
      return (source) => Effect.provideContext(Effect.orDie(SharedTokens.make(source, { key })), context)
    })
  ).pipe(Layer.provide(stores))
}

/** Ensures that only this user can read or replace the file. */
const prepare = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = (yield* Path.Path).dirname(path)
  yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 })
  const user = process.getuid?.()
  if (user === undefined) return
  const { mode, uid } = yield* fs.stat(folder)
  if (Option.getOrElse(uid, () => user) !== user) return yield* unsafe(folder, "it belongs to another user")
  if ((mode & writableByOthers) !== 0) return yield* unsafe(folder, "others can write to it")
  // Create the file before SQLite opens it: all users of this machine could read a file that SQLite creates.
  yield* Effect.scoped(fs.open(path, { flag: "a", mode: 0o600, noFollow: true }))
  // Other processes create and remove the two files beside it.
  yield* fs.chmod(path, 0o600)
  yield* Effect.forEach(["-wal", "-shm"], (end) => Effect.ignore(fs.chmod(path + end, 0o600)), { discard: true })
})

const writableByOthers = 0o022

const unsafe = (path: string, description: string) =>
  Effect.fail(
    PlatformError.systemError({
      _tag: "PermissionDenied",
      module: "TokenFile",
      method: "layer",
      pathOrDescriptor: path,
      description
    })
  )
