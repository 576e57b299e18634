import { Lab, LabResult } from "@effect-resilience/lab"
import type { Pipeline } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"

const perSecond = 180

/** A server of 20 workers at 90 % load, which serves requests whose callers have gone. */
const run = (
  circuitBreaker: Pipeline.Description["circuitBreaker"],
  fault: Lab.Fault,
  seconds: number,
  processes: number
) => {
  const end = Duration.seconds(10 + seconds)
  const result = Lab.simulate({
    duration: Duration.seconds(10 + seconds + 60),
    arrivals: { open: { perSecond } },
    server: { workers: 20, serviceTime: { exponential: "100 millis" } },
    processes,
    outages: [{ from: "10 seconds", for: Duration.seconds(seconds), fault }],
    policy: {
      name: "ledger",
      attemptTimeout: "1 second",
      retry: { times: 2, backoff: { base: "100 millis" } },
      budget: {},
      circuitBreaker
    }
  })
  const during = LabResult.between(result, "10 seconds", end)
  const all = LabResult.between(result, "10 seconds", Duration.seconds(10 + seconds + 60))
  const recovery = LabResult.recovery(result, { from: end })
  return {
    sent: during.sent / during.offered,
    secondsLost: (all.offered - all.good) / perSecond,
    recovery: recovery === undefined ? Infinity : Duration.toSeconds(recovery)
  }
}

const proportional = { tripPolicy: { proportional: {} } } as const

describe("the defaults of the trip policy proportional", () => {
  for (const processes of [1, 20]) {
    it(`lose little while half of the calls fail, where the tolerated rate of Semian loses much more, in ${processes} processes`, () => {
      const ours = run(proportional, { failing: 0.5 }, 60, processes)
      const semian = run({ tripPolicy: { proportional: { tolerated: 0.05 } } }, { failing: 0.5 }, 60, processes)
      assert.isBelow(ours.secondsLost, 33)
      assert.isAbove(semian.secondsLost, 45)
      assert.isBelow(ours.sent, 1.3)
      assert.isBelow(ours.recovery, 10)
    })

    it(`let all calls pass within 30 seconds of an outage, of 10 seconds or a minute, in ${processes} processes`, () => {
      for (const seconds of [10, 60]) {
        const { recovery, sent } = run(proportional, "down", seconds, processes)
        assert.isBelow(recovery, 30)
        assert.isBelow(sent, 1.3)
      }
    })
  }

  it("lose less than the trip policy rate, whose circuit opens again and again while half of the calls fail", () => {
    const rate = run({}, { failing: 0.5 }, 60, 1)
    assert.isAbove(rate.secondsLost, 2 * run(proportional, { failing: 0.5 }, 60, 1).secondsLost)
  })
})
