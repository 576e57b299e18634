import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, renameSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { bin, folder } from "../command.ts"

/** Runs the command, and returns where it keeps compiled code. */
const cacheOf = (env: Record<string, string>, uid?: number): string => {
  const report = `import { getCompileCacheDir } from "node:module"
process.on("exit", () => process.stderr.write("in " + getCompileCacheDir()))`
  const { status, stderr } = spawnSync(process.execPath, [bin, "--version"], {
    env: { ...env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(report)}` },
    encoding: "utf8",
    ...uid === undefined ? {} : { uid, gid: uid }
  })
  assert.strictEqual(status, 0, stderr)
  return stderr.replace(/^in /, "")
}

const nowhere = "undefined"

/** The folders for caches, temporary files and compiled code. */
const places = Effect.map(folder, (home) => {
  const temporary = join(home, "tmp")
  mkdirSync(temporary)
  chmodSync(temporary, 0o1777)
  const cache = join(home, "cache")
  return {
    home,
    temporary,
    cache,
    own: join(cache, "tbm-studio", "compiled"),
    env: { XDG_CACHE_HOME: cache, TMPDIR: temporary }
  }
})

describe("compiled code", { timeout: 60_000 }, () => {
  it.effect("is kept in a folder of this user alone", () =>
    Effect.gen(function*() {
      const { env, own, temporary } = yield* places
      assert.include(cacheOf(env), own)
      assert.strictEqual(lstatSync(own).mode & 0o777, 0o700)
      assert.isAbove(readdirSync(own, { recursive: true }).length, 1)
      assert.include(cacheOf(env), own)
      assert.deepStrictEqual(readdirSync(temporary), [])
    }))

  it.effect("is kept below the home folder by default", () =>
    Effect.gen(function*() {
      const { home, temporary } = yield* places
      const env = { HOME: home, XDG_CACHE_HOME: "relative", TMPDIR: temporary }
      assert.include(cacheOf(env), join(home, ".cache", "tbm-studio", "compiled"))
    }))

  it.effect("is not kept in a folder where others can write", () =>
    Effect.gen(function*() {
      const spoil: ReadonlyArray<(place: Readonly<Record<"cache" | "home" | "own", string>>) => void> = [
        ({ own }) => chmodSync(own, 0o750),
        ({ own }) => chmodSync(own, 0o777),
        ({ cache }) => chmodSync(cache, 0o777),
        ({ cache, own }) => {
          renameSync(own, join(cache, "elsewhere"))
          symlinkSync(join(cache, "elsewhere"), own)
        },
        ({ cache, home }) => {
          renameSync(cache, join(home, "elsewhere"))
          chmodSync(join(home, "elsewhere"), 0o777)
          symlinkSync(join(home, "elsewhere"), cache)
        }
      ]
      for (const change of spoil) {
        const place = yield* places
        assert.include(cacheOf(place.env), place.own)
        change(place)
        assert.strictEqual(cacheOf(place.env), nowhere, String(change))
        assert.deepStrictEqual(readdirSync(place.temporary), [])
      }
    }).pipe(Effect.scoped))

  it.effect.skipIf(process.getuid?.() !== 0)(
    "is not read from another user, nor written into that user's folder",
    () =>
      Effect.gen(function*() {
        const other = 65_534
        const { cache, env, home, own, temporary } = yield* places
        chmodSync(home, 0o755)
        mkdirSync(cache)
        chmodSync(cache, 0o1777)

        // The other user creates each folder first that this user would look in.
        assert.include(cacheOf(env, other), own)
        assert.strictEqual(lstatSync(own).uid, other)
        const planted = readdirSync(own, { recursive: true })
        const shared = join(temporary, "node-compile-cache")
        mkdirSync(shared)
        chownSync(shared, other, other)
        assert.strictEqual(cacheOf(env), nowhere)
        // Compiled code that is owned by this user, in a folder that is not.
        chownSync(own, 0, 0)
        assert.strictEqual(cacheOf(env), nowhere)
        assert.deepStrictEqual([readdirSync(own, { recursive: true }), readdirSync(shared)], [planted, []])

        // The reverse: a home that remains from `sudo` is not written to.
        const theirs = yield* folder
        chownSync(theirs, other, other)
        assert.strictEqual(cacheOf({ HOME: theirs, TMPDIR: temporary }), nowhere)
        assert.isFalse(existsSync(join(theirs, ".cache")))
      }).pipe(Effect.scoped)
  )
})
