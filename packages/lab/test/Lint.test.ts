import { ResilientClient } from "@effect-resilience/client"
import { Lint } from "@effect-resilience/lab"
import { Pipeline } from "@effect-resilience/pipeline"
import { Backoff } from "@effect-resilience/retry"
import { Duration } from "effect"
import { describe, expect, it } from "vitest"

const rulesOf = (description: unknown, world?: Lint.World) => Lint.check(description, world).map(({ rule }) => rule)

describe.each(Lint.allRules)("$name", ({ caught, clean, level, name }) => {
  it("catches its mistake, and says where", () => {
    const found = Lint.check(caught).filter(({ rule }) => rule === name)
    expect(found.length).toBeGreaterThan(0)
    expect(found.some((remark) => remark.level === level)).toBe(true)
    for (const { fix, message, path } of found) {
      expect(message).toMatch(/\.$/)
      expect(fix).toMatch(/\.$/)
      expect(isWritten(caught, path)).toBe(true)
    }
  })

  it("has nothing to say without the mistake", () => {
    expect(Lint.check(clean)).toEqual([])
  })
})

/** Whether there is something at a path of a description. */
const isWritten = (description: unknown, path: ReadonlyArray<string | number>): boolean =>
  path.reduce<unknown>((value, key) => Reflect.get(Object(value), key), description) !== undefined

describe("standards", () => {
  it.each([{}, { processes: 100 }, { processes: 20, capacity: 200, callsPerSecond: 180 }])(
    "are clean in %o",
    (world) => {
      expect(Lint.check({ ...Pipeline.standard, name: "ledger" }, world)).toEqual([])
      const client = { name: "ledger", baseUrl: "https://ledger.example.com" }
      expect(Lint.check(client, world)).toEqual([])
      expect(Lint.check({ ...client, ...ResilientClient.standard }, world)).toEqual([])
    }
  )
})

describe("a description", () => {
  it("means the same in code and in JSON", () => {
    const code = {
      name: "ledger",
      deadline: Duration.seconds(1),
      attemptTimeout: Duration.seconds(2),
      retry: { backoff: Backoff.immediate, when: () => true },
      budget: {}
    }
    const json = {
      name: "ledger",
      deadline: "1 second",
      attemptTimeout: 2000,
      retry: { backoff: { base: 0, factor: 1, cap: 0, jitter: "none" }, when: "isIdle" },
      budget: {}
    }
    expect(Lint.check(code)).toEqual(Lint.check(json))
    expect(rulesOf(code)).toEqual(["attemptBeyondTotal", "noJitter"])
  })

  it("that cannot be decoded has what is wrong, at its place, and nothing else", () => {
    const remarks = Lint.check({ name: "ledger", retry: { tims: 3, backoff: { factor: 0 } } })
    expect(remarks.map(({ path, rule }) => [rule, path])).toEqual([
      ["invalid", ["retry", "tims"]],
      ["invalid", ["retry", "backoff", "factor"]]
    ])
    expect(remarks[0]?.message).toContain("times")
  })

  it("in a list, in layers or in a simulation has its place from the root", () => {
    const retries = { name: "ledger", retry: { times: 3 } }
    expect(Lint.check([{ ...Pipeline.standard, name: "a" }, retries])[0]?.path).toEqual([1, "retry"])
    expect(Lint.check({ layers: [{ name: "a" }, retries] })[0]?.path).toEqual(["layers", 1, "retry"])
    expect(Lint.check({ policy: retries })[0]?.path).toEqual(["policy", "retry"])
    expect(Lint.check(3)[0]).toMatchObject({ rule: "invalid", path: [] })
  })

  it("of a client has the mistakes of its operations at them, and its own once", () => {
    const found = Lint.check({
      name: "shop",
      baseUrl: "https://shop.example.com",
      pipeline: { retry: { times: 3 } },
      operations: { look: { endpoint: "GET /" }, count: { timeouts: { total: "3 seconds", attempt: "4 seconds" } } }
    })
    expect(found.map(({ path, rule }) => [rule, path.join(".")])).toEqual([
      ["attemptBeyondTotal", "operations.count.timeouts.attempt"],
      ["unboundedRetries", "pipeline.retry"],
      ["attemptsBeyondTotal", "pipeline.retry"]
    ])
  })

  it("is an error in a fleet, and advice where there may be none", () => {
    const plain = { name: "ledger", retry: { backoff: { jitter: "none" } }, circuitBreaker: {} }
    expect(Lint.check(plain).map(({ level }) => level)).toEqual(["advice"])
    expect(Lint.check(plain, { processes: 20 }).map(({ level }) => level)).toEqual(["error"])
    expect(Lint.check(plain, { processes: 1 })).toEqual([])
  })
})
