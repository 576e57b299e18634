import { ErrorMapping, HttpRetry } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { HttpBody, HttpClient, HttpClientError, HttpClientResponse } from "effect/http"

describe("HttpRetry.retry", () => {
  // The second read was longer than what the first had taken, so it passed, and `fetch` sends no length along.
  it.effect("does not send the rest of a body whose beginning went to an attempt that was cut short", () =>
    Effect.gen(function*() {
      const rows = ["a", "b", "c", "d"].map((row) => new TextEncoder().encode(row))
      const source = Stream.unfold(undefined, () =>
        Effect.sync(() => {
          const row = rows.shift()
          return row === undefined ? undefined : [row, undefined] as const
        }))
      let requests = 0
      const stored: Array<number> = []
      const server = HttpClient.make((request) =>
        Effect.gen(function*() {
          const body = request.body._tag === "Stream" ? request.body.stream : Stream.empty
          if (++requests === 1) {
            yield* Effect.orDie(Stream.runDrain(Stream.take(body, 1)))
            return HttpClientResponse.fromWeb(request, new Response(null, { status: 503 }))
          }
          const sent = yield* Effect.mapError(
            Stream.runCount(body),
            (cause) =>
              new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
          )
          stored.push(sent)
          return HttpClientResponse.fromWeb(request, new Response())
        })
      )
      const client = server.pipe(
        ErrorMapping.mapErrors(),
        HttpRetry.retry(RetryPolicy.make({ backoff: Backoff.immediate }))
      )
      const body = HttpBody.stream(source, "text/csv", 4)
      const error = yield* Effect.flip(client.put("https://api.example/rows", { body }))
      assert.deepInclude(error, { _tag: "BodyNotReplayable", expected: 4, got: 3 })
      assert.deepStrictEqual(stored, [])
    }))
})
