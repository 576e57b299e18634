import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as BatchRunner from "../../src/internal/batchRunner.ts"

// A stream without an end, each item of which has a key of its own and fails, was remembered key by key.
it.effect(
  "holds back what follows a failure at its key, but not after 200,000 others have failed",
  () =>
    Effect.gen(function*() {
      const lastAfter = Effect.fnUntraced(function*(others: number) {
        let last = ""
        yield* BatchRunner.run(
          Stream.range(0, others).pipe(Stream.map((i) => i === others ? "0" : `${i}`)),
          { concurrency: 1 },
          {
            key: (item) => item,
            idempotent: () => true,
            upload: () => Effect.fail("rejected"),
            endsBatch: (_): _ is never => false
          },
          ({ _tag }) => Effect.sync(() => last = _tag)
        )
        return last
      })
      assert.strictEqual(yield* lastAfter(1_001), "NotStarted")
      assert.strictEqual(yield* lastAfter(200_001), "Failed")
    })
)
