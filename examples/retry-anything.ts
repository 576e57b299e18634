// Reuses a retry policy, and the advice that errors carry, in an integration of its own.
import { Recovery } from "@effect-resilience/errors"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Data, Effect } from "effect"
import assert from "node:assert/strict"

class LedgerBusy extends Data.TaggedError("LedgerBusy")<{ readonly attempt: number }> {
  [Recovery.symbol]() {
    return Recovery.retryAfter("20 millis")
  }
}

class UnknownAccount extends Data.TaggedError("UnknownAccount") {
  [Recovery.symbol]() {
    return Recovery.correct
  }
}

const policy = RetryPolicy.make({
  times: 4,
  backoff: Backoff.exponential({ base: "10 millis", cap: "1 second", jitter: "full" })
})

let calls = 0
const post = Effect.fnUntraced(function*(account: string) {
  calls++
  if (account === "?") return yield* new UnknownAccount()
  if (calls < 3) return yield* new LedgerBusy({ attempt: calls })
  return `posted to ${account}`
})

assert.equal(await Effect.runPromise(post("610100").pipe(RetryPolicy.retry(policy))), "posted to 610100")
assert.equal(calls, 3)

calls = 0
const error = await Effect.runPromise(post("?").pipe(RetryPolicy.retry(policy), Effect.flip))
assert.equal(error._tag, "UnknownAccount")
assert.equal(calls, 1)
console.log("a busy ledger was tried three times, an unknown account once")
