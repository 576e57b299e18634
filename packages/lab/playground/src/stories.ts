/** The stories: each one idea, with one surprise and the published result that it reproduces. */
import type { Policy, World } from "./protocol.ts"
import type { Scenario } from "./scenario.ts"

export interface Story {
  /** In the names of its pictures. */
  readonly slug: string
  readonly title: string
  readonly idea: string
  readonly surprise: string
  readonly source: string
  readonly figure: string
  readonly scenario: Scenario
}

/** 250 requests a second can be served, and 200 come. */
const world = {
  duration: "2 minutes",
  arrivals: { open: { perSecond: 200 } },
  server: { workers: 25, serviceTime: { exponential: "100 millis" } },
  outages: { from: "20 seconds", for: "10 seconds", fault: "down" },
  timeout: "1 second",
  processes: 1,
  seed: 1
} as const satisfies World

const plain = {
  name: "ledger",
  attemptTimeout: "1 second",
  retry: { times: 3, backoff: { base: "100 millis" } }
} as const

/** `Pipeline.standard`, with the time limit of these worlds. */
const standard = {
  name: "ledger",
  deadline: "30 seconds",
  budget: { burst: 3 },
  retry: { times: 2 },
  circuitBreaker: { tripPolicy: { proportional: {} } },
  attemptTimeout: "1 second"
} as const

const fleet = { ...world, processes: 20, arrivals: { open: { perSecond: 125 } } } as const satisfies World

const half = {
  ...world,
  processes: 5,
  arrivals: { open: { perSecond: 125 } },
  outages: { from: "20 seconds", for: "40 seconds", fault: { failing: 0.3 } }
} as const satisfies World

const tail = {
  ...world,
  server: { workers: 60, serviceTime: { bimodal: { usual: "50 millis", slow: "1 second", share: 0.02 } } },
  outages: [],
  timeout: "10 seconds"
} as const satisfies World

const cold = {
  ...world,
  arrivals: { open: { perSecond: 175 } },
  outages: { from: "20 seconds", for: "5 seconds", fault: { restart: { cold: 3, warmUp: "30 seconds" } } }
} as const satisfies World

const slow = {
  ...world,
  processes: 5,
  outages: { from: "20 seconds", for: "20 seconds", fault: { slow: 4 } }
} as const satisfies World

/** Two hundred jobs begin at once. The server rejects those that it has no place for. */
const herd = {
  ...world,
  duration: "1 minute",
  arrivals: { bursts: { calls: 200, every: "1 hour", from: "10 seconds" } },
  server: { workers: 10, serviceTime: { exponential: "100 millis" }, capacity: 5 },
  outages: [],
  timeout: "30 seconds",
  processes: 20
} as const satisfies World

const waves = (jitter: string): Policy => ({
  name: "reports",
  retry: { times: 5, backoff: { base: "1 second", cap: "1 minute", jitter } }
})

const quick = { workers: 400, serviceTime: { constant: "5 millis" } } as const

const twice = { attemptTimeout: "10 seconds", retry: { times: 2, backoff: { base: "100 millis" } } } as const

/** The first server calls a second, and that a third, which is the one that fails. */
const tiers = (inner: object): World => ({
  ...world,
  arrivals: { open: { perSecond: 8 } },
  server: quick,
  tiers: [
    { name: "orders", server: quick, policy: { name: "orders", ...inner }, timeout: "20 seconds" },
    { name: "database", server: world.server, policy: { name: "database", ...inner }, timeout: "20 seconds" }
  ],
  outages: { from: "20 seconds", for: "10 seconds", fault: { failing: 1 }, server: "database" },
  timeout: "30 seconds"
})

