import { ErrorMapping, Operation } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { HttpBody, HttpClient, HttpClientError } from "effect/http"

describe("ErrorMapping", () => {
  // A server that knows the length has the whole body before the sender's stream ends.
  it.effect("calls a body of known length sent when its last byte has left, not when its stream has ended", () =>
    Effect.gen(function*() {
      const resetAfterLastByte = HttpClient.make((request) =>
        (request.body._tag === "Stream" ? request.body.stream : Stream.empty).pipe(
          Stream.runHead,
          Effect.orDie,
          Effect.andThen(
            Effect.fail(
              new HttpClientError.HttpClientError({
                reason: new HttpClientError.TransportError({
                  request,
                  cause: Object.assign(new Error("reset"), { code: "ECONNRESET" })
                })
              })
            )
          )
        )
      )
      const body = HttpBody.stream(
        Stream.concat(Stream.make(new TextEncoder().encode("rows")), Stream.never),
        "text/csv",
        4
      )
      const error = yield* ErrorMapping.mapErrors(resetAfterLastByte).post("https://api.example.com/gl", { body })
        .pipe(
          Operation.within({ name: "append rows", endpoint: "/gl", idempotent: false }),
          Effect.flip
        )
      assert.strictEqual(error.reason._tag, "OutcomeUnknown")
    }))
})
