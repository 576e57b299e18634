import * as Field from "@effect-resilience/kernel/Field"
import {
  Bulkhead,
  CircuitBreaker,
  ConcurrencyLimit,
  Endpoints,
  LimitAlgorithm,
  Throttle
} from "@effect-resilience/limit"
import * as LoadShedding from "@effect-resilience/limit/LoadShedding"
import * as Pacer from "@effect-resilience/limit/Pacer"
import * as SharedCircuitBreaker from "@effect-resilience/limit/SharedCircuitBreaker"
import * as StaleIfError from "@effect-resilience/limit/StaleIfError"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Predicate } from "effect"

const required: { readonly [name: string]: object } = {
  Bulkhead: { permits: 2 },
  Endpoints: { addresses: "a" },
  Pacer: { limit: 10, window: "1 second" },
  StaleIfError: { storeId: "rates" }
}

const fields = {
  Bulkhead,
  CircuitBreaker,
  ConcurrencyLimit,
  Endpoints,
  LoadShedding,
  Pacer,
  SharedCircuitBreaker,
  StaleIfError,
  Throttle
}

const read = (name: keyof typeof fields, options: object): unknown =>
  Field.struct<Field.Record>(fields[name].fields).read({ ...required[name], ...options } as never, name)

/** What was read, without functions; durations in milliseconds. */
const plain = (value: unknown): unknown => {
  if (Duration.isDuration(value)) return Duration.toMillis(value)
  if (Array.isArray(value)) return value.map(plain)
  if (!Predicate.isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, inner]) =>
      inner === undefined || Predicate.isFunction(inner) ? [] : [[name, plain(inner)]]
    )
  )
}

const trip = { _tag: "Rate", threshold: 0.5, minimumCalls: 100, size: 100 }
const openDuration = { backoff: { base: "5 seconds", factor: 2, cap: "1 minute", jitter: 0.2 } }

/** As the tables of the README have them. */
const defaults: { readonly [name in keyof typeof fields]: object } = {
  Bulkhead: { name: "default", permits: 2, queue: 0, discipline: {}, priorities: [] },
  CircuitBreaker: {
    name: "default",
    tripPolicy: [{ timed: false, ignoresFirstSuccesses: false, slowMillis: Infinity, shared: trip }],
    openDuration,
    maxOpenDuration: 3_600_000,
    probes: 1,
    probeThreshold: 0,
    probeLease: 60_000,
    mode: "automatic"
  },
  ConcurrencyLimit: { name: "default", queue: 0, discipline: {}, priorities: [], shares: {} },
  Endpoints: {
    name: "default",
    addresses: [{ address: "a", priority: 0, weight: 1 }],
    load: {},
    ejection: {
      consecutive: 5,
      deviations: 1.9,
      minimumAddresses: 5,
      minimumCalls: 100,
      intervalMillis: 10_000,
      baseMillis: 30_000,
      maxMillis: 300_000
    },
    panicThreshold: 0.5
  },
  LoadShedding: {
    retryAfter: 1000,
    deadlineNames: { grpc: "grpc-timeout", millis: "x-envoy-expected-rq-timeout-ms" }
  },
  Pacer: {
    name: "default",
    limit: 10,
    window: 1000,
    cost: 1,
    rates: {},
    maxWait: Infinity,
    maxPause: 60_000,
    onStoreError: "allow",
    storeTimeout: 1000
  },
  SharedCircuitBreaker: {
    name: "default",
    tripPolicy: trip,
    openDuration,
    maxOpenDuration: 3_600_000,
    onStoreError: "allow",
    storeTimeout: 1000
  },
  StaleIfError: { storeId: "rates", timeToLive: 86_400_000, storeTimeout: 1000 },
  Throttle: {
    name: "default",
    multiplier: 2,
    window: 10_000,
    maxProbability: 0.8,
    minimumCalls: 10,
    priorities: []
  }
}

