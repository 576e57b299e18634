import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { EventHeap } from "../src/internal/EventHeap.ts"
import { Histogram } from "../src/internal/Histogram.ts"
import { log } from "../src/internal/log.ts"
import * as outcome from "../src/internal/outcome.ts"
import type { Request } from "../src/internal/request.ts"
import { RequestQueue } from "../src/internal/requestQueue.ts"
import * as scenario from "../src/internal/scenario.ts"

describe("log", () => {
  it("is within one unit in the last place of what the engine has", () => {
    fc.assert(
      fc.property(fc.double({ min: Number.MIN_VALUE * 2 ** 52, max: 1, noNaN: true }), (x) => {
        const expected = Math.log(x)
        expect(Math.abs(log(x) - expected)).toBeLessThanOrEqual(Math.abs(expected) * 2 ** -52)
      }),
      { numRuns: 5_000, seed: 1 }
    )
  })

  it("has the bits that it always had", () => {
    expect([0.1, 0.25, 0.5, 0.9, 2 ** -60 * 3].map(log)).toEqual([
      -2.3025850929940455,
      -1.3862943611198906,
      -Math.LN2,
      -0.10536051565782628,
      -40.49021854492861
    ])
    expect(Math.abs(log(1))).toBe(0)
  })
})

describe("Histogram", () => {
  it("has the quantiles of a sorted list, and at most one 128th more", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1e7, noNaN: true }), { minLength: 1, maxLength: 200 }),
        fc.constantFrom(0.001, 0.5, 0.9, 0.99, 1),
        (times, share) => {
          const histogram = new Histogram()
          for (const time of times) histogram.add(time)
          const exact = times.sort((a, b) => a - b)[Math.max(0, Math.ceil(share * times.length) - 1)] ?? 0
          expect(histogram.at(share)).toBeGreaterThanOrEqual(exact - 0.001)
          expect(histogram.at(share)).toBeLessThanOrEqual(exact * (1 + 1 / 128) + 0.001)
          expect(histogram.max).toBe(exact > 0 ? Math.max(...times) : histogram.max)
        }
      ),
      { seed: 2 }
    )
  })
})

describe("EventHeap", () => {
  it("gives what was not removed, in the order of time and of coming", () => {
    const step = fc.oneof(
      fc.record({ add: fc.nat(20) }),
      fc.record({ remove: fc.nat(30) }),
      fc.constant({ take: true } as const)
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const heap = new EventHeap()
        const taken: Array<unknown> = []
        const expected: Array<unknown> = []
        const made: Array<{ readonly time: number; readonly happen: () => void; number: number }> = []
        const model: Array<(typeof made)[number]> = []
        for (const step of steps) {
          if ("add" in step) {
            const event = { time: step.add, happen: () => {}, number: -1 }
            made.push(event)
            heap.add(step.add, event)
            model.push(event)
            model.sort((a, b) => a.time - b.time || made.indexOf(a) - made.indexOf(b))
          } else if ("remove" in step) {
            const event = made[step.remove]
            if (event === undefined) continue
            heap.remove(event)
            if (model.includes(event)) model.splice(model.indexOf(event), 1)
          } else {
            taken.push([heap.first, heap.take()])
            expected.push([model[0]?.time ?? Infinity, model.shift()])
          }
          expect(heap.size).toBe(model.length)
        }
        expect(taken).toEqual(expected)
      }),
      { seed: 3, numRuns: 300 }
    )
  })
})

describe("RequestQueue", () => {
  it("is a list at whose ends requests are taken, where those that were given up leave a gap", () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant("add" as const) },
      { weight: 1, arbitrary: fc.constantFrom("first" as const, "last" as const) },
      { weight: 1, arbitrary: fc.nat(3_000) }
    )
    fc.assert(
      fc.property(fc.array(step, { minLength: 1_000, maxLength: 4_000 }), (steps) => {
        const queue = new RequestQueue()
        const taken: Array<unknown> = []
        const expected: Array<unknown> = []
        const made: Array<Request> = []
        const model: Array<(typeof made)[number] | undefined> = []
        for (const step of steps) {
          if (step === "add") {
            const request = { respond: () => {}, position: -1, received: 0, priority: "default" }
            made.push(request)
            queue.add(request)
            model.push(request)
          } else if (step === "first" || step === "last") {
            if (model.length === 0) continue
            taken.push(queue[step]())
            expected.push(step === "first" ? model.shift() : model.pop())
          } else {
            const request = made[step]
            const place = request === undefined ? -1 : model.indexOf(request)
            if (request === undefined || place < 0) continue
            queue.abandon(request)
            model[place] = undefined
          }
          expect(queue.length).toBe(model.length)
        }
        expect(taken.length).toBe(expected.length)
        expect(taken.every((request, index) => request === expected[index])).toBe(true)
      }),
      { seed: 4, numRuns: 30 }
    )
  })
})

describe("the verdict in words", () => {
  const down = (from: number) => ({ from, for: 10_000, fault: "down" })
  const verdictOf = (policy: object, world: object) =>
    Effect.runSync(
      Effect.flatMap(scenario.world({ ...world }), (world) => outcome.of({ name: "ledger", ...policy }, world))
    ).verdict

  it("is of the outage that ends last, in whatever order they are written", () => {
    const after = (outages: ReadonlyArray<object>) =>
      verdictOf({ attemptTimeout: "1 second" }, { duration: "3 minutes", outages }).recoverySeconds
    expect(after([down(100_000), down(20_000)])).toBe(after([down(20_000), down(100_000)]))
  })

  it("says that responses come late where they do, not where the server drops those who have left", () => {
    const words = (server: object) =>
      verdictOf({ attemptTimeout: "1 second", retry: { times: 3, backoff: { base: "100 millis" } } }, {
        duration: "2 minutes",
        processes: 1,
        arrivals: { open: { perSecond: 300 } },
        server: { workers: 25, serviceTime: { exponential: "100 millis" }, ...server },
        outages: down(20_000)
      }).words
    const queue = { controlledDelay: { target: "200 millis", interval: "900 millis" } }
    expect(words({})).toMatch(/^never recovers: .*, so its responses come after callers have given up and sent again$/)
    expect(words({ queue })).toMatch(/^never recovers: .* times what the server can take$/)
  })

  it("has the load of all clients", () => {
    const retry = { times: 3, backoff: { base: "100 millis" } }
    const others = {
      export: { arrivals: { open: { perSecond: 200 } }, policy: { name: "export", retry }, timeout: 1000 }
    }
    const world = { duration: "2 minutes", arrivals: { open: { perSecond: 40 } }, outages: down(20_000), others }
    expect(verdictOf({ attemptTimeout: "1 second" }, world).words).toMatch(
      /^never recovers: calls and their retries are [34]\.?\d* times what the server can take, so/
    )
  })

  it("has the load of the end, also of a simulation of less than half a minute", () => {
    const policy = { attemptTimeout: "1 second", retry: { times: 3, backoff: { base: "100 millis" } } }
    expect(verdictOf(policy, { duration: "20 seconds", outages: down(5000) }).words).toMatch(
      /^never recovers: calls and their retries are 2\.\d+ times what the server can take/
    )
  })
})
