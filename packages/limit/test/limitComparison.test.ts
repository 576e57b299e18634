import { LimitAlgorithm } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Struct } from "effect"
import * as LimitModel from "./LimitModel.ts"

const seed = 16

const servers = [4, 12, 50, 200].flatMap((workers) =>
  LimitModel.serviceTimes.flatMap((service) =>
    [[0.5, 1], [1, 1], [3, 1], [1.5, 0.5], [1.5, 2]].map(([load = 1, change = 1]) => ({
      workers,
      service,
      load,
      change
    }))
  )
)

const candidates = {
  vegas: LimitAlgorithm.vegas(),
  aimd: LimitAlgorithm.aimd(),
  gradient: LimitAlgorithm.gradient(),
  envoy: LimitAlgorithm.gradient({ buffer: 0.25, headroom: 1 }),
  gradient2: LimitAlgorithm.gradient2(),
  netflix: LimitAlgorithm.gradient2({ tolerance: 1.5, queueSize: 4, longWindow: 600 })
}

const nameOf = ({ change, load, service, workers }: LimitModel.Server) =>
  `${workers} workers, ${service}, load ${load}, then ${change} times the workers`

const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length

/** Computes for each key once. */
const once = <K, A>(compute: (key: K) => A) => {
  const known = new Map<K, A>()
  return (key: K): A => {
    const found = known.get(key) ?? compute(key)
    known.set(key, found)
    return found
  }
}

const bestOf = once((server: LimitModel.Server) => LimitModel.best(server, seed))

const resultsOf = once((name: keyof typeof candidates) =>
  once((server: LimitModel.Server) => {
    const { goodput, millis } = LimitModel.run(server, LimitAlgorithm.start(candidates[name]), seed)
    return { server, share: goodput / bestOf(server), millis }
  })
)

describe("limit algorithms on model servers", () => {
  it("serve at least 90 % of what the best fixed limit serves, on each of 60, with the default", () => {
    const results = servers.map(resultsOf("vegas"))
    assert.strictEqual(results.length, 60)
    for (const { server, share } of results) assert.isAtLeast(share, 0.9, nameOf(server))
    assert.isAtLeast(mean(results.map(({ share }) => share)), 0.97)
    assert.isAtMost(mean(results.map(({ millis }) => millis)), 150)
  }, 300_000)

  it("serve less, or let calls wait longer, with any other", () => {
    const some = servers.filter(({ service, workers }) => workers < 200 && service !== "constant")
    const fits = (name: keyof typeof candidates) => {
      const waits: Array<number> = []
      for (const server of some) {
        const { millis, share } = resultsOf(name)(server)
        // One server that it fails is enough.
        if (share < 0.9) return false
        waits.push(millis)
      }
      return mean(waits) < 175
    }
    assert.deepStrictEqual(Struct.keys(candidates).filter(fits), ["vegas"])
  }, 300_000)
})
