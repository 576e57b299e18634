/**
 * What chance gives in tests: the same in each run.
 *
 * By Effect's defaults the seed of a property is another one in each run, and its size of 10 makes sequences of two commands and one
 * number in two the same as another. Where no seed is given, `Random` draws by the name of the test.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { beforeEach } from "vitest"

Arbitrary.configureGlobal({ check: { seed: "effect-resilience", size: 100 } })

// In place of the service that draws from `Math.random`. That one is left alone, since vitest makes the ids of its messages from it.
const unseeded = Context.get(Context.empty(), Random.Random)

beforeEach(({ task }) => {
  Object.assign(unseeded, Effect.runSync(Random.withSeed(Effect.service(Random.Random), task.fullName)))
})
