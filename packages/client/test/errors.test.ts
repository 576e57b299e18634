import { AuthError } from "@effect-resilience/auth"
import { ResilientClient } from "@effect-resilience/client"
import { Deadline, Timeout } from "@effect-resilience/deadline"
import { ApiError } from "@effect-resilience/errors"
import { CircuitBreaker } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { inspect } from "node:util"

const errors: ReadonlyArray<Error> = [
  new ApiError.ApiError({ method: "GET", endpoint: "/a", reason: ApiError.reasonFromStatus(404, { detail: "no a" }) }),
  new AuthError.AuthError({ reason: new AuthError.StillUnauthorized({}) }),
  new CircuitBreaker.CircuitOpen({ policy: "ledger", state: "Open", retryAfter: Duration.seconds(3) }),
  new Deadline.DeadlineExceeded({ allowed: Duration.seconds(5), begun: true, inherited: false }),
  new Timeout.TimedOut({ timeout: Duration.seconds(5) }),
  new ResilientClient.ForeignUrl({ client: "ledger", origin: "https://b.test", allowed: ["https://a.test"] })
]

describe("the errors of a client", () => {
  for (const error of errors) {
    it(`${error.name} says what happened, where it is printed and as JSON`, () => {
      assert.isAbove(error.message.length, 0)
      assert.include(inspect(error), "message: ")
      assert.deepInclude(JSON.parse(JSON.stringify(error)), { _tag: error.name, message: error.message })
    })
  }

  it.effect("fetch failed has the message of its cause, as a backend prints it", () =>
    Effect.gen(function*() {
      const fetch = ResilientClient.fetch({ name: "ledger", baseUrl: "https://ledger.example.com" }, {
        transport: ResilientClient.layerScript([])
      })
      const error = yield* Effect.promise(() =>
        fetch("https://other.example.com/x").then(() => undefined, (e: unknown) => e)
      )
      assert.include(inspect(error), "The client ledger sends to https://ledger.example.com only")
    }))
})
