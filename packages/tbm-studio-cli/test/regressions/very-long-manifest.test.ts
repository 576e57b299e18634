import { Manifest } from "@effect-resilience/tbm-studio-cli"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as textTable from "../../src/internal/textTable.ts"
import { folder, write } from "../command.ts"

// More than a function takes as arguments.
const count = 200_000

describe("a very long manifest", () => {
  layer(NodeServices.layer)((it) => {
    it.effect("is read, and all its problems are reported", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const manifest = (period: string) =>
          write(dir, "m.csv", `file,project,table,period\n${`a.csv,P,T,${period}\n`.repeat(count)}`)
        assert.lengthOf(yield* Manifest.read(manifest("January:2024")), count)
        const error = yield* Effect.flip(Manifest.read(manifest("2024-01")))
        assert.lengthOf(error.problems, count)
        assert.match(error.message, /… and 199980 more$/)
      }))

    it.effect("is printed as a table", () =>
      Effect.sync(() => {
        const rows = Array.from({ length: count }, (_, i) => (i === 7 ? "表" : `T${i}`))
        const lines = textTable.render(rows, [
          { title: "Table", cell: (row) => row },
          { title: "Result", align: "right", cell: () => "uploaded" }
        ])
        assert.lengthOf(lines, count + 2)
        assert.deepStrictEqual(lines.slice(8, 11), [
          "T6       uploaded",
          "表       uploaded",
          "T8       uploaded"
        ])
      }))
  })
})
