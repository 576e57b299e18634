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

// DAGOR (2018) and Breakwater (OSDI 2020): an overload costs nothing of what a server can do.
describe("an overload of 1.4 times the capacity", () => {
  const perSecond = (policy: Pipeline.Description | undefined, seed: number) => {
    const result = Lab.simulate({
      seed,
      duration: "2 minutes",
      arrivals: { open: { perSecond: 280 } },
      server: { workers: 20, serviceTime: { exponential: "100 millis" } },
      timeout: "1 second",
      policy
    })
    return LabResult.between(result, "30 seconds", "2 minutes").good / 90
  }

  it.each([1, 2, 3])("leaves nothing without a limit, and nine tenths of 200 a second with one (seed %i)", (seed) => {
    assert.isBelow(perSecond(undefined, seed), 20)
    assert.isAtLeast(perSecond({ name: "ledger", concurrencyLimit: {} }, seed), 180)
  })
})
