import { Lab, LabResult } from "@effect-resilience/lab"
import { Pipeline } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"

const back = 50_000

const recovery = (policy: Pipeline.Description, fault: Lab.Fault) => {
  const result = Lab.simulate({
    duration: "2 minutes",
    processes: 20,
    arrivals: { open: { perSecond: 180 } },
    server: { workers: 20, serviceTime: { exponential: "100 millis" } },
    outages: [{ from: "20 seconds", for: back - 20_000, fault }],
    policy
  })
  const time = LabResult.recovery(result, { from: back })
  return time === undefined ? Infinity : Duration.toSeconds(time)
}

describe("the standard pipeline, at 90 % of what a server can serve", () => {
  const standard = { ...Pipeline.standard, name: "ledger" }

  it("is well again within 20 seconds of a server that was down, or slow", { timeout: 60_000 }, () => {
    assert.isBelow(recovery(standard, "down"), 20)
    assert.isBelow(recovery(standard, { slow: 10 }), 20)
  })

  it("would keep the outage alive without its breaker and its budget", { timeout: 60_000 }, () => {
    const { attemptTimeout, deadline, name, retry } = standard
    assert.strictEqual(recovery({ name, deadline, retry, attemptTimeout }, "down"), Infinity)
  })
})
