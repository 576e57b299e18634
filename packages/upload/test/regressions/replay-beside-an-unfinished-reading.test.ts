import { Uploader, UploadSource, type UploadTarget } from "@effect-resilience/upload"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"

// An early 401 leaves the first reading of the body hanging in the transport while the replay reads it again. The replay
// was taken for incomplete, and an upload that had been stored was sent once more.
it.live("takes a replay for complete although the previous reading never ended", () =>
  Effect.gen(function*() {
    let sends = 0
    const target: UploadTarget.UploadTarget<string, string> = {
      method: "PUT",
      operation: () => ({ name: "put", endpoint: "/x" }),
      source: (text) =>
        UploadSource.stream("note.txt", {
          size: text.length,
          stream: Stream.fromIterable(text.split("").map((char) => new TextEncoder().encode(char)))
        }),
      key: undefined,
      digests: ["md5"],
      send: (_, payload) =>
        Effect.scoped(Effect.gen(function*() {
          sends++
          const reading = yield* Deferred.make<void>()
          yield* payload.stream.pipe(
            Stream.runForEach(() => Effect.andThen(Deferred.succeed(reading, undefined), Effect.never)),
            Effect.forkScoped
          )
          yield* Deferred.await(reading)
          yield* Stream.runDrain(payload.stream)
          const { md5 } = yield* payload.sent
          return { receipt: "stored", stored: { md5 } }
        }))
    }
    const report = yield* Uploader.upload(target, "hello world")
    assert.strictEqual(sends, 1)
    assert.strictEqual(report.attempts, 1)
    assert.isTrue(report.verified)
  }))
