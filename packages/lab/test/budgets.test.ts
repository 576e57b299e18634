// M. Demirbas (2026): clients that wait for a retry token deadlock with those who hold one. Ours fail fast.
import { Recovery } from "@effect-resilience/errors"
import { VirtualTime } from "@effect-resilience/lab"
import { Pipeline } from "@effect-resilience/pipeline"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as fc from "fast-check"
import { expect, it } from "vitest"

const amount = fc.constantFrom(0, 0.1, 1, 3)

const budgets = fc.oneof(
  fc.record({ ratio: amount, minPerSecond: amount, burst: fc.constantFrom(1, 3) }),
  fc.record({ expiring: fc.record({ ratio: amount, minPerSecond: amount }) }),
  fc.record({ quota: fc.record({ capacity: fc.constantFrom(0, 5, 30), perSuccess: amount }) }),
  fc.record({ inFlight: fc.record({ ratio: fc.constantFrom(0, 0.2, 1), min: fc.nat(2) }) }),
  fc.record({ retryThrottling: fc.record({ maxTokens: fc.constantFrom(1, 10), tokenRatio: fc.constantFrom(0.1, 1) }) })
)

it("no call waits for a budget, whatever it is, however many calls there are and however many of them fail", () => {
  let rejected = 0
  fc.assert(
    fc.property(
      budgets,
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }),
      fc.constantFrom(1, 10, Infinity),
      (budget, times, outcomes, concurrency) => {
        const time = VirtualTime.make()
        let sent = 0
        const call = (succeeds: boolean) => Effect.suspend(() => (sent++, succeeds ? Effect.void : Effect.fail("down")))
        const program = Effect.gen(function*() {
          const description: Pipeline.Description = { name: "ledger", retry: { times, backoff: { base: 0 } }, budget }
          const pipeline = yield* Pipeline.make(
            description,
            { classify: () => Recovery.retry }
          )
          const exits = yield* Effect.forEach(outcomes, (succeeds) => Effect.exit(pipeline.execute(call(succeeds))), {
            concurrency
          })
          return exits.filter(Exit.isFailure).length
        })
        const fiber = time.fork(program)
        time.advance(0)
        const failures = outcomes.filter((succeeds) => !succeeds).length
        // All ended in the instant in which they began.
        expect(fiber.pollUnsafe()).toEqual(Exit.succeed(failures))
        const wanted = outcomes.length + failures * times
        expect(sent).toBeLessThanOrEqual(wanted)
        if (sent < wanted) rejected++
      }
    ),
    { numRuns: 300, seed: 2026 }
  )
  expect(rejected).toBeGreaterThan(100)
})
