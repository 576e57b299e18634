// What queueing theory says of a server without policies, and the published laws of retries.
import { Lab, LabResult } from "@effect-resilience/lab"
import { Duration } from "effect"
import { describe, expect, it } from "vitest"

const meanWait = (workers: number, load: number, serviceTime: Lab.ServiceTime, minutes: number, seed = 5) => {
  const { latency, total } = Lab.simulate({
    seed,
    duration: Duration.minutes(minutes),
    arrivals: { open: { perSecond: workers * 100 * load } },
    server: { workers, serviceTime }
  })
  return { waitMillis: latency.mean - 10, services: total.good }
}

// A. K. Erlang (1917): the mean wait in the queue, in service times.
const erlangC = (c: number, load: number): number => {
  const a = c * load
  let inverse = 1
  for (let k = 1; k <= c; k++) inverse = 1 + inverse * k / a
  const b = 1 / inverse
  return b / (1 - load * (1 - b)) / (c * (1 - load))
}

describe("a server without policies", () => {
  it("waits as Erlang says, with one worker and with four", () => {
    expect(meanWait(1, 0.5, { exponential: 10 }, 10).waitMillis / 10).toBeCloseTo(1, 1)
    expect(meanWait(4, 0.7, { exponential: 10 }, 5).waitMillis / 10).toBeCloseTo(erlangC(4, 0.7), 1)
  })

  it("waits as Pollaczek and Khinchine say", () => {
    expect(meanWait(1, 0.5, { constant: 10 }, 5).waitMillis / 10).toBeCloseTo(0.5, 1)
  })

  // Runs too short for 3 %: the law has to be inside the 99.9 % interval of ten of them (Student's t with 9 degrees of freedom).
  it.each<[string, number, number, Lab.ServiceTime, number, number, number?]>([
    ["M/M/1 at 0.9", 1, 0.9, { exponential: 10 }, 4, 0.9 / 0.1],
    ["M/M/16 at 0.9", 16, 0.9, { exponential: 10 }, 1 / 2, erlangC(16, 0.9)],
    // 640,000 services in all still have a wide interval: calls wait for a fiftieth of a service.
    ["M/M/100 at 0.9", 100, 0.9, { exponential: 10 }, 64_000 / 9_000 / 60, erlangC(100, 0.9), 0.5],
    ["M/M/4 at 0.95", 4, 0.95, { exponential: 10 }, 2, erlangC(4, 0.95)],
    // cv² = E[s²]/E[s]² - 1 = (0.9·5² + 0.1·55²)/10² - 1 = 2.25
    ["M/G/1 at 0.8", 1, 0.8, { bimodal: { usual: 5, slow: 55, share: 0.1 } }, 4, 0.8 * (1 + 2.25) / (2 * 0.2)]
  ])("waits as the law says: %s", (_, workers, load, serviceTime, minutes, expected, widest = 0.35) => {
    const waits = Array.from(
      { length: 10 },
      (_, seed) => meanWait(workers, load, serviceTime, minutes, seed).waitMillis / 10
    )
    const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length
    const variance = waits.reduce((sum, wait) => sum + (wait - mean) ** 2, 0) / (waits.length - 1)
    const half = 4.781 * Math.sqrt(variance / waits.length)
    expect(Math.abs(mean - expected), `${mean} ± ${half}`).toBeLessThan(half)
    // An interval that says something.
    expect(half / expected).toBeLessThan(widest)
  })

  it("keeps Little's law: as many calls as come, times how long they take", () => {
    const { latency, seconds, total } = Lab.simulate({
      duration: "10 minutes",
      arrivals: { open: { perSecond: 80 } },
      server: { workers: 1, serviceTime: { exponential: 10 } }
    })
    // The queue as it was at the end of each second, and the share of the time that the worker was busy.
    const waiting = seconds.reduce((sum, { queue }) => sum + queue, 0) / seconds.length
    const arrivals = total.offered / 600
    expect(waiting + 0.8).toBeCloseTo(arrivals * latency.mean / 1000, 0)
  })
})

describe("the work of retries", () => {
  const run = (failing: number, policy: Lab.Options["policy"]) =>
    Lab.simulate({
      duration: "200 seconds",
      arrivals: { open: { perSecond: 100 } },
      server: { workers: 1_000, serviceTime: { constant: 1 } },
      outages: [{ from: 0, for: "1 hour", fault: { failing } }],
      policy
    }).total

  // M. Brooker, Fixing retries with token buckets and circuit breakers (2022): (1 - f^(n+1)) / (1 - f).
  it.each([[0.1, 3], [0.5, 3], [0.9, 3], [0.5, 1]])(
    "of a failure rate of %f with %i retries is Brooker's",
    (f, times) => {
      const { offered, sent } = run(f, { name: "d", retry: { times, backoff: { base: 10 } } })
      const expected = (1 - f ** (times + 1)) / (1 - f)
      expect(Math.abs(sent / offered / expected - 1)).toBeLessThan(0.02)
    }
  )

  it.each([0.1, 0.5, 0.9])("stays below 1.1 with a budget of 0.1 at a failure rate of %f", (f) => {
    const { offered, sent } = run(f, { name: "d", retry: {}, budget: { minPerSecond: 0, burst: 10 } })
    expect(sent / offered).toBeLessThanOrEqual(1.1 + 10 / offered)
  })
})

describe("an outage of ten seconds", () => {
  const run = (load: number, policy: Lab.Options["policy"], processes = 1) => {
    const result = Lab.simulate({
      seed: 3,
      duration: "200 seconds",
      arrivals: { open: { perSecond: 200 * load } },
      server: { workers: 20, serviceTime: { exponential: "100 millis" } },
      outages: [{ from: "60 seconds", for: "10 seconds", fault: "down" }],
      timeout: "1 second",
      processes,
      policy
    })
    return LabResult.recovery(result, { from: "70 seconds" })
  }
  const retry = { times: 3, backoff: { base: 100 } }

  // Metastable failures (HotOS 2021, OSDI 2022): the trigger ends, and goodput stays at nothing.
  it("never ends with three retries, and ends without", () => {
    expect(run(0.8, { name: "d", retry })).toBeUndefined()
    expect(run(0.8, undefined)).toBeDefined()
  })

  it("never ends in a fleet with Finagle's default for each process, and ends with ours", () => {
    expect(run(0.5, { name: "d", retry, budget: { ratio: 0.2, minPerSecond: 10 } }, 20)).toBeUndefined()
    expect(run(0.5, { name: "d", retry, budget: {} }, 20)).toBeDefined()
  })
})
