import { Recovery } from "@effect-resilience/errors"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Hashing, Uploader, UploadSource, type UploadTarget } from "@effect-resilience/upload"
import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import crypto from "node:crypto"

const implementations = { portable: Hashing.portable, native: Hashing.native() ?? Hashing.portable }

for (const [name, hashing] of Object.entries(implementations)) {
  describe(`Hashing (${name})`, () => {
    it.effect.prop(
      "agrees with node:crypto however the bytes are cut",
      [Schema.Array(Schema.Uint8Array)],
      ([chunks]) =>
        Effect.gen(function*() {
          const hasher = yield* hashing.start(["md5", "sha256"])
          for (const chunk of chunks) yield* hasher.update(chunk)
          const whole = Buffer.concat(chunks)
          assert.deepStrictEqual(yield* hasher.digest, {
            md5: crypto.createHash("md5").update(whole).digest("hex"),
            sha256: crypto.createHash("sha256").update(whole).digest("hex")
          })
        })
    )

    it.effect("computes nothing where nothing is requested", () =>
      Effect.gen(function*() {
        const hasher = yield* hashing.start([])
        yield* hasher.update(new Uint8Array(3))
        assert.deepStrictEqual(yield* hasher.digest, {})
      }))
  })
}

it.effect("hashes with the runtime's own module where nothing else is provided", () =>
  Effect.gen(function*() {
    // What the reference has computed for another test says nothing.
    const hashing = Hashing.Current.defaultValue()
    const create = vi.spyOn(crypto, "createHash")
    yield* Effect.addFinalizer(() => Effect.sync(() => create.mockRestore()))
    yield* hashing.start(["md5"])
    assert.strictEqual(create.mock.calls.length, 1)
  }).pipe(Effect.scoped))

describe("A hasher that is lost", () => {
  const lost = Effect.fail(new Hashing.HashingError({ description: "its thread ended" }))
  const working = Hashing.portable.start(["md5"])

  /** The first hasher fails in the given way, each further one works. */
  const failingOnce = (how: Partial<Hashing.Hasher>): Hashing.Hashing => {
    let started = 0
    return {
      start: () => Effect.map(working, (hasher) => started++ === 0 ? { ...hasher, ...how } : hasher)
    }
  }

  const send = (hashing: Hashing.Hashing, idempotent: boolean) => {
    const target: UploadTarget.UploadTarget<string, number> = {
      method: "POST",
      operation: () => ({ name: "send", endpoint: "/x", idempotent }),
      source: (text) => UploadSource.bytes("gl.csv", text.repeat(5_000_000)),
      key: undefined,
      digests: ["md5"],
      send: (_, { sent, stream }) =>
        Stream.runFold(stream, () => 0, (bytes, chunk) => bytes + chunk.length).pipe(
          Effect.flatMap((receipt) => Effect.as(sent, { receipt }))
        )
    }
    return Uploader.upload(target, "a", {
      policy: RetryPolicy.make({ times: 3, backoff: Backoff.immediate })
    }).pipe(Effect.provideService(Hashing.Current, hashing))
  }

  for (
    const [when, how] of [
      ["while bytes are sent", { update: () => lost }],
      ["when its digest is requested", { digest: lost }]
    ] as const
  ) {
    it.effect(`${when} makes an idempotent upload start over`, () =>
      Effect.gen(function*() {
        const report = yield* send(failingOnce(how), true)
        assert.strictEqual(report.attempts, 2)
        assert.strictEqual(report.receipt, 5_000_000)
        assert.strictEqual(report.digests.md5, crypto.createHash("md5").update("a".repeat(5_000_000)).digest("hex"))
      }))

    it.effect(`${when} leaves any other to a person`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(send(failingOnce(how), false))
        assert.strictEqual(Recovery.of(error)._tag, "Verify")
        assert.strictEqual(
          error.message,
          "gl.csv could not be hashed while it was sent: its thread ended. " +
            "Check what is stored before uploading it again."
        )
      }))
  }

  it.effect("is let go of with its upload, however many attempts there were", () =>
    Effect.gen(function*() {
      let alive = 0
      let started = 0
      const hashing: Hashing.Hashing = {
        start: () =>
          Effect.acquireRelease(
            Effect.tap(working, () => Effect.sync(() => alive++)),
            () => Effect.sync(() => alive--)
          ).pipe(Effect.map((hasher) => started++ === 0 ? { ...hasher, digest: lost } : hasher))
      }
      yield* send(hashing, true)
      assert.strictEqual(started, 2)
      assert.strictEqual(alive, 0)
    }))
})
