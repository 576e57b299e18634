import { ApiError, Recovery } from "@effect-resilience/errors"
import { ErrorMapping, SendProgress } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Schema, Stream } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

const url = "https://api.example.com/orders"

/** A request that reaches each stage at its second; then nothing more happens. */
const reaching = (stages: ReadonlyArray<readonly [second: number, reached: SendProgress.Source["reached"]]>) =>
  HttpClient.make(() =>
    Effect.flatMap(SendProgress.Current, (progress) => {
      const source: { reached: SendProgress.Source["reached"] } = { reached: "nothing" }
      progress?.follow(source)
      return stages.reduceRight<Effect.Effect<never>>(
        (then, [second, reached], i) =>
          Effect.andThen(
            Effect.delay(
              Effect.sync(() => void (source.reached = reached)),
              Duration.seconds(second - (stages[i - 1]?.[0] ?? 0))
            ),
            then
          ),
        Effect.never
      )
    })
  )

const timeoutOf = (error: unknown) => {
  const reason = error instanceof ApiError.ApiError ? error.reason : undefined
  const timeout = reason?._tag === "OutcomeUnknown" ? reason.failure : reason
  return timeout?._tag === "Timeout"
    ? `${reason?._tag} ${timeout.phase} ${Duration.toSeconds(timeout.timeout)}`
    : `no timeout: ${reason?._tag}`
}

/** How a POST fails, and after how many seconds. */
const failing = (self: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("5 minutes")
    const fiber = yield* Effect.forkChild(Effect.flip(self))
    let seconds = 0
    for (; fiber.pollUnsafe() === undefined && seconds < 1_000; seconds++) yield* TestClock.adjust("1 second")
    return `${timeoutOf(yield* Fiber.join(fiber))} at ${seconds}`
  })

const limits = { connect: "5 seconds", firstByte: "20 seconds", idle: "2 seconds", timeout: "30 seconds" } as const

describe("the limits of an attempt", () => {
  const posts: ReadonlyArray<readonly [name: string, transport: HttpClient.HttpClient, expected: string]> = [
    ["waits for a connection", reaching([]), "Timeout connect 5 at 5"],
    ["is connected late, and nothing leaves", reaching([[4, "connected"]]), "Timeout send 20 at 20"],
    ["gets no response", reaching([[4, "connected"], [6, "all"]]), "OutcomeUnknown response 20 at 20"],
    ["says nothing of its progress", HttpClient.make(() => Effect.never), "OutcomeUnknown response 20 at 20"]
  ]
  for (const [name, transport, expected] of posts) {
    it.effect(`a POST that ${name} fails with ${expected}`, () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* failing(ErrorMapping.mapErrors(transport, limits).post(url)), expected)
      }))
  }

  const dripping = (type: string, everySeconds: number) =>
    HttpClient.make((request) =>
      Effect.sync(() => {
        const carrier = HttpClientResponse.fromWeb(request, new Response(null, { headers: { "content-type": type } }))
        const stream = Stream.concat(
          Stream.mapEffect(
            Stream.range(1, 3),
            () => Effect.delay(Effect.succeed(new Uint8Array(1)), Duration.seconds(everySeconds))
          ),
          Stream.never
        )
        return Object.create(carrier, { stream: { value: stream } }) as HttpClientResponse.HttpClientResponse
      })
    )
  const reads: {
    readonly [name: string]: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<unknown, unknown>
  } = {
    text: (response) => response.text,
    json: (response) => response.json,
    arrayBuffer: (response) => response.arrayBuffer,
    stream: (response) => Stream.runDrain(response.stream),
    schemaBodyJson: HttpClientResponse.schemaBodyJson(Schema.Unknown)
  }
  for (const [name, read] of Object.entries(reads)) {
    for (const type of ["application/json", "text/plain"]) {
      it.effect(`${name} of ${type} fails two seconds after the last piece`, () =>
        Effect.gen(function*() {
          const client = ErrorMapping.mapErrors(dripping(type, 1), limits)
          assert.strictEqual(yield* failing(Effect.flatMap(client.get(url), read)), "Timeout body 2 at 5")
        }))
    }
  }

  it.effect("an attempt that reads its body is over after its time, however it drips", () =>
    Effect.gen(function*() {
      const client = ErrorMapping.mapErrors(dripping("application/json", 1), { ...limits, timeout: "2 seconds" })
      assert.strictEqual(yield* failing(client.get(url)), "Timeout attempt 2 at 2")
    }))
})

const ways: {
  readonly [name: string]: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<unknown, unknown>
} = {
  text: (response) => response.text,
  json: (response) => response.json,
  arrayBuffer: (response) => response.arrayBuffer,
  urlParamsBody: (response) => response.urlParamsBody,
  formData: (response) => response.formData,
  stream: (response) => Stream.runDrain(response.stream)
}

describe("a body shorter than its Content-Length", () => {
  const short = (headers: Record<string, string>) =>
    ErrorMapping.mapErrors(
      HttpClient.make((request) =>
        Effect.sync(() =>
          HttpClientResponse.fromWeb(
            request,
            new Response("\"ten bytes", { headers: { "content-length": "20", ...headers } })
          )
        )
      )
    )
  for (const [name, read] of Object.entries(ways)) {
    for (const type of ["application/json", "text/plain"]) {
      it.effect(`fails ${name} of ${type}`, () =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(Effect.flatMap(short({ "content-type": type }).get(url), read))
          assert.instanceOf(error, ApiError.ApiError)
          assert.include(error.message, "the connection broke after 10 of 20 bytes")
        }))
    }
  }

  it.effect("is right where fetch has unpacked it, or where it was not asked for", () =>
    Effect.gen(function*() {
      const packed = yield* short({ "content-encoding": "gzip" }).get(url)
      assert.strictEqual(yield* packed.text, "\"ten bytes")
      yield* short({ "content-type": "application/json" }).head(url)
    }))
})

describe("a body whose reading fails without a code, as in browsers", () => {
  // Of Chromium, Firefox and Safari.
  const messages = ["network error", "Error in input stream", "Load failed"]
  const breaking = (message: string, headers: Record<string, string>) =>
    ErrorMapping.mapErrors(
      HttpClient.make((request) =>
        Effect.sync(() =>
          HttpClientResponse.fromWeb(
            request,
            new Response(
              new ReadableStream({
                start: (controller) => controller.enqueue(new TextEncoder().encode("[1,")),
                pull: (controller) => controller.error(new TypeError(message))
              }),
              { headers }
            )
          )
        )
      )
    )

  for (const [name, read] of Object.entries(ways)) {
    it.effect(`broke off, so that ${name} of a GET may be asked for again`, () =>
      Effect.gen(function*() {
        for (const message of messages) {
          for (const type of ["application/json", "text/plain"]) {
            for (const length of [{}, { "content-length": "20" }]) {
              const client = breaking(message, { "content-type": type, ...length })
              const error = yield* Effect.flip(Effect.flatMap(client.get(url), read))
              assert.include(String(error), "the connection broke")
              assert.strictEqual(Recovery.of(error)._tag, "Retry")
            }
          }
        }
      }))
  }
})
