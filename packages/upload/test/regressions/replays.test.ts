import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Uploader } from "@effect-resilience/upload"
import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as Targets from "../Targets.ts"

it.effect("counts what an auth layer replays after a login as an attempt, in reports and in events", () =>
  Effect.gen(function*() {
    let sends = 0
    const target = {
      ...Targets.make<ReturnType<typeof Targets.failure>>(),
      // An auth layer gets a 401 for the first body, and sends another one with a new token. That gets a 503 once.
      send: (item: Targets.Item, payload: { readonly stream: Stream.Stream<Uint8Array, unknown> }) =>
        Effect.gen(function*() {
          yield* Effect.ignore(Stream.runDrain(payload.stream))
          if (++sends > 1) return { receipt: item.name }
          yield* Effect.ignore(Stream.runDrain(payload.stream))
          return yield* Effect.fail(Targets.failure(503))
        })
    }
    const seen: Array<string> = []
    const report = yield* Uploader.upload(target, { name: "gl.csv" }, {
      policy: RetryPolicy.make({ times: 1, backoff: Backoff.immediate }),
      onEvent: (event) =>
        Effect.sync(() => {
          if ("attempt" in event) seen.push(`${event._tag} ${event.attempt}`)
        })
    })
    assert.deepStrictEqual(seen, ["Attempting 1", "Attempting 2", "Retrying 2", "Attempting 3"])
    assert.deepStrictEqual([report.attempts, report.recoveries.map(({ attempt }) => attempt)], [3, [2]])
  }))
