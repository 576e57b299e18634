import { ErrorMapping, ResponseLifetime } from "@effect-resilience/http"
import { CircuitBreaker, ConcurrencyLimit } from "@effect-resilience/limit"
import { Hedge } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Stream } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

const url = "https://api.example.com/report"

interface Server {
  readonly headersAfter: Duration.Input
  readonly pieceAfter?: Duration.Input
  readonly breaks?: boolean
}

/** Eight pieces, more than are read before they are asked for. */
const serving = ({ breaks = false, headersAfter, pieceAfter = 0 }: Server) =>
  HttpClient.make((request) =>
    Effect.delay(
      Effect.sync(() => {
        const carrier = HttpClientResponse.fromWeb(request, new Response(null, { status: 200 }))
        const pieces = Stream.mapEffect(
          Stream.range(1, 8),
          () => Effect.as(Effect.sleep(pieceAfter), new Uint8Array(32_768))
        )
        const cause = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })
        const reason = new HttpClientError.DecodeError({ request, response: carrier, cause })
        const end = breaks ? Stream.fail(new HttpClientError.HttpClientError({ reason })) : Stream.empty
        return Object.create(carrier, { stream: { value: Stream.concat(pieces, end) } }) as typeof carrier
      }),
      headersAfter
    )
  )

interface Wrap {
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, unknown, R>
}

const client = (server: Server, policies: Wrap) =>
  serving(server).pipe(
    ErrorMapping.mapErrors({ idle: "1 minute" }),
    ResponseLifetime.attempts,
    HttpClient.transformResponse(policies),
    HttpClient.transformResponse(ResponseLifetime.judgedToEnd)
  )

type Read = (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<unknown, unknown>

const slowly: Read = ({ stream }) => Stream.runForEach(stream, () => Effect.sleep("10 seconds"))
const atOnce: Read = ({ stream }) => Stream.runDrain(stream)
const whole: Read = ({ arrayBuffer }) => arrayBuffer
const later: Read = (response) => Effect.andThen(Effect.sleep("30 seconds"), atOnce(response))

const call = (server: Server, policies: Wrap, read: Read) =>
  Effect.gen(function*() {
    const calling = yield* Effect.forkChild(Effect.exit(Effect.flatMap(client(server, policies).get(url), read)))
    yield* TestClock.adjust("10 minutes")
    return yield* Fiber.join(calling)
  })

describe("how long a call takes whose response is read as a stream", () => {
  const rows: ReadonlyArray<readonly [name: string, server: Server, read: Read, slow: boolean]> = [
    ["does not count for a reader that takes its time", { headersAfter: "1 second" }, slowly, false],
    ["does not count for a stream that lasts", { headersAfter: "1 second", pieceAfter: "5 seconds" }, atOnce, false],
    ["does not count for a stream that breaks at its end", { headersAfter: "1 second", breaks: true }, slowly, false],
    ["does not count for a response that is read later", { headersAfter: "4950 millis" }, later, false],
    ["counts until the headers", { headersAfter: "6 seconds" }, slowly, true],
    ["counts to the end of what is read whole", { headersAfter: "1 second", pieceAfter: "1 second" }, whole, true]
  ]
  for (const [name, server, read, slow] of rows) {
    it.effect(name, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 days")
        const tripPolicy = CircuitBreaker.slow({ slowerThan: "5 seconds", size: 1 })
        const breaker = yield* CircuitBreaker.make({ tripPolicy, openDuration: "1 hour" })
        yield* call(server, (self) => breaker.execute(self), read)
        assert.strictEqual((yield* breaker.snapshot)._tag, slow ? "Open" : "Closed")
      }))
  }

  it.effect("does not count for a probe, for a percentile of a hedge, and for an adaptive limit", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const tripPolicy = CircuitBreaker.slow({ slowerThan: "5 seconds", size: 1 })
      const breaker = yield* CircuitBreaker.make({ tripPolicy })
      yield* breaker.transitionTo("HalfOpen")
      const hedge = yield* Hedge.make({
        after: { percentile: 0.95, initial: "9 minutes", samples: 4 },
        idempotent: true
      })
      const limit = yield* ConcurrencyLimit.make({ algorithm: { aimd: { timeout: "5 seconds" } } })
      const before = yield* limit.snapshot
      const policies: Wrap = (self) => limit.execute(hedge.execute(breaker.execute(self)))
      for (let calls = 0; calls < 3; calls++) yield* call({ headersAfter: "1 second" }, policies, slowly)
      assert.strictEqual((yield* limit.snapshot).limit, before.limit)
      assert.strictEqual((yield* breaker.snapshot)._tag, "Closed")
      assert.deepStrictEqual((yield* hedge.snapshot).after, Duration.seconds(1))
    }))
})

describe("a hedge around a response that is read", () => {
  for (const [name, read] of Object.entries({ "as a stream": slowly, whole, later })) {
    it.effect(`starts no further attempt while it is read ${name}`, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 days")
        const hedge = yield* Hedge.make({ after: "2 seconds", times: 3, share: 1, idempotent: true })
        const server: Server = { headersAfter: "1 second", pieceAfter: "5 seconds" }
        yield* call(server, (self) => hedge.execute(self), read)
        const { hedges, winners } = yield* hedge.snapshot
        assert.deepStrictEqual([hedges, winners], [0, 0])
      }))
  }
})