/** People and a nightly export share a backend. A gateway before it rejects what it has no place for. */
const shared = (priorities: object): World => ({
  ...world,
  arrivals: { open: { perSecond: 60 } },
  priority: "interactive",
  others: { bulk: { arrivals: { open: { perSecond: 120 } }, priority: "bulk", timeout: "10 seconds" } },
  server: quick,
  tiers: {
    name: "backend",
    server: world.server,
    policy: { name: "gateway", bulkhead: { permits: 25, queue: 25, ...priorities } }
  },
  outages: { from: "20 seconds", for: "40 seconds", fault: { slow: 3 }, server: "backend" },
  timeout: "2 seconds"
})

export const stories: readonly [Story, ...ReadonlyArray<Story>] = [
  {
    slug: "retries",
    title: "Retries that keep an outage alive",
    idea:
      "A server is down for ten seconds, and each call is retried up to three times. The retries do not end with the outage.",
    surprise: "Nothing is broken any more. The server works at its full capacity, for callers who have given up.",
    source: "Huang et al., Metastable Failures in the Wild, OSDI 2022",
    figure:
      "In most of the incidents that the paper studied, retries kept the failure going after its trigger was gone. Here, three of them at 80 % load do so for ever.",
    scenario: { yours: plain, safer: standard, world }
  },
  {
    slug: "fleet",
    title: "The fleet that a usual budget does not save",
    idea:
      "A budget of 20 % and ten retries a second is what several libraries document. Here 20 processes have it, at half load. The safer lane shares the ten among the processes.",
    surprise:
      "Each process obeys its budget. Together they may send 200 retries a second, which is most of the capacity.",
    source: "The defaults of Finagle, Linkerd and tower; the recovery law of this laboratory",
    figure: "It recovers only where calls × 1.2 + 10 × processes stays below the capacity: 350 is above 250.",
    scenario: {
      yours: { ...plain, budget: { ratio: 0.2, minPerSecond: 10 } },
      safer: { ...plain, budget: { ratio: 0.2, minPerSecond: 10, processes: 20 } },
      world: fleet
    }
  },
  {
    slug: "tiers",
    title: "Retries in three tiers",
    idea:
      "Each of three layers retries twice, as its team thinks right. The safer lane retries in the first layer alone, and loses a few calls more. The line of what is sent is what reaches the database.",
    surprise:
      "Two retries are three attempts, so three layers make up to 3 × 3 × 3 = 27 of one call: 3 % load fills the database.",
    source: "Beyer et al., Site Reliability Engineering, chapter 22, Addressing Cascading Failures",
    figure:
      "The chapter counts 4 × 4 × 4 = 64 with three retries in each layer. With retries in one layer alone, two make 3.",
    scenario: {
      yours: { name: "shop", ...twice },
      safer: { name: "shop", ...twice },
      world: tiers(twice),
      saferWorld: tiers({ attemptTimeout: "10 seconds" })
    }
  },
  {
    slug: "abandoned",
    title: "A queue that serves the dead",
    idea:
      "Both lanes have the same retries. The server of the safer one drops a request whose caller has given up when its turn comes.",
    surprise: "Not a line of the policy changes. After an outage most of the work is for callers who have given up.",
    source: "Maurer, Fail at Scale, ACM Queue 2015",
    figure:
      "At Facebook, many of the worst incidents had large numbers of requests in queues; its servers drop those that have waited too long. That needs a budget beside it: plain retries at this load still never recover.",
    scenario: {
      yours: { ...plain, budget: { burst: 3 } },
      safer: { ...plain, budget: { burst: 3 } },
      world,
      saferWorld: { ...world, server: { ...world.server, abandoned: "drop" } }
    }
  },
  {
    slug: "lifo",
    title: "Last in, first out",
    idea:
      "Both lanes have three retries and no budget, and no server drops anything. The safer one serves its newest request first.",
    surprise: "The unfair queue is the one that works: the newest caller is still there.",
    source: "Maurer, Fail at Scale, ACM Queue 2015",
    figure:
      "Facebook's servers turn to the newest request while their queue is long (adaptive LIFO). Here calls succeed at once, with or without a budget.",
    scenario: {
      yours: plain,
      safer: plain,
      world,
      saferWorld: { ...world, server: { ...world.server, queue: "lifo" } }
    }
  },
  {
    slug: "breaker",
    title: "A breaker that is too eager",
    idea:
      "Three calls in ten fail for a while. One breaker opens after three failures in a row; the other rejects as many as fail.",
    surprise: "The breaker turns an outage of 30 % into one of nearly 90 %, and keeps it going after its end.",
    source: "Shopify's Semian, whose adaptive breaker rejects in proportion to what fails",
    figure: "Almost half of the calls are lost where less than a tenth had to be.",
    scenario: {
      yours: { ...standard, circuitBreaker: { tripPolicy: { consecutive: 3 } } },
      safer: standard,
      world: half
    }
  },
  {
    slug: "jitter",
    title: "Retries without jitter arrive in waves",
    idea:
      "Two hundred jobs start at the same second, and a server with few places rejects most of them. Both lanes wait 1, 2, 4, 8 and 16 seconds before their retries. The safer one waits a random part of that.",
    surprise:
      "Waiting longer does not help those who wait equally long. They all come back together, and between the waves the server has nothing to do.",
    source: "Brooker, Exponential Backoff and Jitter, AWS Architecture Blog 2015",
    figure:
      "With 100 clients in the article, jitter saves more than half of the calls. Here it does so too, and every job succeeds.",
    scenario: { yours: waves("none"), safer: waves("full"), world: herd }
  },
  {
    slug: "priorities",
    title: "Calls that matter first",
    idea:
      "For 40 seconds a backend is three times slower. It can serve 83 requests a second, and gets 60 from people and 120 from an export. The gateway before it rejects the rest. In the safer lane it rejects those of the export first.",
    surprise: "Not one request more is served. It only matters which ones are rejected, and people notice nothing.",
    source: "Beyer et al., Site Reliability Engineering, chapter 21, Handling Overload",
    figure:
      "The chapter gives each request a criticality; an overloaded server rejects the less critical ones sooner. Here people keep more than 99 % of their calls instead of half.",
    scenario: {
      yours: { name: "shop" },
      safer: { name: "shop" },
      world: shared({}),
      saferWorld: shared({ priorities: ["interactive", "bulk"] })
    }
  },
  {
    slug: "hedging",
    title: "Hedging the tail",
    idea:
      "One request in fifty takes a second. The safer lane sends another where the first has taken 100 ms. The pictures look alike: compare the times in words.",
    surprise: "The slowest percent gets six times quicker for 2 % more requests.",
    source: "Dean and Barroso, The Tail at Scale, CACM 2013",
    figure:
      "There a hedge after 10 ms brings the slowest of 1,000 requests from 1.8 s to 74 ms, also with 2 % more requests.",
    scenario: {
      yours: { name: "search" },
      safer: { name: "search", hedge: { after: "100 millis", times: 1, idempotent: true } },
      world: tail
    }
  },
  {
    slug: "cold-cache",
    title: "A cold cache",
    idea:
      "A server restarts within five seconds. Its cache is empty then, so requests take three times as long at first.",
    surprise:
      "Five seconds of restart, thirty until the cache is warm: with retries the service stays down long after both.",
    source: "Bronson et al., Metastable Failures in Distributed Systems, HotOS 2021",
    figure:
      "The paper's second example: a lost cache overloads the database behind it, and the slow database keeps the cache from filling.",
    scenario: { yours: plain, safer: standard, world: cold }
  },
  {
    slug: "slow",
    title: "A slow server is kept busy by its callers",
    idea: "For 20 seconds the server takes four times as long. It never fails; callers give up after a second.",
    surprise: "No request fails at the server. It serves each one in full, for callers who have given up.",
    source: "Beyer et al., Site Reliability Engineering, chapter 22, Addressing Cascading Failures",
    figure:
      "The chapter calls it a common theme of cascading outages that servers work on requests past their callers' deadlines. Clients that reject some of their own calls let the server come back.",
    scenario: { yours: plain, safer: standard, world: slow }
  }
]
