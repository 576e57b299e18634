import { Lab, LabResult } from "@effect-resilience/lab"
import { RetryPolicy } from "@effect-resilience/retry"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"

const quick = { workers: 100, serviceTime: { constant: "1 millis" } } as const

describe("arrivals", () => {
  it("begins calls when a recording has them, in order", () => {
    const { seconds } = Lab.simulate({
      duration: "4 seconds",
      arrivals: { recorded: ["2500 millis", 0, 10, "3 seconds"] },
      server: quick
    })
    expect(seconds.map(({ offered }) => offered)).toEqual([2, 0, 1, 1])
  })

  it("come to an end where clients think no time and are rejected at once", () => {
    const { seconds } = Lab.simulate({
      duration: "20 seconds",
      arrivals: { closed: { clients: 2, thinkTime: 0 } },
      server: { workers: 1, serviceTime: { constant: "100 millis" } },
      policy: { name: "ledger", circuitBreaker: { tripPolicy: { consecutive: 3 }, openDuration: "2 seconds" } },
      outages: { from: "5 seconds", for: "5 seconds", fault: { failing: 1 } }
    })
    expect(seconds[3]?.good).toBe(10)
    expect(seconds[9]?.rejected).toBeGreaterThan(1000)
    expect(seconds[18]?.good).toBe(10)
  })
})

