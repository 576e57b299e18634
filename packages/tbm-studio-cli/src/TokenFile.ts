/**
 * Shares the token between processes of one user through a file, so that a script of ten commands logs in once.
 *
 * **Details**
 *
 * The file is a SQLite database that only its owner can read, in a folder that only its owner can enter where it had to be made. A
 * folder that others can write, or that belongs to another user, is rejected: whoever can replace the file could make this user
 * write elsewhere. (Windows has neither modes nor owners of this kind, and nothing is checked there.) Tokens in it are encrypted with AES-256-GCM
 * under a key made of the secret key, which every process that shares them has, and found by a keyed hash of frontdoor
 * and key pair. One process logs in while the others wait; one that dies is replaced after 15 seconds.
 *
 * **Example** (The layer that the commands use)
 *
 * ```ts
 * import { TbmStudio } from "@effect-resilience/tbm-studio"
 * import { TokenFile } from "@effect-resilience/tbm-studio-cli"
 * import { Layer } from "effect"
 *
 * const studio = TbmStudio.layer.pipe(Layer.provide(TokenFile.layer("/home/ci/.cache/tbm-studio/tokens.sqlite")))
 * ```
 *
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
 * Shares tokens through the file at `path`; its folder is made where there is none. Fails where the file cannot be
 * opened, is a link, or lies in a folder that is not this user's alone.
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
      // The key is never too short, which is all that making the source can fail with.
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
  // Before SQLite opens it: what it makes for itself, all of this machine's users can read.
  yield* Effect.scoped(fs.open(path, { flag: "a", mode: 0o600, noFollow: true }))
  // The two beside it come and go with other processes.
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
