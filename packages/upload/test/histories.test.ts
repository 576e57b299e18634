import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { play } from "./histories.ts"

// test/integration plays 10,000 more.
describe("a list of uploads and its journal", () => {
  it.live("lose nothing and double nothing silently, in 500 histories", () =>
    Effect.gen(function*() {
      for (let seed = 0; seed < 500; seed++) yield* play(seed)
    }))
})
