import { type ApiError, Recovery } from "@effect-resilience/errors"
import { ErrorMapping, KeptResponse, Operation } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Exit, Fiber } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

const responding = (options: ErrorMapping.Options, ...bodies: ReadonlyArray<BodyInit | null>) => {
  let requests = 0
  return ErrorMapping.mapErrors(
    HttpClient.make((request) =>
      Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(bodies[requests++] ?? null, { status: 503 })))
    ),
    options
  )
}

const send = (client: HttpClient.HttpClient.With<ApiError.ApiError>) =>
  Operation.within(client.post("https://api.example.com/orders"), { name: "order", endpoint: "/orders" })

/** A body of 4 KiB pieces that tells when it is given up. */
const long = (pieces: number, end: "ends" | "hangs" = "ends") => {
  const body = { cancelled: false, stream: new ReadableStream<Uint8Array>() }
  let sent = 0
  body.stream = new ReadableStream({
    pull: (controller) => {
      if (sent++ < pieces) controller.enqueue(new Uint8Array(4_096).fill(97))
      else if (end === "ends") controller.close()
      return sent > pieces && end === "hangs" ? new Promise(() => {}) : undefined
    },
    cancel: () => {
      body.cancelled = true
    }
  })
  return body
}

describe("KeptResponse", () => {
  it.effect("gives back a response whose body is longer than what an attempt reads", () =>
    Effect.gen(function*() {
      const body = long(700)
      const response = yield* KeptResponse.keeping((kept) =>
        Effect.catch(send(responding({}, body.stream)), (error) => kept.insteadOf(error) ?? Effect.fail(error))
      )
      assert.strictEqual(response.status, 503)
      assert.strictEqual((yield* response.text).length, 700 * 4_096)
      assert.isFalse(body.cancelled)
    }))

  it.effect("releases what the caller does not get: an earlier response, and that of a call that fails otherwise", () =>
    Effect.gen(function*() {
      const [first, second] = [long(700), long(700)]
      const client = responding({}, first.stream, second.stream)
      const failed = KeptResponse.keeping(() => Effect.andThen(Effect.exit(send(client)), send(client)))
      const error = yield* Effect.flip(failed)
      assert.strictEqual(error._tag, "ApiError")
      assert.deepStrictEqual([first.cancelled, second.cancelled], [true, true])
    }))

  it.effect("keeps the error as it is, with the detail of the body", () =>
    Effect.gen(function*() {
      const detail = (self: Effect.Effect<unknown, ApiError.ApiError>) =>
        Effect.map(Effect.flip(self), (e) => e.message)
      const message = yield* detail(KeptResponse.keeping(() => send(responding({}, `{"message":"Sold out"}`))))
      assert.strictEqual(message, yield* detail(send(responding({}, `{"message":"Sold out"}`))))
      assert.include(message, "Sold out")
    }))

  it.effect("waits at most 5 seconds for a body, whose reader gets what comes later, and no more after a silence", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(86_400_000)
      for (const ending of ["ends", "hangs"] as const) {
        const body = { push: (_: string) => {}, end: () => {}, cancelled: false }
        const stream = new ReadableStream({
          start: (controller) => {
            body.push = (text) => controller.enqueue(new TextEncoder().encode(text))
            body.end = () => controller.close()
          },
          cancel: () => {
            body.cancelled = true
          }
        })
        const call = KeptResponse.keeping((kept) =>
          Effect.catch(
            send(responding({ idle: "10 seconds" }, stream)),
            (error) => kept.insteadOf(error) ?? Effect.fail(error)
          )
        )
        body.push("abc")
        const fiber = yield* Effect.forkChild(call)
        yield* TestClock.adjust("5 seconds")
        const response = yield* Fiber.join(fiber)
        const reading = yield* Effect.forkChild(Effect.exit(response.text), { startImmediately: true })
        yield* TestClock.adjust("9 seconds")
        body.push("def")
        yield* TestClock.adjust("9 seconds")
        if (ending === "ends") body.end()
        yield* TestClock.adjust("1 seconds")
        const exit = yield* Fiber.join(reading)
        if (ending === "ends") assert.deepStrictEqual(exit, Exit.succeed("abcdef"))
        else assert.include(String(exit), "within 10 seconds")
        assert.strictEqual(body.cancelled, ending === "hangs")
      }
    }))

  it.effect("gives up a rest that nothing asks for", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(86_400_000)
      const body = long(700)
      const response = yield* KeptResponse.keeping((kept) =>
        Effect.catch(send(responding({ idle: "10 seconds" }, body.stream)), (error) =>
          kept.insteadOf(error) ?? Effect.fail(error))
      )
      yield* TestClock.adjust("9999 millis")
      assert.isFalse(body.cancelled)
      yield* TestClock.adjust("1 millis")
      assert.isTrue(body.cancelled)
      assert.include(String(yield* Effect.flip(response.text)), "within 10 seconds")
    }))

  it.effect("says of a body that broke off why, whenever that is read", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(86_400_000)
      const broken = new ReadableStream({
        start: (controller) => controller.enqueue(new TextEncoder().encode("abc")),
        pull: (controller) => controller.error(new Error("gone"))
      })
      const response = yield* KeptResponse.keeping((kept) =>
        Effect.catch(send(responding({ idle: "10 seconds" }, broken)), (error) =>
          kept.insteadOf(error) ?? Effect.fail(error))
      )
      yield* TestClock.adjust("1 minute")
      const failure = String(yield* Effect.flip(response.text))
      assert.include(failure, "broke off")
      assert.notInclude(failure, "within 10 seconds")
    }))

  it.effect("an error that the response declares decides what to do, and makes the outcome of a POST known", () =>
    Effect.gen(function*() {
      class Busy extends Data.TaggedError("Busy") {
        [Recovery.symbol]() {
          return Recovery.retryAs("overloaded", "3 seconds")
        }
      }
      const judge = (declared: unknown) =>
        Effect.flip(
          KeptResponse.keeping(() => send(responding({}, "{}")), { declared: () => Effect.succeed(declared) })
        )
      assert.deepStrictEqual(Recovery.of(yield* judge(new Busy())), Recovery.retryAs("overloaded", "3 seconds"))
      assert.deepStrictEqual(Recovery.of(yield* judge({ _tag: "Other" })), Recovery.verify)
    }))
})
