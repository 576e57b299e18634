import { PipelineRegistry } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"

const names = Array.from({ length: 500 }, (_, index) => `pipeline ${index}`)
const configuration = (permits: number) => names.map((name) => ({ name, bulkhead: { permits } }))
const backwards = (permits: number) => configuration(permits).reverse()

const permitsIn = (registry: PipelineRegistry.PipelineRegistry["Service"]) =>
  Effect.forEach(
    names,
    (name) =>
      Effect.flatMap(registry.get(name), (pipeline) =>
        Effect.map(pipeline.description, ({ bulkhead }) => bulkhead?.permits))
  )

describe("a registry", () => {
  it.effect("has one of two configurations that are loaded at once, not some of each", () =>
    Effect.gen(function*() {
      const registry = yield* PipelineRegistry.make(configuration(1))
      yield* Effect.all([registry.reload(configuration(2)), registry.reload(backwards(3))], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(new Set(yield* permitsIn(registry)), new Set([3]))
    }))

  it.effect("has a configuration or does not, where loading it is interrupted", () =>
    Effect.gen(function*() {
      const registry = yield* PipelineRegistry.make(configuration(1))
      const reloading = yield* Effect.forkChild(registry.reload(configuration(2)), { startImmediately: true })
      assert.isUndefined(reloading.pollUnsafe())
      yield* Fiber.interrupt(reloading)
      assert.strictEqual(new Set(yield* permitsIn(registry)).size, 1)
    }))
})
