/** The policies of the matrix: descriptions of pipelines, since threads take data. */
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"

type Description = Pipeline.Description | undefined

const standard: Pipeline.Description = { ...Pipeline.standard, name: "standard", attemptTimeout: "1 second" }

const { circuitBreaker: _, ...withoutBreaker } = standard

/** Three attempts, as the peers have them, without anything around. */
const retry = { times: 2, backoff: { base: "100 millis" } } as const

export const ours = { "`Pipeline.standard`": standard } as const

/**
 * What others do by default, written as data; the README of `retry` and the presets of `RetryPolicy` have the sources. cockatiel has no
 * defaults: its row is the first example of its readme, with its own jitter, whose formula is Polly's. Their retries give up at an open
 * circuit, or send nothing while it is open, so no wait for it is allowed here.
 */
export const peers: { readonly [name: string]: Description } = {
  "no policy": undefined,
  "3 retries, no more": {
    name: "plain",
    attemptTimeout: "1 second",
    retry: { times: 3, backoff: { base: "100 millis" } }
  },
  "budget of Finagle and Linkerd": {
    name: "finagle",
    attemptTimeout: "1 second",
    retry,
    budget: { expiring: { ratio: 0.2, minPerSecond: 10, ttl: "10 seconds" } }
  },
  "AWS SDKs, standard mode of 2026": {
    name: "aws",
    attemptTimeout: "1 second",
    retry: { times: 2, backoff: { base: "50 millis" }, cost: 14 },
    budget: { quota: {} }
  },
  "cockatiel: retry, consecutive breaker": {
    name: "cockatiel",
    attemptTimeout: "1 second",
    retry: { times: 3, backoff: { base: "128 millis", cap: "30 seconds", jitter: "polly" }, maxRetryAfter: 0 },
    circuitBreaker: { tripPolicy: { consecutive: 5 }, openDuration: "10 seconds" }
  },
  "Polly: Microsoft's standard handler": {
    name: "polly",
    deadline: "30 seconds",
    attemptTimeout: "1 second",
    bulkhead: { permits: 1000, queue: 0 },
    retry: { times: 3, backoff: { base: "2 seconds", cap: "Infinity", jitter: "polly" }, maxRetryAfter: 0 },
    circuitBreaker: {
      tripPolicy: { rateWithin: { within: "30 seconds", threshold: 0.1, minimumCalls: 100 } },
      openDuration: "5 seconds"
    }
  }
}

/** Where two rules compete, each in the place of the standard's breaker, or beside it. */
export const rules: { readonly [name: string]: Description } = {
  "neither breaker nor throttle": withoutBreaker,
  "breaker `rate`": { ...standard, circuitBreaker: {} },
  "breaker `rateWithin`": { ...standard, circuitBreaker: { tripPolicy: { rateWithin: {} } } },
  "breaker `consecutive`": { ...standard, circuitBreaker: { tripPolicy: { consecutive: 5 } } },
  "breaker `proportional` (the standard)": standard,
  "throttle": { ...withoutBreaker, throttle: {} },
  "`proportional` and throttle": { ...standard, throttle: {} },
  "`proportional` and limit `vegas`": { ...standard, concurrencyLimit: { algorithm: { vegas: {} } } },
  "`proportional` and limit `gradient2`": { ...standard, concurrencyLimit: { algorithm: { gradient2: {} } } },
  "limit `vegas` alone": { ...withoutBreaker, concurrencyLimit: { algorithm: { vegas: {} } } },
  "limit `gradient2` alone": { ...withoutBreaker, concurrencyLimit: { algorithm: { gradient2: {} } } }
}