/** The last values that make sense, and the first that do not. */
const bounds: ReadonlyArray<
  readonly [keyof typeof fields, option: string, sensible: ReadonlyArray<unknown>, senseless: ReadonlyArray<unknown>]
> = [
  ["Bulkhead", "permits", [1], [0, 1.5, Infinity]],
  ["Bulkhead", "queue", [0, Infinity], [-1, 0.5]],
  ["CircuitBreaker", "probes", [1], [0, 1.5]],
  ["CircuitBreaker", "probeThreshold", [0, 1], [-0.1, 1.1]],
  ["CircuitBreaker", "ramp", [{ over: 1, from: 1, aggression: 0.1 }], [
    { over: 0 },
    { over: Infinity },
    { over: 1, from: 0 },
    { over: 1, from: 1.1 },
    { over: 1, aggression: 0 }
  ]],
  [
    "CircuitBreaker",
    "tripPolicy",
    [
      CircuitBreaker.consecutive(1),
      CircuitBreaker.rate({ threshold: 1, size: 1 }),
      CircuitBreaker.rate({ size: 10, minimumCalls: 10 }),
      CircuitBreaker.rateWithin({ within: 10, minimumCalls: 1 }),
      CircuitBreaker.slow({ slowerThan: 0 }),
      CircuitBreaker.proportional({ tolerated: 0.5, deadZone: 0.9, maxProbability: 1, within: 10, minimumCalls: 1 })
    ],
    [
      { consecutive: 0 },
      { consecutive: 1.5 },
      { rate: { threshold: 1.1 } },
      { rate: { size: 0 } },
      { rate: { size: 10, minimumCalls: 11 } },
      { rateWithin: { within: 9 } },
      { rateWithin: { within: Infinity } },
      { rateWithin: { minimumCalls: 0 } },
      { slow: {} },
      { slow: { slowerThan: Infinity } },
      { proportional: { tolerated: 1 } },
      { proportional: { tolerated: 0.5, deadZone: 1 } },
      { proportional: { maxProbability: 1.1 } },
      { proportional: { within: 9 } },
      { proportional: { minimumCalls: 0 } }
    ]
  ],
  ["Throttle", "multiplier", [1], [0.9]],
  ["Throttle", "k", [1], [0.9]],
  ["Throttle", "window", [10], [9, Infinity]],
  ["Throttle", "maxProbability", [0, 1], [-0.1, 1.1]],
  ["Throttle", "minimumCalls", [0], [-1, 0.5]],
  ["ConcurrencyLimit", "shares", [{ live: 0.5, batch: 0.5 }], [{ live: 0.5, batch: 0.51 }]],
  ["ConcurrencyLimit", "algorithm", [LimitAlgorithm.aimd({ min: 3, max: 3, initial: 3 })], [
    { aimd: { min: 4, initial: 3 } },
    { aimd: { max: 2, initial: 3 } }
  ]],
  ["Endpoints", "panicThreshold", [0, 1], [-0.1, 1.1]],
  ["Endpoints", "addresses", [["a", { address: "b", weight: 0.1 }]], [
    ["a", "a"],
    { address: "a", weight: 0 },
    { address: "a", priority: -1 },
    { address: "a", priority: 0.5 }
  ]],
  ["Endpoints", "ejection", [{ duration: "1 minute", maxDuration: "1 minute" }], [
    { duration: "61 seconds", maxDuration: "1 minute" }
  ]],
  ["Endpoints", "load", [Endpoints.peakEwma({ decay: 1 })], [
    { peakEwma: { decay: 0 } },
    { peakEwma: { decay: "Infinity" } }
  ]],
  ["Pacer", "cost", [1], [0, 1.5]],
  ["Pacer", "storeTimeout", [1], [0]],
  ["LoadShedding", "retryAfter", [0], [-1, Infinity]],
  ["StaleIfError", "storeTimeout", [1], [0]]
]

