import * as cockatiel from "cockatiel"
import type { PromiseLibrary, PromiseSubject, PromiseWork } from "../Library.ts"
import { Failed } from "../Library.ts"
import type { Ending, Policy } from "../Scenario.ts"

const handled = cockatiel.handleWhen((error) => !(error instanceof Failed && error.final))

const backoffOf = ({ base = 0, cap = Infinity, delays, factor = 2, jitter = "none" }: NonNullable<Policy["retry"]>) => {
  if (delays !== undefined) return new cockatiel.IterableBackoff(delays)
  const options = { initialDelay: base, exponent: factor, maxDelay: cap }
  switch (jitter) {
    case "none":
      return new cockatiel.ExponentialBackoff({ ...options, generator: cockatiel.noJitterGenerator })
    case "full":
      return new cockatiel.ExponentialBackoff({ ...options, generator: cockatiel.fullJitterGenerator })
    case "own":
      return new cockatiel.ExponentialBackoff(options)
  }
}

const breakerOf = ({ consecutive = 1, rate, rateWithin, slow }: NonNullable<Policy["breaker"]>) => {
  if (slow !== undefined) return undefined
  if (rate !== undefined) {
    const { minimum, size, threshold } = rate
    return new cockatiel.CountBreaker({ threshold, size, minimumNumberOfCalls: minimum })
  }
  if (rateWithin !== undefined) {
    const { minimum, threshold, within } = rateWithin
    return new cockatiel.SamplingBreaker({ threshold, duration: within, minimumRps: minimum * 1000 / within })
  }
  return new cockatiel.ConsecutiveBreaker(consecutive)
}

const states: Record<cockatiel.CircuitState, string> = {
  [cockatiel.CircuitState.Closed]: "closed",
  [cockatiel.CircuitState.Open]: "open",
  [cockatiel.CircuitState.HalfOpen]: "half-open",
  [cockatiel.CircuitState.Isolated]: "isolated"
}

const classify = (error: unknown): Ending | undefined => {
  if (error instanceof cockatiel.BrokenCircuitError || error instanceof cockatiel.BulkheadRejectedError) {
    return "rejected"
  }
  if (!(error instanceof cockatiel.TaskCancelledError)) return undefined
  return error.message.includes("timed out") ? "timeout" : "cancelled"
}

const start = (policy: Policy, work: PromiseWork): PromiseSubject | undefined => {
  const { breaker, bulkhead, retry, timeout } = policy
  const policies: Array<cockatiel.IPolicy> = []
  if (bulkhead !== undefined) policies.push(cockatiel.bulkhead(bulkhead.permits, bulkhead.queue ?? 0))
  if (retry !== undefined) {
    policies.push(cockatiel.retry(handled, { maxAttempts: retry.retries, backoff: backoffOf(retry) }))
  }
  let circuit: cockatiel.CircuitBreakerPolicy | undefined
  if (breaker !== undefined) {
    const { growth, open, probes } = breaker
    const trip = breakerOf(breaker)
    if (trip === undefined) return undefined
    circuit = cockatiel.circuitBreaker(handled, {
      breaker: trip,
      halfOpenAfter: growth === undefined ? open : new cockatiel.ExponentialBackoff({
        initialDelay: open,
        exponent: growth,
        maxDelay: Infinity,
        generator: cockatiel.noJitterGenerator
      }),
      ...(probes === undefined ? {} : { halfOpenSampling: { calls: probes, threshold: 0 } })
    })
    policies.push(circuit)
  }
  if (timeout !== undefined) policies.push(cockatiel.timeout(timeout, cockatiel.TimeoutStrategy.Aggressive))
  const all = cockatiel.wrap(...policies)
  const subject: PromiseSubject = {
    call: (call, signal) => all.execute((context) => work(call, context.signal), signal),
    classify
  }
  const made = circuit
  return made === undefined ? subject : { ...subject, state: () => states[made.state] }
}

const exponential = "ExponentialBackoff: exponent, initialDelay, maxDelay; noJitterGenerator does not add any jitter"
const consecutive = "The ConsecutiveBreaker breaks after n requests in a row fail."
const open = "Calls to execute() while the circuit is open (not taking requests) will throw a BrokenCircuitError."
const halfOpen =
  "By default, one successful half-open call closes the circuit and one failed half-open call reopens it."
const bulkhead = "A Bulkhead is a simple structure that limits the number of concurrent calls."
const aggressive =
  "In aggressive timeouts, we'll immediately throw a TaskCancelledError when the timeout is reached, in addition to marking the passed token as failed."

