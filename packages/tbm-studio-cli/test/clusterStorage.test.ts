import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ClusterError, MessageStorage, ShardId, Snowflake } from "effect/cluster"
import { TestClock } from "effect/testing"
import { withClaimsGivenBack } from "../src/internal/clusterStorage.ts"

const [one, two] = [ShardId.make("default", 1), ShardId.make("default", 2)]
const request = Snowflake.Snowflake(7n)

/** A storage that records its calls, and fails while it is told to. */
const recorded = () => {
  const calls: Array<string> = []
  let failing = false
  const call = (name: string, ids: Iterable<unknown>) =>
    Effect.suspend(() => {
      calls.push([name, ...Array.from(ids, String)].join(" "))
      return failing ? Effect.fail(new ClusterError.PersistenceError({ cause: "silent" })) : Effect.void
    })
  const storage = withClaimsGivenBack({
    ...MessageStorage.noop,
    unprocessedMessages: (ids) => Effect.as(call("read", ids), []),
    resetShards: (ids) => call("reset", ids),
    resetRequests: (ids) => call("resetRequests", ids),
    resetAddresses: (addresses) => call("resetAddresses", addresses.map(({ shardId }) => shardId))
  }, "9 seconds")
  return {
    storage,
    asked: Effect.sync(() => calls.splice(0)),
    fail: (now: boolean) => {
      failing = now
    }
  }
}

describe("the claims of a cluster's storage", () => {
  it.effect("are released before the next read after a read failed, as long as its statement may run", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const { asked, fail, storage } = recorded()
      yield* storage.unprocessedMessages([one, two])
      fail(true)
      yield* Effect.flip(storage.unprocessedMessages([one]))
      assert.deepStrictEqual(yield* asked, ["read default:1 default:2", "read default:1"])

      fail(false)
      for (const expected of [["reset default:1"], ["reset default:1"]]) {
        yield* storage.unprocessedMessages([one, two])
        assert.deepStrictEqual(yield* asked, [...expected, "read default:1 default:2"])
        yield* TestClock.adjust("5 seconds")
      }
      yield* storage.unprocessedMessages([one, two])
      yield* storage.unprocessedMessages([one, two])
      assert.deepStrictEqual(yield* asked, ["reset default:1", "read default:1 default:2", "read default:1 default:2"])
    }))

  it.effect("are not released for shards that another runner has taken over", () =>
    Effect.gen(function*() {
      const { asked, fail, storage } = recorded()
      fail(true)
      yield* Effect.flip(storage.unprocessedMessages([one]))
      fail(false)
      yield* asked
      yield* storage.unprocessedMessages([two])
      assert.deepStrictEqual(yield* asked, ["read default:2"])
    }))

  it.effect("are released later if that failed or was interrupted", () =>
    Effect.gen(function*() {
      const { asked, fail, storage } = recorded()
      fail(true)
      yield* Effect.flip(storage.resetShards([two]))
      yield* Effect.flip(storage.resetRequests([request]))
      yield* asked
      yield* Effect.flip(storage.unprocessedMessages([two]))
      assert.deepStrictEqual(yield* asked, ["resetRequests 7", "reset default:2", "read default:2"])
      fail(false)
      yield* storage.unprocessedMessages([two])
      assert.deepStrictEqual(yield* asked, ["resetRequests 7", "reset default:2", "read default:2"])
    }))
})
