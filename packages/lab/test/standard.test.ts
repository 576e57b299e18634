// A part of the matrix of `npm run outages`: what `Pipeline.standard` promises.
import { Lab, LabResult } from "@effect-resilience/lab"
import { Pipeline } from "@effect-resilience/pipeline"
import * as Duration from "effect/Duration"
import { describe, expect, it } from "vitest"

const policy: Pipeline.Description = { ...Pipeline.standard, name: "ledger", attemptTimeout: "1 second" }

type Cell = readonly [fault: Lab.Fault, seconds: number, processes: number, load: number, abandoned: "serve" | "drop"]

const run = (
  ...[fault, seconds, processes, load, abandoned, description = policy]: [...Cell, Pipeline.Description?]
) => {
  const end = 20 + seconds
  const result = Lab.simulate({
    seed: 4,
    processes,
    duration: Duration.seconds(end + 40),
    arrivals: { open: { perSecond: 200 * load } },
    server: { workers: 20, serviceTime: { exponential: "100 millis" }, abandoned },
    outages: [{ from: "20 seconds", for: Duration.seconds(seconds), fault }],
    policy: description
  })
  const during = LabResult.between(result, "20 seconds", Duration.seconds(end))
  return {
    calm: LabResult.between(result, 0, "20 seconds"),
    during,
    amplification: during.sent / during.offered,
    recoverySeconds: Duration.toSeconds(LabResult.recovery(result, { from: Duration.seconds(end) }) ?? "Infinity")
  }
}

describe("Pipeline.standard", () => {
  it.each(
    [
      ["down", 10, 1, 0.9, "serve"],
      ["down", 10, 20, 0.9, "serve"],
      ["down", 10, 100, 0.5, "serve"],
      ["down", 10, 100, 0.9, "serve"],
      ["down", 10, 100, 0.5, "drop"],
      [{ slow: 10 }, 60, 100, 0.9, "serve"]
    ] as const
  )(
    "survives %j for %i s with %i processes at a load of %f, where the server would %s the dead",
    (fault, seconds, processes, load, abandoned) => {
      const { amplification, recoverySeconds } = run(fault, seconds, processes, load, abandoned)
      expect(amplification).toBeLessThanOrEqual(1.3)
      expect(recoverySeconds).toBeLessThanOrEqual(30)
    }
  )

  it("would keep the outage alive without its breaker and its budget", () => {
    const { budget: _, circuitBreaker: __, ...rest } = policy
    expect(run("down", 10, 20, 0.9, "serve", rest).recoverySeconds).toBe(Infinity)
  })

  it("rejects nothing in calm weather, and little where half of the calls fail", () => {
    const { calm, during } = run({ failing: 0.5 }, 60, 20, 0.7, "serve")
    expect(calm.good).toBe(calm.offered)
    expect(during.rejected / during.offered).toBeLessThan(0.1)
    expect(during.good / during.offered).toBeGreaterThan(0.5)
  })
})
