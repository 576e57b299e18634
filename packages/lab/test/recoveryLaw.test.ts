// Found with this lab: how long a fleet with a retry budget needs after an outage, and whether it recovers at all.
import { Lab, LabResult } from "@effect-resilience/lab"
import { Duration } from "effect"
import { describe, expect, it } from "vitest"

const capacity = 200

const timeoutSeconds = 1

const burst = 10

/** With `load` and `outage` seconds: when it recovers by the law, and when it does here; `Infinity` for never. */
const run = (load: number, ratio: number, floor: number, processes: number, outage: number) => {
  const calls = capacity * load
  const sent = calls * (1 + ratio) + floor * processes
  const law = sent < capacity
    ? (outage * sent + burst * processes - capacity * timeoutSeconds) / (capacity - sent)
    : Infinity
  const result = Lab.simulate({
    seed: 3,
    duration: "150 seconds",
    processes,
    arrivals: { open: { perSecond: calls } },
    server: { workers: 20, serviceTime: { exponential: "100 millis" } },
    outages: { from: "30 seconds", for: Duration.seconds(outage), fault: "down" },
    policy: {
      name: "ledger",
      attemptTimeout: Duration.seconds(timeoutSeconds),
      retry: { times: 3, backoff: { base: "100 millis" } },
      budget: { ratio, minPerSecond: floor, burst }
    }
  })
  const recovery = LabResult.recovery(result, { from: Duration.seconds(30 + outage) })
  return { law, seen: recovery === undefined ? Infinity : Duration.toSeconds(recovery) }
}

describe("a fleet with a retry budget and no breaker", () => {
  it.each([
    [0.5, 0.1, 0.1, 20, 10],
    [0.7, 0.1, 0.5, 20, 10],
    [0.6, 0.2, 0, 1, 20],
    [0.5, 0.2, 10, 5, 10],
    [0.8, 0.2, 0, 1, 5]
  ])(
    "recovers when the law says: load %f, ratio %f, floor %f, %i processes, down for %i s",
    (...cell) => {
      const { law, seen } = run(...cell)
      expect(Math.abs(seen - law)).toBeLessThan(Math.max(3, 0.15 * law))
    }
  )

  it.each([[0.7, 0.2, 10, 5, 10], [0.5, 0.2, 10, 20, 10]])(
    "never recovers where it may send more than the capacity: load %f, ratio %f, floor %f, %i processes, down for %i s",
    (...cell) => expect(run(...cell)).toEqual({ law: Infinity, seen: Infinity })
  )
})
