import { Telemetry } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Batch, Journal, Uploader } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import * as Targets from "./Targets.ts"

const client = Telemetry.observeAttempts(
  HttpClient.make((request) => Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 401 }))))
)

const request = Effect.orDie(client.get("https://api.example.com/x"))

/** Each attempt is replayed after a login, and the replay fails too. */
const target = Targets.make(() => Effect.andThen(Effect.andThen(request, request), Effect.fail(Targets.failure(503))))

const options = { policy: RetryPolicy.make({ times: 1, backoff: Backoff.immediate }) }

describe("the attempts of an upload that fails", () => {
  it.effect("are all that were sent, with the replay of the last one", () =>
    Effect.gen(function*() {
      const { results, totals } = yield* Batch.run(target, [{ name: "a" }], options)
      assert.deepStrictEqual(results.map((result) => result._tag === "Failed" && result.attempts), [4])
      assert.strictEqual(totals.attempts, 4)
    }))

  it.effect("are as many in the journal", () =>
    Effect.gen(function*() {
      const { totals } = yield* Batch.runWithJournal(target, [{ name: "a" }], options)
      assert.strictEqual(totals.attempts, 4)
      const entries = yield* Stream.runCollect((yield* Journal.Journal).entries)
      assert.deepStrictEqual(entries.map(({ attempts, state }) => [state, attempts]), [["failed", 4]])
    }).pipe(Effect.provide(Journal.layerMemory)))

  it.effect("are counted anew by the next upload of the same fiber", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const onEvent = (event: Uploader.Event) =>
        Effect.sync(() => void (event._tag === "Attempting" && seen.push(event.attempt)))
      for (const name of ["a", "b"]) yield* Effect.ignore(Uploader.upload(target, { name }, { ...options, onEvent }))
      assert.deepStrictEqual(seen, [1, 3, 1, 3])
    }))
})
