import { Bytes } from "@effect-resilience/kernel"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"

const chunks = (...sizes: ReadonlyArray<number>) => sizes.map((size, i) => new Uint8Array(size).fill(i + 1))

describe("Bytes.readAtMost", () => {
  it.effect("reads no chunk after the one that goes beyond", () =>
    Effect.gen(function*() {
      let pulled = 0
      const body = Stream.fromIterable(chunks(2, 2, 2, 2)).pipe(
        Stream.rechunk(1),
        Stream.tap(() =>
          Effect.sync(() => {
            pulled++
          })
        )
      )
      assert.deepStrictEqual(yield* Bytes.readAtMost(body, 3), { bytes: Uint8Array.of(1, 1, 2), truncated: true })
      assert.strictEqual(pulled, 2)
    }))

  it.effect("knows that a body of just that length is whole, and reads each time anew", () =>
    Effect.gen(function*() {
      const read = Bytes.readAtMost(Stream.fromIterable(chunks(1, 2)), 3)
      const whole = { bytes: Uint8Array.of(1, 2, 2), truncated: false }
      assert.deepStrictEqual([yield* read, yield* read], [whole, whole])
      assert.deepStrictEqual(yield* Bytes.readAtMost(Stream.empty, 3), { bytes: new Uint8Array(0), truncated: false })
    }))

  it.effect("fails as the body does", () =>
    Effect.gen(function*() {
      const body = Stream.concat(Stream.fromIterable(chunks(1)), Stream.fail("broken off"))
      assert.strictEqual(yield* Effect.flip(Bytes.readAtMost(body, 3)), "broken off")
    }))
})

describe("Bytes.discard", () => {
  it.effect("waits a second for a body that does not end, and takes any end", () =>
    Effect.gen(function*() {
      const waiting = yield* Effect.forkChild(Bytes.discard(Stream.never), { startImmediately: true })
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(waiting)
      yield* Bytes.discard(Stream.fail("broken off"))
    }))

  it.effect("reads no more than 64 KiB of a body that is large", () =>
    Effect.gen(function*() {
      let pulled = 0
      yield* Bytes.discard(Stream.fromEffectRepeat(Effect.sync(() => {
        pulled++
        return new Uint8Array(32_768)
      })))
      assert.strictEqual(pulled, 3)
    }))
})

describe("Bytes.counted", () => {
  it.effect("counts what passes and changes nothing", () =>
    Effect.gen(function*() {
      const counts: Array<number> = []
      const parts = chunks(3, 0, 4)
      const seen = yield* Stream.runCollect(Bytes.counted(Stream.fromArray(parts), (count) => counts.push(count)))
      assert.deepStrictEqual(Array.from(seen), parts)
      assert.deepStrictEqual(counts, [7])
    }))
})

describe("Bytes.concat", () => {
  it("joins chunks, and cuts the last one", () => {
    assert.deepStrictEqual(Bytes.concat(chunks(1, 2, 3), 6), Uint8Array.of(1, 2, 2, 3, 3, 3))
    assert.deepStrictEqual(Bytes.concat(chunks(1, 2, 3), 2), Uint8Array.of(1, 2))
  })
})
