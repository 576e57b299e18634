import { ApiError } from "@effect-resilience/errors"
import { RetryPolicy } from "@effect-resilience/retry"
import { Uploader, UploadSource } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Targets from "./Targets.ts"

const chunks = Stream.fromIterable(Array.from({ length: 10 }, () => new Uint8Array(10))).pipe(Stream.rechunk(1))

const source = () => UploadSource.stream("a.bin", { size: 100, stream: chunks })

const failing = Effect.fnUntraced(function*(
  send: ReturnType<typeof Targets.make<never>>["send"],
  idempotent: boolean
) {
  const fiber = yield* Effect.forkChild(
    Uploader.upload({ ...Targets.make(), source, send }, { name: "a", idempotent }, {
      policy: RetryPolicy.noop,
      stallTimeout: "30 seconds",
      responseTimeout: "2 minutes"
    }).pipe(
      Effect.flip,
      Effect.flatMap((error) => Effect.map(Clock.currentTimeMillis, (at) => ({ error, at })))
    )
  )
  yield* TestClock.adjust("1 hour")
  const { at, error } = yield* Fiber.join(fiber)
  assert.isTrue(error instanceof ApiError.ApiError)
  const reason = error.reason as ApiError.Reason
  const timeout = reason._tag === "OutcomeUnknown" ? reason.failure : reason
  return { at, unknown: reason._tag === "OutcomeUnknown", phase: timeout._tag === "Timeout" && timeout.phase }
})

describe("Uploader's timers", () => {
  for (const idempotent of [true, false]) {
    it.effect(`call a body stalled after 30 s without a byte; the outcome is known, idempotent: ${idempotent}`, () =>
      Effect.gen(function*() {
        const result = yield* failing((_, payload) =>
          Effect.andThen(
            Stream.runForEach(Stream.take(payload.stream, 3), () => Effect.sleep("20 seconds")),
            Effect.never
          ), idempotent)
        assert.deepStrictEqual(result, { at: 70_000, unknown: false, phase: "send" })
      }))

    it.effect(`give the response its own time after the last byte, idempotent: ${idempotent}`, () =>
      Effect.gen(function*() {
        const result = yield* failing((_, payload) =>
          Effect.andThen(
            Stream.runForEach(payload.stream, () => Effect.sleep("29 seconds")),
            Effect.never
          ), idempotent)
        assert.deepStrictEqual(result, { at: 10 * 29_000 + 120_000, unknown: !idempotent, phase: "response" })
      }))
  }

  it.effect("call a source stalled that yields nothing", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.flip(Uploader.upload(
        {
          ...Targets.make(),
          source: () => UploadSource.stream("a.bin", { stream: Stream.concat(chunks, Stream.never) })
        },
        { name: "a" },
        { policy: RetryPolicy.noop }
      )))
      yield* TestClock.adjust("30 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag, "Timeout")
    }))

  it.effect("watch the response where a body may stall for ever", () =>
    Effect.gen(function*() {
      const target = Targets.make((_, payload) =>
        Effect.andThen(Stream.runForEach(payload.stream, () => Effect.sleep("1 hour")), Effect.never)
      )
      const fiber = yield* Effect.forkChild(Effect.flip(Uploader.upload({ ...target, source }, { name: "a" }, {
        policy: RetryPolicy.noop,
        stallTimeout: Infinity,
        responseTimeout: "1 minute"
      })))
      yield* TestClock.adjust("9 hours")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "Timeout")
    }))

  it.effect("do not run while nothing is sent yet, as during a login", () =>
    Effect.gen(function*() {
      const target = Targets.make(() => Effect.sleep("20 minutes"))
      const fiber = yield* Effect.forkChild(Uploader.upload(target, { name: "a" }))
      yield* TestClock.adjust("20 minutes")
      assert.strictEqual((yield* Fiber.join(fiber)).receipt, "a")
    }))

  const paced = Effect.fnUntraced(function*(size: number, millis: (pieces: ReadonlyArray<number>) => number) {
    const pieces: Array<number> = []
    const fiber = yield* Effect.forkChild(Uploader.upload(
      {
        ...Targets.make((_, payload) =>
          Stream.runForEach(payload.stream, (piece) => {
            pieces.push(piece.length)
            return Effect.sleep(millis(pieces))
          })
        ),
        source: () => UploadSource.bytes("a.bin", new Uint8Array(size))
      },
      { name: "a" },
      { policy: RetryPolicy.noop }
    ))
    yield* TestClock.adjust("1 day")
    yield* Fiber.join(fiber)
    return pieces
  })

  it.effect("let a line be slow on which bytes still move", () =>
    Effect.gen(function*() {
      const pieces = yield* paced(2_000_000, (pieces) => (pieces.at(-1) ?? 0) / 3)
      assert.strictEqual(Math.max(...pieces), 65_536)
    }))

  it.effect("hand out larger pieces the faster the line is, and small ones again when it slows down", () =>
    Effect.gen(function*() {
      const pieces = yield* paced(300_000_000, ({ length }) => length < 60 ? 99 : length < 65 ? 1_001 : 0)
      assert.deepStrictEqual(pieces.slice(0, 3), [1, 2, 3].map((n) => n * 65_536))
      assert.strictEqual(Math.max(...pieces), 3_145_728)
      assert.deepStrictEqual(pieces.slice(48, 60), Array(12).fill(3_145_728))
      assert.deepStrictEqual(pieces.slice(60, 67), [1, 1, 1, 1, 1, 2, 3].map((n) => n * 65_536))
    }))
})
