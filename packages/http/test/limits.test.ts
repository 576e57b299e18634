import { ApiError, Recovery } from "@effect-resilience/errors"
import { ErrorMapping, Redirects, SendProgress } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Schema, Stream } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

const url = "https://api.example.com/orders"

type Stages = ReadonlyArray<readonly [second: number, reached: SendProgress.Source["reached"]]>

/** A request that reaches each stage at its second; then nothing more happens. */
const reaching = (stages: Stages, abort?: (cause: Error) => void) =>
  HttpClient.make(() =>
    Effect.flatMap(SendProgress.Current, (progress) => {
      const source: { reached: SendProgress.Source["reached"]; abort: SendProgress.Source["abort"] } = {
        reached: "nothing",
        abort
      }
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

  const abortable = (stages: Stages) => {
    const transport = HttpClient.make((request) =>
      Effect.callback<never, HttpClientError.HttpClientError>((resume) => {
        const abort = (cause: Error) =>
          resume(
            Effect.fail(
              new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
            )
          )
        const reached = reaching(stages, abort).postprocess(Effect.succeed(request))
        const running = Effect.runForkWith(Fiber.getCurrent()?.context ?? Context.empty())(reached)
        return Fiber.interrupt(running)
      })
    )
    return SendProgress.reporting(transport, { aborts: ({ method }) => method === "POST" })
  }
  const byStage: ReadonlyArray<readonly [stages: Stages, expected: string]> = [
    [[], "Timeout connect 5 at 5"],
    [[[4, "connected"]], "Timeout send 20 at 20"],
    [[[4, "connected"], [6, "all"]], "OutcomeUnknown response 20 at 20"]
  ]
  for (const [stages, expected] of byStage) {
    it.effect(`a POST that can be aborted fails with ${expected}, also behind redirects`, () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* failing(ErrorMapping.mapErrors(abortable(stages), limits).post(url)), expected)
        const following = ErrorMapping.mapErrors(Redirects.follow(abortable(stages)), limits)
        assert.strictEqual(yield* failing(following.post(url)), expected)
        assert.deepStrictEqual(SendProgress.promisesOf(following), undefined)
      }))
  }

  it.effect("a request that a transport does not promise to abort has a fiber for that", () =>
    Effect.gen(function*() {
      const client = ErrorMapping.mapErrors(abortable([]), limits)
      assert.strictEqual(yield* failing(client.get(url)), "Timeout connect 5 at 5")
    }))

  it.effect("a request that follows one that was aborted is aborted at once", () =>
    Effect.sync(() => {
      const progress = new SendProgress.SendProgress()
      const causes: Array<string> = []
      const follow = () => progress.follow({ reached: "all", abort: ({ message }) => causes.push(message) })
      follow()
      progress.abort(new Error("late"))
      follow()
      assert.deepStrictEqual(causes, ["late", "late"])
    }))

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

  it.effect("the limit between two pieces counts in an attempt that reads its body, whatever else is limited", () =>
    Effect.gen(function*() {
      for (const others of [{}, { timeout: "30 seconds" }, { firstByte: "20 seconds" }] as const) {
        const client = ErrorMapping.mapErrors(dripping("application/json", 1), { ...others, idle: "2 seconds" })
        assert.strictEqual(yield* failing(client.get(url)), "Timeout body 2 at 5")
      }
    }))

  it.effect("the text of an error is waited for no longer than an attempt may take, and its status stays", () =>
    Effect.gen(function*() {
      const busy = HttpClient.make((request) =>
        Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(new ReadableStream(), { status: 503 })))
      )
      for (const [timeout, seconds] of [["2 seconds", 2], ["30 seconds", 5]] as const) {
        const client = ErrorMapping.mapErrors(busy, { timeout })
        assert.strictEqual(yield* failing(client.get(url)), `no timeout: ServiceUnavailable at ${seconds}`)
      }
    }))

  it.effect("an interrupted request that can be aborted leaves no timer behind", () =>
    Effect.gen(function*() {
      let aborts = 0
      const hanging = SendProgress.reporting(reaching([], () => aborts++), { aborts: () => true })
      const call = yield* Effect.forkChild(ErrorMapping.mapErrors(hanging, limits).post(url))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(call)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(aborts, 0)
    }))

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
          assert.include(error.message, "got a response that broke off: the connection broke after 10 of 20 bytes")
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
