import { Recovery } from "@effect-resilience/errors"
import { Pipeline } from "@effect-resilience/pipeline"
import assert from "node:assert/strict"

// A driver of somebody else's. It knows no retries, and no Effect.
class LockedError extends Error {}
let queries = 0
const warehouse = {
  query: async (sql: string, options: { readonly signal: AbortSignal }): Promise<string> => {
    queries++
    options.signal.throwIfAborted()
    if (queries <= 2) throw new LockedError("the table is locked")
    return `rows of ${sql}`
  }
}

const guarded = Pipeline.promise(
  {
    name: "warehouse",
    deadline: "10 seconds",
    retry: { times: 4, backoff: { base: "5 millis" } },
    circuitBreaker: { tripPolicy: { consecutive: 5 } },
    attemptTimeout: "2 seconds"
  },
  { classify: (error) => error instanceof LockedError ? Recovery.retry : undefined }
)

const rows = await guarded((signal) => warehouse.query("select 1", { signal }), { idempotent: true })
assert.equal(rows, "rows of select 1")
assert.equal(queries, 3)

// What may have been applied is not repeated, unless the caller says that it may be.
queries = 0
await assert.rejects(guarded((signal) => warehouse.query("insert 1", { signal })), LockedError)
assert.equal(queries, 1)

// A caller that leaves ends the call, and gets its own reason.
const reason = new Error("the user left")
await assert.rejects(
  guarded((signal) => warehouse.query("select 2", { signal }), { signal: AbortSignal.abort(reason) }),
  reason
)
console.log("a locked table was read at the third attempt, an insert was tried once")
