import * as LocalFileSystem from "@effect-resilience/node/LocalFileSystem"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { join } from "node:path"
import * as journalFile from "../../src/internal/journalFile.ts"
import * as Output from "../../src/internal/output.ts"
import { folder } from "../command.ts"

/** The clock of a test, whose wall clock shows another time. */
const jumping = (clock: Clock.Clock, offset: () => number): Clock.Clock =>
  Object.create(clock, {
    currentTimeMillisUnsafe: { value: () => clock.currentTimeMillisUnsafe() + offset() },
    currentTimeMillis: { value: Effect.sync(() => clock.currentTimeMillisUnsafe() + offset()) }
  })

describe("--wait", () => {
  for (const hours of [-1, 1]) {
    it.effect(`takes its time if the wall clock jumps by ${hours} h meanwhile`, () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(1_700_000_000_000)
        const path = join(yield* folder, "m.csv.journal.sqlite")
        const open = (wait?: Duration.Duration) =>
          Layer.build(journalFile.layerExclusive(path, { incomplete: false, wait }))
        yield* open()
        let offset = 0
        let waits = false
        const waiting = yield* Effect.exit(Effect.scoped(open(Duration.seconds(10)))).pipe(
          Effect.provideService(Clock.Clock, jumping(yield* Clock.Clock, () => offset)),
          Effect.provideService(Output.Behind, () => {
            waits = true
          }),
          Effect.forkChild({ startImmediately: true })
        )
        // Opening a file takes real time, each time.
        const turn = Effect.promise(() => new Promise(setImmediate))
        yield* Effect.repeat(turn, { until: () => waits })
        offset = hours * 3_600_000
        const step = Effect.andThen(TestClock.adjust("500 millis"), turn)
        yield* Effect.repeat(step, { times: 15 })
        assert.isUndefined(waiting.pollUnsafe())
        yield* Effect.repeat(step, { times: 100, until: () => waiting.pollUnsafe() !== undefined })
        assert.isDefined(waiting.pollUnsafe())
        assert.isTrue(Exit.isFailure(yield* Fiber.join(waiting)))
      }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeServices.layer, LocalFileSystem.layer))))
  }
})
