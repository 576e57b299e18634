import { PipelineDescription } from "@effect-resilience/pipeline"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"

it.effect("an object where the name of a function belongs is an error of the description", () =>
  Effect.gen(function*() {
    const json = { name: "ledger", circuitBreaker: { classify: { toString: 1 } } }
    const error = yield* Effect.flip(PipelineDescription.decode(json))
    assert.include(error.message, "must be the name of a function in the table, not {\"toString\":1}")
  }))
