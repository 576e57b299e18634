import * as LocalFileSystem from "@effect-resilience/node/LocalFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, type Scope } from "effect"
import { execFileSync } from "node:child_process"
import { chownSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Folder } from "../src/internal/watchFolder.ts"
import * as WatchRules from "../src/internal/watchRules.ts"
import * as command from "./command.ts"

const rules = Result.getOrThrow(WatchRules.make([
  { files: "gl*.csv", project: "P", table: "GL", period: "May:2024" },
  { files: "late*.csv", project: "P", table: "GL", period: "May:2024", action: "append", marker: ".done" },
  { files: "other*.csv", project: "P", table: "Other", period: "May:2024" }
]))

const settle = 1_000
const begun = 5_000_000
const everyone = () => true

/** A folder whose files were written at these seconds, and what is there at a time. */
const inbox = Effect.gen(function*() {
  const path = yield* command.folder
  const folder = new Folder(path, rules, settle)
  return {
    folder,
    path,
    put: (name: string, second: number, content: string = name) => {
      utimesSync(command.write(path, name, content), second, second)
    },
    at: Effect.fnUntraced(function*(millis: number) {
      const now = begun + millis
      yield* folder.look(now, () => undefined)
      folder.rejectUnmatched(now)
      const { held, ready } = folder.ready(now, everyone)
      return {
        ready: ready.map(({ name }) => name),
        held: held.map(({ name }) => name),
        waiting: folder.all.flatMap((arrival) =>
          arrival.state === "new" && folder.waitsFor(arrival, now) !== undefined ? [arrival.name] : []
        ).toSorted(),
        rejected: Object.fromEntries(
          folder.all.flatMap(({ name, state, why }) => state === "rejected" ? [[name, why]] : [])
        )
      }
    })
  }
})

const test = <A, E>(effect: Effect.Effect<A, E, Layer.Success<typeof services> | Scope.Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(services))
const services = Layer.merge(LocalFileSystem.layer, NodePath.layer)