/** What an option that makes no sense is told. */
const rules: ReadonlyArray<readonly [() => unknown, string]> = [
  [
    () => read("ConcurrencyLimit", { shares: { live: 0.5, batch: 0.75 } }),
    "ConcurrencyLimit.shares must be at most 1 together, not 1.25"
  ],
  [
    () => read("ConcurrencyLimit", { algorithm: { aimd: { min: 4, initial: 3, max: 9 } } }),
    "ConcurrencyLimit.algorithm.aimd.initial must be from min, 4, to max, 9, not 3"
  ],
  [
    () => read("Endpoints", { addresses: ["a", "b", "a"] }),
    "Endpoints.addresses must be a list that has each address once, not a"
  ],
  [
    () => read("Endpoints", { ejection: { duration: "61 seconds", maxDuration: "1 minute" } }),
    "Endpoints.ejection.maxDuration must be at least duration, 1m 1s, not 1m"
  ],
  [
    () => read("CircuitBreaker", { tripPolicy: { rate: { size: 10, minimumCalls: 11 } } }),
    "CircuitBreaker.tripPolicy.rate.minimumCalls must be an integer from 1 to 10, not 11"
  ],
  [
    () => read("CircuitBreaker", { tripPolicy: { proportional: { tolerated: 0.5, deadZone: 1 } } }),
    "CircuitBreaker.tripPolicy.proportional.deadZone must be below 1, or the rule never rejects, not 1"
  ],
  [
    () => read("Pacer", { rates: { calls: { limit: 1, window: 1 } } }),
    "Pacer.rates must be named otherwise than calls, which the pacer itself counts, not calls"
  ],
  [() => Effect.runSync(Effect.andThen(Bulkhead.make({ permits: 1 }), (b) => b.resize(0))), "Bulkhead.permits"],
  [
    () => Effect.runSync(Effect.map(Bulkhead.make({ permits: 1 }), (b) => b.withPermits(0))),
    "Bulkhead.withPermits must be an integer of at least 1, not 0"
  ],
  [
    () => Effect.runSync(Effect.map(Bulkhead.make({ permits: 1 }), (b) => b.acquire(0))),
    "Bulkhead.acquire must be an integer of at least 1, not 0"
  ],
  [
    () => Effect.runSync(Effect.map(ConcurrencyLimit.make(), (limit) => limit.withPermits(0))),
    "ConcurrencyLimit.withPermits must be an integer of at least 1, not 0"
  ],
  [
    () => Effect.runSync(Effect.map(ConcurrencyLimit.make(), (limit) => limit.acquire(0))),
    "ConcurrencyLimit.acquire must be an integer of at least 1, not 0"
  ]
]

const keyed: { readonly [name: string]: { readonly keyed: (options: never) => unknown } } = {
  Bulkhead,
  CircuitBreaker,
  ConcurrencyLimit,
  Pacer,
  SharedCircuitBreaker,
  Throttle
}

describe("the options", () => {
  it.each(Object.keys(keyed))("of %s by key are told by their path", (name) => {
    assert.throws(
      () => keyed[name]?.keyed({ ...required[name], capacity: 0 } as never),
      RangeError,
      `${name}.capacity must be an integer of at least 1, not 0`
    )
  })

  it.each(rules)("are told the rule where they make no sense: %#", (use, message) => {
    assert.throws(use, RangeError, message)
  })

  it.each(Object.entries(defaults))("of %s have their defaults", (name, expected) => {
    assert.deepStrictEqual(plain(read(name as keyof typeof fields, {})), expected)
  })

  it.each(bounds)("of %s accept %s to its bounds and no further", (name, option, sensible, senseless) => {
    for (const value of sensible) assert.doesNotThrow(() => read(name, { [option]: value }))
    for (const value of senseless) {
      assert.throws(() => read(name, { [option]: value }), RangeError, `${name}.${option}`, JSON.stringify(value))
    }
  })
})
