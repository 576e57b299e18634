import { ErrorName } from "@effect-resilience/kernel"
import { TableUploads } from "@effect-resilience/tbm-studio"
import { UploadSource } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as UploaderGroup from "../src/internal/uploaderGroup.ts"

const uploadTo = (table: string) =>
  TableUploads.make({ source: UploadSource.bytes("gl.csv", "a\n"), project: "Costs", table, period: "January:2024" })

/** A group of two, of which the first has waited, and was interrupted. */
const interrupted = Effect.gen(function*() {
  const [first, second] = [yield* uploadTo("first"), yield* uploadTo("second")]
  const group = yield* UploaderGroup.make([first, second], 1)
  const processed: Array<string> = []
  const join = (upload: TableUploads.TableUpload, uploadId: string) =>
    group.join({ upload, uploadId, fileName: "gl.csv", save: Effect.void }, {
      start: (members) =>
        Effect.sync(() => {
          processed.push(...members.map(({ uploadId }) => uploadId))
          return "a process"
        }),
      outcome: () => Effect.void
    })
  const waiting = yield* Effect.forkChild(join(first, "aborted"))
  yield* Effect.yieldNow
  yield* Fiber.interrupt(waiting)
  return { first, join, leave: group.leave, processed, second }
})

describe("a group of uploads", () => {
  it.effect("is processed with the file that was sent last, where one is sent again while it waits", () =>
    Effect.gen(function*() {
      const { first, join, processed, second } = yield* interrupted
      const other = yield* Effect.forkChild(join(second, "second"))
      yield* Effect.yieldNow
      assert.deepStrictEqual(processed, [])
      yield* join(first, "first")
      yield* Fiber.join(other)
      assert.deepStrictEqual(processed.toSorted(), ["first", "second"])
    }).pipe(Effect.scoped))

  it.effect("is not processed without a file that was given up while it waited", () =>
    Effect.gen(function*() {
      const { first, join, leave, processed, second } = yield* interrupted
      yield* leave(first, false)
      const error = yield* Effect.flip(join(second, "second"))
      assert.strictEqual(ErrorName.fullNameOf(error), "UploaderError/GroupNotProcessed")
      assert.deepStrictEqual(processed, [])
    }).pipe(Effect.scoped))
})
