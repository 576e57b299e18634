import {
  Hashing,
  Journal,
  Uploader,
  UploadError,
  UploadPlan,
  UploadSource,
  type UploadTarget
} from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Targets from "./Targets.ts"

describe("Uploader", () => {
  it.effect("streams what happens, from the start to the report", () =>
    Effect.gen(function*() {
      const source = UploadSource.bytes("a.csv", "a;b\n")
      const target = { ...Targets.make(), source: () => source }
      const events = yield* Stream.runCollect(Uploader.events(target, { name: "a" }))
      assert.deepStrictEqual(events.slice(0, -1), [
        { _tag: "Started", source: "a.csv", size: 4 },
        { _tag: "Attempting", attempt: 1 },
        { _tag: "Sending", bytes: 4, size: 4 },
        { _tag: "AwaitingResponse" }
      ])
      assert.deepInclude(events.at(-1), { _tag: "Done" })
      const failing = Uploader.events(Targets.make(() => Effect.fail(Targets.failure(404))), { name: "a" })
      assert.deepInclude(yield* Effect.flip(Stream.runDrain(failing)), { _tag: "ApiError" })
    }))

  it.effect("does not take a body for whole of which nothing was read, or a part", () =>
    Effect.gen(function*() {
      for (const read of [0, 1]) {
        const target = {
          ...Targets.make(),
          source: () =>
            UploadSource.stream("a", {
              size: 2,
              stream: Stream.make(new Uint8Array(1), new Uint8Array(1)).pipe(Stream.rechunk(1))
            }),
          send: (_: Targets.Item, { sent, stream }: UploadTarget.Payload) =>
            Effect.as(Effect.andThen(Stream.runDrain(Stream.take(stream, read)), sent), { receipt: "stored" })
        }
        const error = yield* Effect.flip(Uploader.upload(target, { name: "a", idempotent: false }))
        assert.strictEqual(
          error.message,
          `a was reported as stored after ${read} of 2 bytes, before the end of its body. ` +
            "Check what is stored before uploading it again."
        )
      }
    }))

  it.effect("opens a source again that is busy for a moment, and no other that cannot be opened", () =>
    Effect.gen(function*() {
      for (const [problem, opened] of [["busy", 3], ["failed", 1]] as const) {
        let calls = 0
        const reason = new UploadError.SourceUnreadable({ problem, description: "it is in use" })
        const source = UploadSource.bytes("a", "x")
        const open = Effect.suspend(() =>
          ++calls < 3 ? Effect.fail(new UploadError.UploadError({ source: "a", reason })) : source.open
        )
        const target = { ...Targets.make(), source: () => ({ ...source, open }) }
        const uploading = yield* Effect.forkChild(Effect.result(Uploader.upload(target, { name: "a" })))
        yield* TestClock.adjust("200 millis")
        const { _tag } = yield* Fiber.join(uploading)
        assert.deepStrictEqual([_tag, calls], [problem === "busy" ? "Success" : "Failure", opened])
      }
    }))

  it.effect("leaves an addition in doubt that is interrupted after the server said that it has all of it", () =>
    Effect.gen(function*() {
      const target = {
        ...Targets.make(),
        send: (_: Targets.Item, { accepted, size = 0 }: UploadTarget.Payload) =>
          Effect.andThen(accepted(size), Effect.never)
      }
      const upload = UploadPlan.uploadOnce(target, { name: "a", idempotent: false })
      yield* Fiber.interrupt(yield* Effect.forkChild(upload, { startImmediately: true }))
      const again = yield* Effect.flip(upload)
      assert.strictEqual(again._tag === "UploadError" && again.reason._tag, "InDoubt")
    }).pipe(Effect.provide(Journal.layerMemory)))

  it.effect("takes no number of bytes for a digest that the server confirmed", () =>
    Effect.gen(function*() {
      for (const [digests, verified] of [[[], false], [["md5"], true]] as const) {
        const target = {
          ...Targets.make(),
          digests,
          send: (_: Targets.Item, { sent, stream }: UploadTarget.Payload) =>
            Effect.map(Effect.andThen(Stream.runDrain(stream), sent), (stored) => ({ receipt: "stored", stored }))
        }
        assert.strictEqual((yield* Uploader.upload(target, { name: "a" })).verified, verified)
      }
    }))

  it.effect("tells a hasher how much will come", () =>
    Effect.gen(function*() {
      const sizes: Array<number | undefined> = []
      const hashing: Hashing.Hashing = {
        start: (algorithms, options) => {
          sizes.push(options?.size)
          return Hashing.portable.start(algorithms)
        }
      }
      yield* Uploader.upload(Targets.make(), { name: "a" }).pipe(Effect.provideService(Hashing.Current, hashing))
      assert.deepStrictEqual(sizes, ["content of a".length])
    }))
})
