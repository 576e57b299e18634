import { ApiError } from "@effect-resilience/errors"
import { CircuitBreaker } from "@effect-resilience/limit"
import { AttemptBudget } from "@effect-resilience/retry"
import { assert, it } from "@effect/vitest"
import { Duration } from "effect"
import * as words from "../src/internal/words.ts"

it("says why an attempt failed without the names of errors", () => {
  assert.strictEqual(words.cause("503 ServiceUnavailable"), "503 service unavailable")
  assert.strictEqual(words.cause("TransportFailure"), "connection lost")
  assert.strictEqual(words.cause("failure"), "other failure")
  assert.strictEqual(words.cause("502 BadGateway"), "502 bad gateway")
})

it("says that a service was unavailable, and not that a circuit is open or a budget empty", () => {
  const open = new CircuitBreaker.CircuitOpen({
    policy: "frontdoor",
    state: "Open",
    retryAfter: Duration.seconds(60)
  })
  assert.strictEqual(
    words.explain(open, 40_000),
    "The service was unavailable for 40 s, so this was not sent. Run the command again in 1 min."
  )
  assert.strictEqual(
    words.explain({ _tag: "UploadError", message: "x", reason: open }),
    "The service was unavailable, so this was not sent. Run the command again in 1 min."
  )
  assert.strictEqual(
    words.explain(new AttemptBudget.BudgetExhausted({ budget: "tbm-studio" })),
    "Too many attempts had failed, so it was not tried again. Run the command again later."
  )
})

it("says what happened to a request, without advice that is for programs", () => {
  const timeout = new ApiError.Timeout({ phase: "response", timeout: Duration.seconds(30) })
  const explained = (reason: ApiError.Reason) =>
    words.explain(new ApiError.ApiError({ method: "POST", endpoint: "/tables/{table}", reason }))
  assert.strictEqual(
    explained(timeout),
    "The request got no response within 30 seconds. Check the network, or run the command again later."
  )
  assert.strictEqual(
    explained(new ApiError.OutcomeUnknown({ failure: timeout })),
    "The request got no response within 30 seconds. The rows may have been stored: look at the table before you send " +
      "them again."
  )
  assert.match(explained(ApiError.reasonFromStatus(404)), /^The service returned 404 Not Found\./)
})

it("names what the operating system says", () => {
  assert.strictEqual(words.ofSystem({ _tag: "PermissionDenied" }), "permission denied")
  assert.strictEqual(words.ofSystem({ _tag: "Unknown", description: "disk quota exceeded" }), "disk quota exceeded")
})
