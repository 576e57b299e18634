import { Lab, LabResult } from "@effect-resilience/lab"
import type { Pipeline } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"

/** What 12 workers serve a second that take 25 ms each, of 900 calls. */
const servedUnder = (concurrencyLimit: Pipeline.Description["concurrencyLimit"]) => {
  const result = Lab.simulate({
    duration: "90 seconds",
    arrivals: { open: { perSecond: 900 } },
    server: { workers: 12, serviceTime: { exponential: "25 millis" } },
    timeout: "1 second",
    policy: { name: "ledger", concurrencyLimit }
  })
  return LabResult.between(result, "30 seconds", "90 seconds").good / 60
}

describe("an adaptive limit", () => {
  it("lets a server that serves 448 a second under a fixed limit of 12 serve at least 90 % of that under the default", () => {
    const fixed = servedUnder({ algorithm: { fixed: 12 } })
    assert.approximately(fixed, 448, 10)
    assert.isAtLeast(servedUnder({}) / fixed, 0.9)
  })
})
