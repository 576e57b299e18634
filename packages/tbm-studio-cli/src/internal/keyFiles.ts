import { InvalidSettings } from "@effect-resilience/tbm-studio/Settings"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as words from "./words.ts"

const names = ["TBM_PUBLIC_KEY", "TBM_SECRET_KEY"] as const

/** Takes keys from files that `TBM_PUBLIC_KEY_FILE` and `TBM_SECRET_KEY_FILE` name, such as credentials of systemd. */
export const layer: Layer.Layer<never, InvalidSettings, FileSystem.FileSystem | Path.Path> = Layer.effect(
  ConfigProvider.ConfigProvider,
  Effect.gen(function*() {
    const problems: Array<string> = []
    const keys: { [name: string]: string } = {}
    for (const name of names) {
      const path = yield* setting(`${name}_FILE`)
      if (path === "") continue
      const problem = (yield* setting(name)) === ""
        ? yield* Effect.match(keyOf(`${name}_FILE`, path), {
          onFailure: (problem) => problem,
          onSuccess: (key) => {
            keys[name] = key
            return undefined
          }
        })
        : `${name} and ${name}_FILE are both set. Leave one of them out.`
      if (problem !== undefined) problems.push(problem)
    }
    if (problems.length > 0) return yield* new InvalidSettings({ problems })
    return ConfigProvider.orElse(ConfigProvider.fromUnknown(keys), yield* ConfigProvider.ConfigProvider)
  })
)

/** The key in a file, or what is wrong with the file. No message repeats what is in it. */
const keyOf = Effect.fnUntraced(function*(name: string, path: string): Effect.fn.Return<
  string,
  string,
  FileSystem.FileSystem | Path.Path
> {
  const fs = yield* FileSystem.FileSystem
  const unreadable = Effect.mapError(({ reason }: { readonly reason: { readonly _tag: string } }) =>
    `${name} is ${path}, which cannot be read: ${words.ofSystem(reason)}.`
  )
  const { mode, size, type } = yield* unreadable(fs.stat(path))
  if (type === "Directory") return yield* Effect.fail(`${name} is ${path}, which is a directory.`)
  if (size > mostBytes) return yield* Effect.fail(`${name} is ${path}, which is too large for a key.`)
  const key = (yield* unreadable(fs.readFileString(path))).replace(/\r?\n$/, "")
  if (key === "") return yield* Effect.fail(`${name} is ${path}, which is empty.`)
  if (!/^[!-~]+$/.test(key)) return yield* Effect.fail(`${name} is ${path}, which has more than one key in one line.`)
  const readers = type !== "File" || process.getuid === undefined ? 0 : mode & readableByOthers
  // The list of users of a file of systemd shows as permissions of its group.
  const credentials = yield* setting("CREDENTIALS_DIRECTORY")
  const isCredential = credentials !== "" && (yield* Path.Path).dirname(path) === credentials
  if (readers !== 0 && !(isCredential && readers === 0o040)) {
    yield* Effect.logWarning(
      `${name} is ${path}, which other users of this machine can read (mode ${
        (mode & 0o777).toString(8)
      }). Let only its owner read it: chmod 600.`
    )
  }
  return key
})

const mostBytes = 65_536n

const readableByOthers = 0o044

const setting = (name: string): Effect.Effect<string> =>
  Effect.map(
    Effect.orElseSucceed(Config.option(Config.String(name)), () => Option.none()),
    (value) => Option.getOrElse(value, () => "").trim()
  )