describe("a server", () => {
  const calls = (server: Partial<Lab.ServerOptions>, options: Partial<Lab.Options> = {}) =>
    Lab.simulate({
      duration: "10 seconds",
      arrivals: { open: { perSecond: 100 } },
      server: { workers: 5, serviceTime: { constant: "100 millis" }, ...server },
      timeout: "1 second",
      ...options
    })

  it("rejects what its queue does not take", () => {
    const { servers: [server], seconds } = calls({ capacity: 10 })
    expect(Math.max(...seconds.map(({ queue }) => queue))).toBe(10)
    expect(server?.rejected).toBeGreaterThan(300)
    expect(calls({}).servers[0]?.rejected).toBe(0)
  })

  // Erlang's loss formula: of 5 workers at a load of 5, 28.5 % of the calls find none.
  it("without a queue rejects only what finds no worker", () => {
    const { servers: [server], total } = calls(
      { capacity: 0, serviceTime: { exponential: "50 millis" } },
      { duration: "5 minutes" }
    )
    expect((server?.rejected ?? 0) / total.offered).toBeCloseTo(0.285, 2)
  })

  const full = { workers: 1, capacity: 1 } as const
  const outside = {
    server: quick,
    tiers: { name: "database", server: { ...quick, serviceTime: { constant: "1 second" }, ...full } }
  } as const
  it.each(
    [
      ["one that rejects at once", {}],
      ["one behind another one", outside],
      ["one that fails at once", {
        server: { ...full, serviceTime: { constant: "1 second" }, capacity: 9, overload: { above: 1, failing: 1 } }
      }]
    ] as const
  )("ends each call, with a policy and without one: %s", (_, options) => {
    for (const policy of [undefined, { name: "ledger" }]) {
      const { servers, total } = calls(full, { timeout: undefined, policy, ...options })
      expect(total.failed).toBeGreaterThan(300)
      expect(total.good + total.failed).toBe(total.offered)
      expect(servers[0]?.seconds.at(-1)?.queue).toBeLessThan(10)
    }
  })

  it("serves the newest under lifo, so that some callers still wait for it", () => {
    expect(LabResult.goodput(calls({ queue: "fifo" }), "5 seconds")).toBeLessThan(0.05)
    expect(LabResult.goodput(calls({ queue: "lifo" }), "5 seconds")).toBeGreaterThan(0.4)
    expect(LabResult.goodput(calls({ queue: { controlledDelay: {} } }), "5 seconds")).toBeGreaterThan(0.4)
  })

  it("with controlled delay is overloaded once its queue has not been empty for the interval, not while it is full and no request waits", () => {
    const queue = { controlledDelay: { target: "5 millis", interval: "100 millis" } } as const
    const good = (...waits: ReadonlyArray<number>) =>
      calls({ workers: 1, serviceTime: { constant: "1 second" }, queue }, {
        timeout: undefined,
        arrivals: { recorded: [0, ...waits.map((wait) => 1000 - wait)] }
      }).total.good
    expect(good(50)).toBe(2)
    expect(good(200)).toBe(1)
    // The newest is next where the queue is long, and an old one is no longer served.
    expect(good(150, 4)).toBe(2)
    expect(good(90, 4)).toBe(2)
  })

  it("takes longer the more requests wait, up to a limit", () => {
    const calm = calls({ workers: 20, slowdown: { each: 1, most: 3 } })
    expect(calm.latency.max).toBeLessThan(210)
    const busy = calls({ slowdown: { each: 1, most: 3 } })
    expect(busy.servers[0]?.served).toBeLessThan(0.45 * (calls({}).servers[0]?.served ?? 0))
  })

  it("fails a share of what comes while too much waits", () => {
    const { servers: [server] } = calls({ overload: { above: 20, failing: 0.5 } })
    expect(server?.failed).toBeGreaterThan(200)
    expect(calls({ workers: 20, overload: { above: 20, failing: 0.5 } }).servers[0]?.failed).toBe(0)
  })

  it("loses what it has in hand in a restart, and comes back with a cold cache", () => {
    const fault = { restart: { cold: 5, warmUp: "4 seconds" } } as const
    const { servers: [server], seconds, total } = calls(
      { workers: 20 },
      { timeout: undefined, outages: { from: "3 seconds", for: "100 millis", fault } }
    )
    expect(server?.failed).toBeGreaterThan(2)
    expect(server?.failed).toBeLessThan(30)
    expect(total.failed).toBe(server?.failed)
    // At five times its service time it serves 40 of 100 a second.
    expect(seconds[4]?.queue).toBeGreaterThan(40)
    expect(seconds[9]?.queue).toBe(0)
  })

  it("serves nothing of what comes as soon as a restart has lost the rest", () => {
    const { servers: [server], total } = calls({}, {
      timeout: undefined,
      policy: { name: "ledger", retry: { times: 1, backoff: { base: 0, jitter: "none" } } },
      outages: { from: "5 seconds", for: "100 millis", fault: { restart: { cold: 1 } } }
    })
    expect(server?.failed).toBeGreaterThan(100)
    // All that it lost is sent once more, and succeeds when it is back.
    expect(total).toEqual({ ...total, failed: 0, good: total.offered, sent: total.offered + (server?.failed ?? 0) })
    expect(server?.served).toBe(total.good)
  })

  it("asks no others for what a restart has lost", () => {
    const { servers } = calls({}, {
      arrivals: { recorded: ["950 millis", "750 millis"] },
      tiers: { name: "database", server: { workers: 5, serviceTime: { constant: "100 millis" } }, times: 9 },
      outages: { from: "1 second", for: "1 second", fault: "restart" }
    })
    // Two services of the first call had begun.
    expect(servers.map(({ failed, received }) => [received, failed])).toEqual([[2, 2], [2, 0]])
  })
})

describe("recovery", () => {
  it("takes at least a second to be seen", () => {
    const down = Lab.simulate({
      duration: "10 seconds",
      arrivals: { open: { perSecond: 20 } },
      server: quick,
      outages: { from: "2 seconds", for: "1 hour", fault: { failing: 1 } }
    })
    for (const window of [0, "400 millis", "1 second"] as const) {
      expect(LabResult.recovery(down, { from: "4 seconds", window })).toBeUndefined()
    }
  })
})

