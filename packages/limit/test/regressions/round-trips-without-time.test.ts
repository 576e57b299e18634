import { LimitAlgorithm } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"

const algorithms = [
  LimitAlgorithm.aimd(),
  LimitAlgorithm.vegas(),
  LimitAlgorithm.gradient2(),
  LimitAlgorithm.gradient()
]

describe("round trips that take no time, under a clock that stands still", () => {
  for (const algorithm of algorithms) {
    it(`leave ${Object.keys(algorithm).join()} with a limit that is a number`, () => {
      const estimator = LimitAlgorithm.start(algorithm)
      for (let call = 1; call <= 1000; call++) {
        estimator.record({ nowMillis: call * 10, rttMillis: 0, inFlight: 50, dropped: false, random: () => 0.5 })
        assert.isAtLeast(estimator.limit, 1)
        assert.isAtMost(estimator.limit, 1000)
      }
    })
  }
})