export const ofCockatiel: PromiseLibrary = {
  name: "cockatiel",
  kind: "promise",
  packages: ["cockatiel"],
  docs: "readme.md of the package",
  start,
  promises: {
    "backoff/doubles": exponential,
    "backoff/factor": "exponent: Backoff exponent. Defaults to 2.",
    "backoff/cap": "maxDelay: Maximum delay, in milliseconds. Defaults to 30s.",
    "backoff/overflow": "maxDelay: Maximum delay, in milliseconds. Defaults to 30s.",
    "backoff/full-jitter": "fullJitterGenerator: Jitters between [0, interval)",
    "backoff/jitter":
      "By default, it uses a decorrelated jitter algorithm, which is a good default for most applications.",
    "backoff/jitter-within-the-cap": "maxDelay: Maximum delay, in milliseconds. Defaults to 30s.",
    "backoff/list":
      "Takes in a list of delays, and goes through them one by one. When it reaches the end of the list, the backoff will continue to use the last value.",
    "backoff/count": "{ maxAttempts: 3 }, // retry three times",
    "backoff/stops":
      "If the function doesn't succeed before the backoff ceases or cancellation is requested, the last error thrown will be bubbled up",
    "backoff/none": "maxAttempts: the number of attempts to make before giving up",
    "backoff/final": "handleWhen(filter): Tells the policy to handle any error for which the filter returns truthy",
    "backoff/cancel":
      "If the function doesn't succeed before the backoff ceases or cancellation is requested, the last error thrown will be bubbled up",
    "backoff/cancel-attempt":
      "The current retry context, containing the attempts and abort token, is passed as the function's first argument.",
    "breaker/opens": consecutive,
    "breaker/not-before": consecutive,
    "breaker/success-resets": consecutive,
    "breaker/stays-open":
      "The halfOpenAfter option is the number of milliseconds after which we should try to close the circuit after failure",
    "breaker/rejections-change-nothing": open,
    "breaker/one-probe": halfOpen,
    "breaker/probes": "Set calls to the number of trial calls to allow through",
    "breaker/reopens": halfOpen,
    "breaker/grows":
      "You may also pass a backoff strategy instead of a constant number of milliseconds if you wish to increase the interval between consecutive failing half-open checks.",
    "breaker/final-is-no-failure": "Cockatiel won't assume all thrown errors are actually failures unless you tell us.",
    "breaker/rate-above":
      "The CountBreaker breaks after a proportion of requests in a count based sliding window fail.",
    "breaker/rate":
      "It is inspired by the Count-based sliding window in Resilience4j. // Break if more than 20% of requests fail",
    "breaker/window": "The SamplingBreaker breaks after a proportion of requests over a time period fail.",
    "breaker/window-minimum":
      "You can specify a minimum requests-per-second value to use to avoid opening the circuit under periods of low load.",
    "breaker/window-forgets": "The SamplingBreaker breaks after a proportion of requests over a time period fail.",
    "breaker/window-stays-open": halfOpen,
    "breaker/window-one-probe": halfOpen,
    "breaker/window-reopens": halfOpen,
    "limiter/bulkhead": "limit to 12 concurrent calls, with 4 queued up",
    "limiter/concurrency": bulkhead,
    "limiter/full": "Once again, if this queue fills up, a BulkheadRejectedError will be thrown.",
    "limiter/full-without-a-queue":
      "Attempting to exceed the capacity will cause execute() to throw a BulkheadRejectedError.",
    "limiter/order": "Queues the function for execution and returns its results when it runs",
    "limiter/failure-frees": bulkhead,
    "limiter/cancel-frees": bulkhead,
    "limiter/cancel-while-waiting":
      "The abort signal is checked (possibly resulting in a TaskCancelledError) when the function is first submitted to the bulkhead, and when it dequeues.",
    "timeout/ends": aggressive,
    "timeout/in-time": aggressive,
    "timeout/failure": aggressive,
    "timeout/cancels": "An AbortSignal will be pass to any executed function",
    "timeout/deaf": aggressive,
    "timeout/caller-cancels":
      "If cancellation is requested on the parent abort signal provided as the second argument to execute(), the cancellation will be propagated.",
    "timeout/each-attempt":
      "retry.execute(() => breaker.execute(() => timeout.execute(({ signal }) => getData(signal))))",
    "timeout/opens-a-breaker":
      "retry.execute(() => breaker.execute(() => timeout.execute(({ signal }) => getData(signal))))"
  },
  notes: {
    "backoff/factor":
      "The generator without jitter, and those for full and half jitter, double whatever the exponent is.",
    "backoff/cancel": "The wait goes on, and one more attempt starts with the aborted signal.",
    "breaker/rate": "The threshold has to be exceeded; resilience4j opens where it is reached.",
    "breaker/window-forgets":
      "A call after a quiet time drops one of the five parts of the window, however long it was quiet.",
    "timeout/ends":
      "Work that heeds its signal rejects first, so the caller sees its AbortError. Work that does not ends as promised: see timeout/deaf."
  }
}