describe("tiers", () => {
  // Google, Site Reliability Engineering, chapter 22: retries at several layers multiply.
  it.each([[3, 27], [4, 64]])(
    "send %i attempts at each of three layers to the last one as %i requests",
    (attempts, all) => {
      const policy = { name: "d", retry: { times: attempts - 1, backoff: { base: "1 millis" } } } as const
      const { servers, total } = Lab.simulate({
        duration: "10 seconds",
        arrivals: { open: { perSecond: 5 } },
        server: quick,
        policy,
        tiers: [{ name: "orders", server: quick, policy }, { name: "database", server: quick, policy }],
        outages: { from: 0, for: "1 hour", fault: { failing: 1 }, server: "database" }
      })
      expect(servers.map(({ name }) => name)).toEqual(["server", "orders", "database"])
      expect(servers[2]?.received).toBe(all * total.offered)
    }
  )

  it("holds the worker of the tier in front while it waits for the one behind", () => {
    const slow = { workers: 100, serviceTime: { constant: "1 second" } } as const
    const { servers, total } = Lab.simulate({
      duration: "10 seconds",
      arrivals: { open: { perSecond: 50 } },
      server: { ...quick, workers: 10 },
      tiers: { name: "database", server: slow, times: 2 }
    })
    expect(servers[1]?.received).toBeLessThan(2 * total.offered)
    expect(servers[0]?.seconds[9]?.queue).toBeGreaterThan(400)
  })

  it("has names that differ, and outages name them", () => {
    const world = { duration: "1 second", arrivals: { open: { perSecond: 1 } }, server: quick } as const
    expect(() => Lab.simulate({ ...world, tiers: { name: "server", server: quick } })).toThrow("names of their own")
    expect(() => Lab.simulate({ ...world, outages: { from: 0, for: 1, fault: "down", server: "cache" } })).toThrow(
      "one of server"
    )
  })
})

