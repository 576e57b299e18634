import * as LocalFileSystem from "@effect-resilience/node/LocalFileSystem"
import { Journal } from "@effect-resilience/upload"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FileSystem, Layer, Scope } from "effect"
import { symlinkSync } from "node:fs"
import { join } from "node:path"
import { stateOf } from "../../src/internal/commands/status.ts"
import * as journalFile from "../../src/internal/journalFile.ts"
import { folder } from "../command.ts"

const started: Journal.Entry = {
  place: JSON.stringify(["https://acme.example.com", "acme.com", "main", "P", "T", "Jan:2024"]),
  ordinal: 1,
  run: "r",
  revision: 1,
  action: "add",
  name: "late.csv",
  state: "started",
  attempts: 1,
  version: "v",
  bytes: 3,
  md5: undefined,
  verified: false,
  note: undefined,
  at: 1_700_000_000_000
}

/** A batch that has a journal and sends an append. */
const batch = Effect.fnUntraced(function*(path: string) {
  const scope = yield* Scope.make()
  const journal = yield* Layer.buildWithScope(journalFile.layerExclusive(path, { incomplete: false }), scope)
  const record = (entry: Journal.Entry) =>
    Effect.orDie(Effect.provide(Effect.flatMap(Journal.Journal, (journal) => journal.record(entry)), journal))
  yield* record(started)
  return Effect.andThen(record({ ...started, revision: 2, state: "uploaded" }), Scope.close(scope, Exit.void))
})

const run = <A, E>(test: Effect.Effect<A, E, FileSystem.FileSystem | NodeServices.NodeServices | Scope.Scope>) =>
  Effect.provide(Effect.scoped(test), Layer.merge(NodeServices.layer, LocalFileSystem.layer))

describe("status, of an append that has arrived", () => {
  for (const look of [0, 1]) {
    it.live(`is in no doubt about it if the batch ends before look ${look + 1} for its lock`, () =>
      run(Effect.gen(function*() {
        const path = join(yield* folder, "m.csv.journal.sqlite")
        const end = yield* batch(path)
        const fs = yield* FileSystem.FileSystem
        let looks = 0
        const ending = FileSystem.FileSystem.of({
          ...fs,
          exists: (file) =>
            Effect.suspend(() =>
              file.endsWith(".lock") && looks++ === look ? Effect.andThen(end, fs.exists(file)) : fs.exists(file)
            )
        })
        const { doubts } = yield* Effect.provideService(stateOf(path), FileSystem.FileSystem, ending)
        assert.deepStrictEqual(doubts, [])
        yield* look < looks ? Effect.void : end
      })))
  }

  it.live("sees the batch also through a link to its journal", () =>
    run(Effect.gen(function*() {
      const dir = yield* folder
      const path = join(dir, "m.csv.journal.sqlite")
      const link = join(dir, "link.sqlite")
      const end = yield* batch(path)
      symlinkSync(path, link)
      const { doubts, running } = yield* stateOf(link)
      assert.deepStrictEqual([running, doubts], [true, []])
      yield* end
    })))
})
