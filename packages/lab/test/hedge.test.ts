import { Lab, LabResult } from "@effect-resilience/lab"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"

/** A hundredth of the requests hang for two seconds; 168 a second is what the server can serve. */
const server = {
  workers: 20,
  serviceTime: { bimodal: { usual: "100 millis", slow: "2 seconds", share: 0.01 } },
  abandoned: "serve"
} as const

const run = (load: number, share: number | undefined, seed: number, outage?: Lab.Outage) =>
  Lab.simulate({
    duration: outage === undefined ? "2 minutes" : "4 minutes",
    arrivals: { open: { perSecond: 168 * load } },
    server,
    outages: outage && [outage],
    seed,
    policy: {
      name: "ledger",
      attemptTimeout: "1 second",
      ...share === undefined ? {} : { hedge: { share, idempotent: true } }
    }
  })

const lost = ({ total }: LabResult.LabResult) => 1 - total.good / total.offered

describe("a hedge, whose server gets the load of all calls", () => {
  for (const load of [0.5, 0.8]) {
    it(`saves the calls that hang, at ${100 * load} % of the server's capacity, for 5 % more requests`, () => {
      for (const seed of [7, 8, 9]) {
        const plain = run(load, undefined, seed)
        const hedged = run(load, 0.05, seed)
        assert.isAbove(lost(plain), 0.005)
        assert.isBelow(lost(hedged), lost(plain) / 3)
        assert.isAtMost(hedged.total.sent, 10 + 1.05 * hedged.total.offered)
      }
    })
  }

  it("does not keep a server down that comes back without it, unless it may send every request twice", () => {
    const outage = { from: "30 seconds", for: "20 seconds", fault: { slow: 10 } } as const
    const secondsDown = (share: number | undefined) => {
      const recovered = LabResult.recovery(run(0.5, share, 7, outage), { from: "50 seconds" })
      return recovered === undefined ? Infinity : Duration.toSeconds(recovered)
    }
    const plain = secondsDown(undefined)
    assert.isAtMost(plain, 30)
    assert.isAtMost(secondsDown(0.05), plain + 5)
    assert.strictEqual(secondsDown(1), Infinity)
  })
})
