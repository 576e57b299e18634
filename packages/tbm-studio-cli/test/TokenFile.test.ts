import { TokenFile } from "@effect-resilience/tbm-studio-cli"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { settings } from "../../tbm-studio/test/recorder.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "token-file-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

const inside = (path: string) => Object.fromEntries(readdirSync(path).map((name) => [name, modeOf(join(path, name))]))

const opened = (path: string) =>
  Effect.exit(Effect.scoped(Layer.build(TokenFile.layer(path)))).pipe(
    Effect.provide([settings("https://frontdoor.example.com"), NodeServices.layer])
  )

/** The files in the folder while the token file is open. */
const shown = (path: string) =>
  Effect.scoped(Effect.andThen(Layer.build(TokenFile.layer(path)), Effect.sync(() => inside(join(path, ".."))))).pipe(
    Effect.provide([settings("https://frontdoor.example.com"), NodeServices.layer])
  )

const mine = { "tokens.sqlite": "600", "tokens.sqlite-shm": "600", "tokens.sqlite-wal": "600" }

describe.skipIf(process.getuid === undefined)("TokenFile", () => {
  it.effect("creates a folder and files that only its owner can read", () =>
    Effect.gen(function*() {
      const place = join(yield* folder, "cache", "tbm-studio")
      assert.deepStrictEqual(yield* shown(join(place, "tokens.sqlite")), mine)
      assert.strictEqual(modeOf(place), "700")
    }))

  it.effect("makes a file of an earlier release unreadable for others", () =>
    Effect.gen(function*() {
      const place = yield* folder
      writeFileSync(join(place, "tokens.sqlite"), "", { mode: 0o644 })
      assert.deepStrictEqual(yield* shown(join(place, "tokens.sqlite")), mine)
    }))

  for (const mode of [0o777, 0o1777, 0o770, 0o702]) {
    it.effect(`rejects a folder of mode ${mode.toString(8)}, which others can write to`, () =>
      Effect.gen(function*() {
        const place = join(yield* folder, "shared")
        mkdirSync(place)
        chmodSync(place, mode)
        const exit = yield* opened(join(place, "tokens.sqlite"))
        const error = Exit.findErrorOption(exit)
        assert.isTrue(error._tag === "Some" && error.value._tag === "PlatformError")
        assert.isFalse(existsSync(join(place, "tokens.sqlite")))
      }))
  }

  it.effect("accepts a folder that others can only read", () =>
    Effect.gen(function*() {
      const place = join(yield* folder, "readable")
      mkdirSync(place, { mode: 0o755 })
      assert.deepStrictEqual(yield* shown(join(place, "tokens.sqlite")), mine)
    }))

  it.effect("rejects a link in place of the file", () =>
    Effect.gen(function*() {
      const place = yield* folder
      symlinkSync(join(place, "elsewhere"), join(place, "tokens.sqlite"))
      assert.isTrue(Exit.isFailure(yield* opened(join(place, "tokens.sqlite"))))
      assert.isFalse(existsSync(join(place, "elsewhere")))
    }))

  it.effect.skipIf(process.getuid?.() !== 0)("rejects a folder of another user", () =>
    Effect.gen(function*() {
      const place = join(yield* folder, "theirs")
      mkdirSync(place, { mode: 0o700 })
      chownSync(place, 65_534, 65_534)
      assert.isTrue(Exit.isFailure(yield* opened(join(place, "tokens.sqlite"))))
    }))
})