describe("a folder in which files arrive", () => {
  it.effect("names each file that it cannot look at", () =>
    test(Effect.gen(function*() {
      const { at, path, put } = yield* inbox
      put("gl.csv", 10)
      writeFileSync(Buffer.concat([Buffer.from(`${path}/gl-`), Buffer.of(0xff), Buffer.from(".csv")]), "A")
      symlinkSync("loop", join(path, "loop"))
      const { rejected } = yield* at(0)
      assert.deepStrictEqual(rejected, {
        "gl-\uFFFD.csv": "Its name is not UTF-8, so it cannot be opened: rename it.",
        loop: "It is a link: only files are sent."
      })
    })))

  it.effect("names files whose names differ only in how an accent is spelled, and sends them when one is gone", () =>
    test(Effect.gen(function*() {
      const { at, path, put } = yield* inbox
      const [composed, decomposed] = ["NFC", "NFD"].map((form) => "gl-März.csv".normalize(form))
      put(`${composed}`, 10, "A")
      put(`${decomposed}`, 11, "B")
      for (const millis of [0, 1_000, 2_000]) {
        const { ready, rejected, waiting } = yield* at(millis)
        assert.deepStrictEqual([ready, waiting, Object.keys(rejected)], [[], [], [composed]])
        assert.include(rejected[`${composed}`], "Two files have this name, with an accent written in two ways")
      }
      rmSync(join(path, `${composed}`))
      yield* at(3_000)
      assert.deepStrictEqual((yield* at(4_000)).ready, [composed])
    })))

  it.effect("a file without a marker is whole when it has not changed for a while", () =>
    test(Effect.gen(function*() {
      const { at, put } = yield* inbox
      put("gl.csv", 10, "A")
      assert.deepStrictEqual((yield* at(0)).waiting, ["gl.csv"])
      put("gl.csv", 11, "A\n1\n")
      assert.deepStrictEqual((yield* at(999)).waiting, ["gl.csv"])
      assert.deepStrictEqual((yield* at(1_998)).waiting, ["gl.csv"])
      // The same size.
      put("gl.csv", 12, "A\n2\n")
      assert.deepStrictEqual((yield* at(1_999)).waiting, ["gl.csv"])
      assert.deepStrictEqual((yield* at(2_998)).ready, [])
      assert.deepStrictEqual((yield* at(2_999)).ready, ["gl.csv"])
    })))

  it.effect("a file with a marker is whole at once, and not when it is newer than its marker", () =>
    test(Effect.gen(function*() {
      const { at, put } = yield* inbox
      put("late.csv", 10)
      assert.deepStrictEqual((yield* at(9_000)).waiting, ["late.csv"])
      put("late.csv.done", 10)
      assert.deepStrictEqual((yield* at(9_001)).ready, ["late.csv"])
      put("late.csv", 11, "half of the nex")
      assert.deepStrictEqual(yield* at(99_000), { ready: [], held: [], waiting: ["late.csv"], rejected: {} })
      put("late.csv.done", 12)
      assert.deepStrictEqual((yield* at(99_001)).ready, ["late.csv"])
    })))

  it.effect("what is not done holds back what came after it for the same table and period", () =>
    test(Effect.gen(function*() {
      const { at, folder, put } = yield* inbox
      put("gl-2.csv", 20)
      put("late.csv", 30)
      put("late.csv.done", 30)
      put("gl-1.csv", 10)
      put("other.csv", 40)
      assert.deepStrictEqual(yield* at(0), {
        ready: [],
        held: ["late.csv"],
        waiting: ["gl-1.csv", "gl-2.csv", "other.csv"],
        rejected: {}
      })
      assert.deepStrictEqual((yield* at(1_000)).ready, ["gl-1.csv", "gl-2.csv", "late.csv", "other.csv"])
      const first = folder.get("gl-1.csv")
      if (first !== undefined) first.state = "stuck"
      const stuck = yield* at(1_001)
      assert.deepStrictEqual([stuck.ready, stuck.held], [["other.csv"], ["gl-2.csv", "late.csv"]])
      // The corrected file is the last one now.
      put("gl-1.csv", 50)
      assert.deepStrictEqual((yield* at(1_002)).ready, ["gl-2.csv", "late.csv", "other.csv"])
      assert.deepStrictEqual((yield* at(2_002)).ready, ["gl-2.csv", "late.csv", "other.csv", "gl-1.csv"])
      const { ready } = folder.ready(begun + 2_002, ({ name }) => name === "gl-1.csv")
      assert.deepStrictEqual(ready, [])
    })))

  it.effect("only regular files of this user that a rule is for are sent, and the others are named", () =>
    test(Effect.gen(function*() {
      const { at, path, put } = yield* inbox
      put("gl.csv", 10)
      put("unknown.csv", 10)
      put(".hidden.csv", 10)
      mkdirSync(join(path, "gl-folder.csv"))
      execFileSync("mkfifo", [join(path, "gl-pipe.csv")])
      symlinkSync("nowhere", join(path, "gl-link.csv"))
      put("gl-theirs.csv", 10)
      const isRoot = process.getuid?.() === 0
      if (isRoot) chownSync(join(path, "gl-theirs.csv"), 4_711, 4_711)
      const early = yield* at(0)
      assert.notProperty(early.rejected, "unknown.csv")
      const { ready, rejected } = yield* at(1_000)
      if (isRoot) {
        chownSync(join(path, "gl-theirs.csv"), 0, 0)
        yield* at(1_001)
        assert.deepStrictEqual((yield* at(2_001)).ready, ["gl-theirs.csv", "gl.csv"])
      }
      assert.deepStrictEqual(ready, isRoot ? ["gl.csv"] : ["gl-theirs.csv", "gl.csv"])
      assert.deepStrictEqual(rejected, {
        "gl-pipe.csv": "It is a pipe: only files are sent.",
        "gl-link.csv": "It is a link: only files are sent.",
        "unknown.csv": "No rule is for a file of this name.",
        ...(isRoot ? { "gl-theirs.csv": "It belongs to another user (uid 4711): only your own files are sent." } : {})
      })
    })))

  it.effect("what is gone is forgotten, and a folder that is gone is an error", () =>
    test(Effect.gen(function*() {
      const { at, folder, path, put } = yield* inbox
      put("gl.csv", 10)
      yield* at(0)
      renameSync(join(path, "gl.csv"), join(path, "gl-new.csv"))
      assert.deepStrictEqual((yield* at(1_000)).waiting, ["gl-new.csv"])
      assert.strictEqual(folder.nextLook(begun + 1_000, 5_000), 1_000)
      assert.strictEqual(folder.nextLook(begun + 2_000, 5_000), 5_000)
      rmSync(path, { recursive: true })
      const gone = yield* Effect.flip(at(2_000))
      mkdirSync(path)
      assert.strictEqual(gone.message, `${path} cannot be read: there is no such file or folder.`)
    })))
})
