import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { play } from "../histories.ts"

// 4 to 5 ms each: `npm test` plays the first 500.
describe("a list of uploads and its journal", { timeout: 600_000 }, () => {
  it.live("lose nothing and double nothing silently, in 10,000 histories", () =>
    Effect.gen(function*() {
      for (let seed = 500; seed < 10_500; seed++) yield* play(seed)
    }))
})
