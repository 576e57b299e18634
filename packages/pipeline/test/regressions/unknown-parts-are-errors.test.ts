import { Pipeline, PipelineDescription, PipelineRegistry } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

describe("a part or an option that does not exist", () => {
  it("is an error of types", () => {
    // @ts-expect-error -- no such part
    assert.throws(() => Pipeline.make({ name: "x", bulkhaed: { permits: 1 } }), RangeError)
    // @ts-expect-error -- no such option
    assert.throws(() => Pipeline.make({ name: "x", retry: { time: 3 } }), RangeError)
    // @ts-expect-error -- no such option
    assert.throws(() => Pipeline.make({ name: "x", bulkhead: { permits: 1, que: 3 } }), RangeError)
    // @ts-expect-error -- a function is no data
    assert.throws(() => Pipeline.make({ name: "x", retry: { times: 1, classify: () => undefined } }), RangeError)
    // @ts-expect-error -- no such option, three levels down
    assert.throws(() => Pipeline.make({ name: "x", retry: { backoff: { bose: 1 } } }), RangeError)
    // @ts-expect-error -- no such option of a trip policy
    assert.throws(() => Pipeline.make({ name: "x", circuitBreaker: { tripPolicy: { rate: { sise: 3 } } } }), RangeError)
    const algorithm = { vegas: { mox: 3 } }
    // @ts-expect-error -- no such option of an algorithm
    assert.throws(() => Pipeline.make({ name: "x", concurrencyLimit: { algorithm } }), RangeError)
  })

  it.effect("is told what was meant by what reads JSON, within choices too", () => {
    const rows: ReadonlyArray<[object, string]> = [
      [{ bulkhaed: {} }, "Did you mean bulkhead?"],
      [{ retry: { backoff: { linaer: {} } } }, "Pipeline.retry.backoff has no option linaer. Did you mean linear?"],
      [{ retry: { backoff: { list: { delay: [1] } } } }, "Did you mean delays?"],
      [{ retry: { backoff: { base: 1, jitter: { propotional: 1 } } } }, "Did you mean proportional?"],
      [{ hedge: { after: { percentle: 0.5 } } }, "Did you mean percentile?"],
      [{ circuitBreaker: { openDuration: { bose: 1 } } }, "Did you mean base?"],
      [{ circuitBreaker: { tripPolicy: { consecutiv: 1 } } }, "Did you mean consecutive?"]
    ]
    return Effect.forEach(rows, ([options, expected]) => {
      const wrong = { name: "x", ...options } as Pipeline.Description
      assert.throws(() => Pipeline.make<Pipeline.Description>(wrong), RangeError)
      return Effect.map(
        Effect.flip(PipelineDescription.decode(wrong)),
        ({ message }) => assert.include(message, expected)
      )
    })
  })

  it.effect("is an error where the types were told otherwise", () =>
    Effect.gen(function*() {
      const wrong: Pipeline.Description = JSON.parse(`{ "name": "x", "bulkhaed": { "permits": 1 } }`)
      assert.throws(() => Pipeline.make(wrong), /bulkhaed/)
      assert.throws(() => PipelineRegistry.make([wrong]), /bulkhaed/)
      const pipeline = yield* Pipeline.make<Pipeline.Description>({ name: "x" })
      assert.throws(() => pipeline.reload(wrong), /bulkhaed/)
    }))

  it.effect("is none where it is undefined", () =>
    Effect.gen(function*() {
      const absent: Pipeline.Description = { name: "x", ...JSON.parse("{}"), retry: undefined }
      const pipeline = yield* Pipeline.make(absent)
      assert.strictEqual(yield* pipeline.execute(Effect.succeed(1)), 1)
    }))
})
