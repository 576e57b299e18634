import { Lab, Outages, Regressions, Sweep, Verdict } from "@effect-resilience/lab"
import * as SweepThreads from "@effect-resilience/lab/SweepThreads"
import { matchers } from "@effect-resilience/lab/Vitest"
import type { Pipeline } from "@effect-resilience/pipeline"
import { NodeServices } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { describe, expect } from "vitest"

expect.extend(matchers)

// A server of 20 a second, at half of that.
const world = {
  arrivals: { open: { perSecond: 10 } },
  server: { workers: 2, serviceTime: { exponential: "100 millis" } }
} as const

const plain: Pipeline.Description = { name: "ledger", attemptTimeout: "1 second" }

const storming: Pipeline.Description = { ...plain, retry: { times: 5, backoff: { base: "50 millis" } } }

const run = (policy: Pipeline.Description, outages: Lab.Options["outages"] = Outages.outageOf(Outages.standard.down)) =>
  Lab.simulate({ ...world, duration: "80 seconds", outages, policy })

describe("Verdict", () => {
  it("passes where load stays what it was and calls succeed soon after the outage", () => {
    const verdict = Verdict.judge(run(plain))
    expect(verdict.problems).toEqual([])
    expect(verdict.outages[0]?.amplification).toBe(1)
    expect(verdict.outages[0]?.recoveredMillis).toBeLessThan(30_000)
    Verdict.expectNoStorm(run(plain), { amplification: 1, recoverWithin: "30 seconds" })
  })

  it("names all that is wrong, each with its numbers", () => {
    const { outages, passes, problems } = Verdict.judge(run(storming))
    expect(passes).toBe(false)
    expect(problems).toEqual([
      expect.stringMatching(
        /^clients send [3-6]\.\d\d requests for each call in the outage of 20 to 30 s, more than 1\.2$/
      ),
      expect.stringMatching(
        /^clients send [3-6]\.\d\d requests for each call in the 30 s after the outage of 20 to 30 s, /
      ),
      "calls do not succeed again before the simulation ends, 50 s after the outage of 20 to 30 s"
    ])
    expect(outages[0]?.recoveredMillis).toBeUndefined()
    expect(() => Verdict.expectNoStorm(run(storming), {}, "ledger")).toThrow(/^ledger: a storm\n- clients send/)
  })

  it("fails a recovery that comes later than asked", () => {
    const late = run(plain, { from: "20 seconds", for: "20 seconds", fault: { failing: 1 } })
    expect(Verdict.judge(late, { recoverWithin: "1 second" }).passes).toBe(true)
    const slow = run(plain, {
      from: "20 seconds",
      for: "10 seconds",
      fault: { restart: { cold: 3, warmUp: "30 seconds" } }
    })
    expect(Verdict.judge(slow, { recoverWithin: "1 second" }).problems).toEqual([
      expect.stringMatching(/^calls succeed again \d+ s after the outage of 20 to 30 s, later than 1 s$/)
    ])
  })

  it("judges each outage alone, and a calm run by its load", () => {
    const two = run(storming, [
      { from: "10 seconds", for: "1 second", fault: { failing: 0.1 } },
      { from: "40 seconds", for: "10 seconds", fault: "down" }
    ])
    const { outages } = Verdict.judge(two)
    expect(outages[0]?.recoveredMillis).toBe(0)
    expect(outages[1]?.recoveredMillis).toBeUndefined()
    const calm = Lab.simulate({ ...world, duration: "10 seconds", policy: storming })
    expect(Verdict.judge(calm).passes).toBe(true)
  })

  it("is a matcher of vitest", () => {
    expect(run(plain)).toHaveNoStorm()
    expect(run(storming)).not.toHaveNoStorm({ amplification: 1.2 })
    expect(() => expect(run(storming)).toHaveNoStorm()).toThrow(/A storm\n- clients send/)
  })
})

const cells = Sweep.cells({
  world,
  policies: { plain, storming },
  outages: { down: Outages.standard.down, failing: Outages.standard.failing },
  processes: [1, 5],
  seeds: [1, 2]
})

describe("Sweep", () => {
  it("has all combinations as a table", () => {
    expect(cells.length).toBe(16)
    const rows = Sweep.run(cells.filter(({ key }) => key.endsWith("· 1 · seed 1")))
    expect(Sweep.table(rows).split("\n")[2]).toMatch(/^\| plain · down · 1 · seed 1 +\| +\d/)
    expect(rows.map(({ verdict }) => verdict.passes)).toEqual([true, true, false, false])
  })

  it.live("gives the same rows over threads", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* SweepThreads.run(cells, { threads: 2 }), Sweep.run(cells))
    }))

  it("takes no functions, which threads would leave out", () => {
    const [cell] = Sweep.cells({
      world,
      policies: { own: { ...storming, retry: { backoff: { custom: () => 5 } } } }
    })
    assert.throws(
      () => SweepThreads.run(cell === undefined ? [] : [cell]),
      /SweepThreads.cells must be data, not the function custom/
    )
  })

  it.live("says in which cell a thread failed", () =>
    Effect.gen(function*() {
      const [cell] = cells
      const broken = cell && { ...cell, options: { ...cell.options, duration: -1 } }
      const error = yield* Effect.flip(SweepThreads.run(broken === undefined ? [] : [broken]))
      assert.match(error.message, /^A thread of a sweep failed in the cell plain · down · 1 · seed 1: RangeError/)
    }))
})

describe("Regressions", () => {
  it.effect("writes down the seed of a storm and tries it first from then on", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/seeds.json`
      yield* fs.writeFileString(path, `{ "other": [7] }`)
      const good = run(plain)
      const bad = run(storming)
      const tried: Array<number> = []
      const check = (isBad: (seed: number) => boolean) =>
        Regressions.check(path, {
          name: "ledger",
          seeds: 4,
          simulate: (seed) => {
            tried.push(seed)
            return isBad(seed) ? bad : good
          }
        })
      yield* check(() => false)
      assert.deepStrictEqual([tried.length, yield* fs.readFileString(path)], [4, `{ "other": [7] }`])
      const { message } = yield* Effect.flip(check(() => tried.length === 6))
      const seed = tried[5] ?? -1
      assert.match(message, new RegExp(`^ledger, seed ${seed}: a storm\n`))
      assert.deepStrictEqual(JSON.parse(yield* fs.readFileString(path)), { other: [7], ledger: [seed] })
      tried.length = 0
      yield* Effect.flip(check((again) => again === seed))
      assert.deepStrictEqual(tried, [seed])
      yield* check(() => false)
      assert.deepStrictEqual(JSON.parse(yield* fs.readFileString(path)), { other: [7], ledger: [seed] })
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("leaves what another check of the same file has written meanwhile", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/seeds.json`
      const bad = run(storming)
      const other = Regressions.check(path, { name: "other", simulate: () => bad })
      const meanwhile = yield* Effect.context<FileSystem.FileSystem>()
      // Between the reading of the one and its writing the other one comes to its end.
      const first = Regressions.check(path, { name: "ledger", simulate: () => bad }).pipe(
        Effect.provideService(FileSystem.FileSystem, {
          ...fs,
          exists: (path) => Effect.tap(fs.exists(path), (exists) => exists ? Effect.void : once)
        })
      )
      const once = Effect.ignore(Effect.provide(other, meanwhile))
      yield* Effect.flip(first)
      assert.deepStrictEqual(Object.keys(JSON.parse(yield* fs.readFileString(path))).toSorted(), ["ledger", "other"])
    }).pipe(Effect.provide(NodeServices.layer)))
})
