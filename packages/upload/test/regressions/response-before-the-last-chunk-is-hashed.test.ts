import { Hashing, Uploader, UploadSource, type UploadTarget } from "@effect-resilience/upload"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { createHash } from "node:crypto"

const text = "0123456789".repeat(400_000)

/** Hashes late, as one does that waits for others. */
const slow: Hashing.Hashing = {
  start: (algorithms) =>
    Effect.map(Hashing.portable.start(algorithms), (hasher) => ({
      ...hasher,
      update: (chunk) =>
        Effect.andThen(Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow), hasher.update(chunk))
    }))
}

for (
  const [when, interrupted] of [["still asks for more", false], [
    "is interrupted while it asks for more",
    true
  ]] as const
) {
  it.effect(`hashes the last chunk where the response comes while the reader ${when}`, () =>
    Effect.gen(function*() {
      const target: UploadTarget.UploadTarget<string, string> = {
        method: "PUT",
        operation: () => ({ name: "put", endpoint: "/x" }),
        source: (text) =>
          UploadSource.stream("gl.csv", {
            size: text.length,
            stream: Stream.rechunk(Stream.encodeText(Stream.make(text.slice(0, 2_500_000), text.slice(2_500_000))), 1)
          }),
        key: undefined,
        digests: ["md5"],
        send: Effect.fnUntraced(function*(_, { sent, stream }) {
          const whole = yield* Deferred.make<void>()
          let bytes = 0
          const reader = yield* Effect.forkChild(
            Stream.runForEach(stream, (chunk) =>
              (bytes += chunk.length) === text.length ? Deferred.succeed(whole, undefined) : Effect.void)
          )
          yield* Deferred.await(whole)
          yield* Effect.yieldNow
          yield* Effect.yieldNow
          if (interrupted) {
            yield* Fiber.interrupt(reader)
          }
          yield* sent
          return { receipt: "stored" }
        }, Effect.scoped)
      }
      const { digests } = yield* Uploader.upload(target, text)
      assert.strictEqual(digests.md5, createHash("md5").update(text).digest("hex"))
    }).pipe(Effect.provideService(Hashing.Current, slow)))
}
