// Tests retries, verification and progress of an upload with no socket at all: the target is a plain value.
import { ApiError } from "@effect-resilience/errors"
import { Progress, Uploader, UploadSource, type UploadTarget } from "@effect-resilience/upload"
import { Effect, Fiber, Ref, Stream } from "effect"
import { TestClock } from "effect/testing"
import assert from "node:assert/strict"

const busy = new ApiError.ApiError({
  method: "PUT",
  endpoint: "/blobs/{name}",
  reason: ApiError.reasonFromStatus(503)
})

const makeTarget = Effect.map(
  Ref.make(0),
  (calls): UploadTarget.UploadTarget<string, string, ApiError.ApiError> => ({
    method: "PUT",
    operation: () => ({ name: "put blob", endpoint: "/blobs/{name}" }),
    source: (text) => UploadSource.bytes("note.txt", text),
    key: undefined,
    digests: ["md5"],
    send: (_, payload) =>
      Effect.gen(function*() {
        if ((yield* Ref.updateAndGet(calls, (n) => n + 1)) <= 2) return yield* Effect.fail(busy)
        yield* Stream.runDrain(payload.stream)
        const { md5 } = yield* payload.sent
        return { receipt: "stored", stored: { md5 } }
      })
  })
)

const test = Effect.gen(function*() {
  const seen = yield* Ref.make(Progress.initial)
  const uploading = yield* Effect.forkChild(
    Uploader.upload(yield* makeTarget, "hello world", {
      onEvent: (event) => Ref.update(seen, (progress) => Progress.step(progress, event))
    })
  )
  yield* TestClock.adjust("1 minute")
  const report = yield* Fiber.join(uploading)
  assert.equal(report.attempts, 3)
  assert.equal(report.verified, true)
  assert.equal(Progress.fraction(yield* Ref.get(seen)), 1)
  return report
})

const report = await Effect.runPromise(Effect.provide(test, TestClock.layer()))
console.log(`${report.attempts} attempts in ${report.durationMillis} virtual ms`)