describe("clients", () => {
  it("can begin many calls at the same moment, again and again", () => {
    const world = { duration: "25 seconds", server: quick } as const
    const offered = (bursts: { calls: number; every: "10 seconds"; from?: "1 second" }) =>
      Lab.simulate({ ...world, arrivals: { bursts } }).seconds.flatMap(({ offered }, second) =>
        offered === 0 ? [] : [[second, offered]]
      )
    expect(offered({ calls: 7, every: "10 seconds" })).toEqual([[10, 7], [20, 7]])
    expect(offered({ calls: 7, every: "10 seconds", from: "1 second" })).toEqual([[1, 7], [11, 7], [21, 7]])
  })

  // Google, Site Reliability Engineering, chapter 21: an overloaded server rejects the less critical requests first.
  const ways: ReadonlyArray<readonly [string, { readonly attemptTimeout?: "10 seconds" }, string | undefined]> = [
    ["a request", {}, undefined],
    ["a request with a limit of time", { attemptTimeout: "10 seconds" }, undefined],
    ["a request through one more server", {}, "one more"]
  ]
  it.each(ways)("have priorities, which the policies of servers on their way see: %s", (_, limits, between) => {
    const gateway = { name: "gateway", ...limits }
    const backend = (priorities?: ReadonlyArray<string>) => ({
      name: "backend",
      server: { workers: 25, serviceTime: { exponential: "300 millis" } },
      policy: { ...gateway, bulkhead: { permits: 25, queue: 25, priorities } }
    } as const)
    const goodput = (priorities?: ReadonlyArray<string>) => {
      const result = Lab.simulate({
        duration: "40 seconds",
        arrivals: { open: { perSecond: 50 } },
        priority: "people",
        others: { bulk: { arrivals: { open: { perSecond: 100 } }, priority: "bulk" } },
        server: quick,
        tiers: [
          ...between === undefined ? [] : [{ name: between, server: quick, policy: gateway }],
          backend(priorities)
        ]
      })
      return { people: LabResult.goodput(result), served: result.servers.at(-1)?.served ?? 0 }
    }
    const [alike, sorted] = [goodput(), goodput(["people", "bulk"])]
    expect(alike.people).toBeLessThan(0.65)
    expect(sorted.people).toBeGreaterThan(0.99)
    expect(sorted.served / alike.served).toBeCloseTo(1, 1)
  })

  it("have their last second counted where it is a part of one", () => {
    const { seconds, servers: [server] } = Lab.simulate({
      duration: "1500 millis",
      arrivals: { bursts: { calls: 100, every: "1 hour", from: "1200 millis" } },
      server: { workers: 1, serviceTime: { constant: "1 second" } },
      policy: { name: "ledger", circuitBreaker: {}, attemptTimeout: "200 millis" }
    })
    expect(seconds.map(({ offered, queue, states }) => [offered, queue, states])).toEqual([
      [0, 0, { Closed: 1 }],
      [100, 99, { Open: 1 }]
    ])
    expect(server?.seconds.map(({ queue }) => queue)).toEqual([0, 99])
  })

  it("counts others of the same server apart, which load it too", () => {
    const world = {
      duration: "20 seconds",
      arrivals: { open: { perSecond: 40 } },
      server: { workers: 5, serviceTime: { constant: "100 millis" } },
      timeout: "1 second"
    } as const
    const alone = Lab.simulate(world)
    const crowded = Lab.simulate({ ...world, others: { batch: { arrivals: { open: { perSecond: 100 } } } } })
    expect(crowded.seconds.map(({ offered }) => offered)).toEqual(alone.seconds.map(({ offered }) => offered))
    expect(crowded.total.sent + (crowded.others["batch"]?.total.sent ?? 0)).toBe(crowded.servers[0]?.received)
    expect(LabResult.goodput(alone)).toBe(1)
    expect(LabResult.goodput(crowded)).toBeLessThan(0.5)
  })

  const failing = (policy: Lab.Policing, request?: string) => {
    const { total } = Lab.simulate({
      duration: "20 seconds",
      arrivals: { open: { perSecond: 10 } },
      server: quick,
      outages: { from: 0, for: "1 hour", fault: { failing: 1 } },
      policy,
      request
    })
    return total.sent / total.offered
  }

  it("can have a whole client, whose operations say what is sent again", () => {
    const client = {
      name: "ledger",
      baseUrl: "https://ledger.example.com",
      pipeline: { retry: { times: 2, backoff: { base: "1 millis" } } },
      operations: {
        search: { endpoint: "POST /search", idempotent: true },
        feed: { endpoint: "GET /feed", without: "retry" }
      }
    } as const
    expect(failing(client)).toBe(3)
    expect(failing(client, "POST /orders")).toBe(1)
    expect(failing(client, "POST /search")).toBe(3)
    expect(failing(client, "GET /feed")).toBe(1)
  })

  it("can have a policy alone, which is made for each process", () => {
    const made: Array<unknown> = []
    const policy = Effect.sync(() => {
      const policy = RetryPolicy.make({ times: 1, backoff: { base: "1 millis" } })
      made.push(policy)
      return policy
    })
    expect(failing(policy)).toBe(2)
    expect(made.length).toBe(1)
  })

  it.each([
    ["a pipeline", { name: "ledger", circuitBreaker: {} }],
    ["a client", { name: "ledger", baseUrl: "https://ledger.example.com", pipeline: { circuitBreaker: {} } }]
  ])("shows the states of the breakers of %s over time", (_, policy: Lab.PolicyData) => {
    const { seconds } = Lab.simulate({
      duration: "60 seconds",
      processes: 3,
      arrivals: { open: { perSecond: 300 } },
      server: quick,
      outages: { from: "10 seconds", for: "20 seconds", fault: { failing: 1 } },
      policy
    })
    expect(seconds[5]?.states).toEqual({ Closed: 3 })
    expect(seconds[15]?.states["Open"]).toBeGreaterThan(0)
    expect(seconds[59]?.states).toEqual({ Closed: 3 })
  })
})
