import { NotAsked, Recovery } from "@effect-resilience/errors"
import { RetryPolicy } from "@effect-resilience/retry"
import { Journal, UploadPlan } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Stream } from "effect"
import * as Targets from "../Targets.ts"

/** The failure of a target that is no `ApiError`. */
class Failed extends Data.TaggedError("Failed")<{ readonly recovery: Recovery.Recovery; readonly notAsked: boolean }> {
  get [NotAsked.symbol](): boolean {
    return this.notAsked
  }
  [Recovery.symbol](): Recovery.Recovery {
    return this.recovery
  }
}

describe("a replacement of which all bytes were sent", () => {
  for (
    const [recovery, notAsked, state] of [
      [Recovery.correct, false, "failed"],
      [Recovery.authorize, false, "failed"],
      [Recovery.reauthenticate, false, "failed"],
      [Recovery.giveUp, true, "failed"],
      [Recovery.giveUp, false, "unknown"],
      [Recovery.verify, false, "unknown"],
      [Recovery.retry, false, "unknown"]
    ] as const
  ) {
    it.effect(`is ${state} after ${recovery._tag}${notAsked ? ", if nothing was asked" : ""}`, () =>
      Effect.gen(function*() {
        const target = {
          ...Targets.make<Failed>(),
          send: (_: Targets.Item, { stream }: { readonly stream: Stream.Stream<Uint8Array, unknown> }) =>
            Effect.andThen(Effect.ignore(Stream.runDrain(stream)), Effect.fail(new Failed({ recovery, notAsked })))
        }
        yield* Effect.flip(UploadPlan.uploadOnce(target, { name: "a" }, { policy: RetryPolicy.noop }))
        const entries = yield* Stream.runCollect((yield* Journal.Journal).entries)
        assert.deepStrictEqual(entries.map((entry) => entry.state), [state])
      }).pipe(Effect.provide(Journal.layerMemory)))
  }
})
