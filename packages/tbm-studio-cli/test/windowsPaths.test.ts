import * as NodePath from "@effect/platform-node/NodePath"
import { assert, it } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import { Manifest } from "../src/index.ts"

const rows = [
  "gl.csv",
  "sub\\late.csv",
  "sub/more.csv",
  "C:\\month\\other.csv",
  "c:/month/sub/../again.csv",
  "..\\before.csv",
  "D:\\share\\far.csv",
  "\\\\server\\share\\remote.csv"
]

const text = ["file,project,table,period", ...rows.map((file, i) => `${file},P,T${i},January:2024`)].join("\n")

const windows = Layer.merge(
  NodePath.layerWin32,
  FileSystem.layerNoop({
    stat: () => Effect.succeed({ type: "File" } as FileSystem.File.Info),
    readFile: () => Effect.succeed(new TextEncoder().encode(text)),
    realPath: (path) => Effect.succeed(path)
  })
)

it.effect("a manifest names its files alike on Windows, however their paths are written", () =>
  Effect.gen(function*() {
    const read = yield* Manifest.read("C:\\month\\m.csv")
    assert.deepStrictEqual(read.map(({ name }) => name), [
      "gl.csv",
      "sub/late.csv",
      "sub/more.csv",
      "other.csv",
      "again.csv",
      "../before.csv",
      "D:/share/far.csv",
      "//server/share/remote.csv"
    ])
    assert.deepStrictEqual(read.map(({ file }) => file), [
      "C:\\month\\gl.csv",
      "C:\\month\\sub\\late.csv",
      "C:\\month\\sub\\more.csv",
      "C:\\month\\other.csv",
      "c:\\month\\again.csv",
      "C:\\before.csv",
      "D:\\share\\far.csv",
      "\\\\server\\share\\remote.csv"
    ])
  }).pipe(Effect.provide(windows)))
