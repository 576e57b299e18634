import * as Client from "@effect-resilience/client/ResilientClient"
import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Repetition from "@effect-resilience/errors/Repetition"
import * as Bulkhead from "@effect-resilience/limit/Bulkhead"
import * as CircuitBreaker from "@effect-resilience/limit/CircuitBreaker"
import * as Outcome from "@effect-resilience/limit/Outcome"
import * as Pacer from "@effect-resilience/limit/Pacer"
import * as Rejection from "@effect-resilience/limit/Rejection"
import * as AttemptBudget from "@effect-resilience/retry/AttemptBudget"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as Hedge from "@effect-resilience/retry/Hedge"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import type { EffectLibrary, EffectResponseWork, EffectSubject, EffectWork } from "../Library.ts"
import { Failed } from "../Library.ts"
import type { Ending, Policy } from "../Scenario.ts"
import { promises } from "./promisesOfOurs.ts"

const classify = (error: unknown) =>
  error instanceof Failed ? (error.final ? Recovery.correct : Recovery.retry) : undefined

const backoffOf = (
  { base = 0, cap, delays, factor = 2, jitter = "none" }: NonNullable<Policy["retry"]>
): Backoff.Options =>
  delays !== undefined
    ? Backoff.list(delays)
    : { base, factor, cap: cap ?? Infinity, jitter: jitter === "own" ? "full" : jitter }

const retryOf = (
  retry: NonNullable<Policy["retry"]>
): RetryPolicy.Options & { readonly attemptTimeout?: undefined } => ({
  times: retry.retries,
  backoff: backoffOf(retry),
  ...(retry.total === undefined ? {} : { maxDuration: retry.total })
})

const tripOf = (breaker: NonNullable<Policy["breaker"]>): CircuitBreaker.TripPolicy => {
  const { consecutive = 1, rate, rateWithin, slow } = breaker
  if (slow !== undefined) {
    const { after, size, threshold } = slow
    return CircuitBreaker.slow({ slowerThan: after, size, threshold })
  }
  if (rate !== undefined) {
    const { minimum, size, threshold } = rate
    return CircuitBreaker.rate({ threshold, size, minimumCalls: minimum })
  }
  if (rateWithin !== undefined) {
    const { minimum, threshold, within } = rateWithin
    return CircuitBreaker.rateWithin({ threshold, within, minimumCalls: minimum })
  }
  return CircuitBreaker.consecutive(consecutive)
}

type Around = <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E | unknown>

const budgetOf = (budget: NonNullable<Policy["budget"]>): AttemptBudget.Options =>
  "quota" in budget ? { quota: { capacity: budget.quota.capacity } } : budget

const classifyError = (error: unknown): Ending | undefined => {
  if (Rejection.isRejection(error)) return "rejected"
  return error instanceof Timeout.TimedOut ? "timeout" : undefined
}

/** The parts of a policy around the work, from the inside out, as a pipeline has them. */
const calls = (policy: Policy, work: EffectWork): Effect.Effect<EffectSubject> =>
  Effect.gen(function*() {
    const { breaker, budget, bulkhead, hedge, rate, retry, timeout } = policy
    const around: Array<Around> = []
    if (timeout !== undefined) around.push(Timeout.withTimeout(timeout))
    if (rate !== undefined) {
      const { burst, limit, window } = rate
      const pacer = yield* Effect.provide(Pacer.make({ burst, limit, window }), Pacer.layerLimiterMemory)
      around.push(Pacer.withPacer(pacer))
    }
    let state: Effect.Effect<string> | undefined
    if (breaker !== undefined) {
      const { growth, open, probes = 1 } = breaker
      const circuit = yield* CircuitBreaker.make({
        tripPolicy: tripOf(breaker),
        openDuration: growth === undefined
          ? open
          : Backoff.exponential({ base: open, factor: growth, cap: Infinity, jitter: "none" }),
        probes,
        classify: Outcome.using(classify)
      })
      around.push(CircuitBreaker.withCircuitBreaker(circuit))
      state = Effect.map(circuit.snapshot, ({ _tag }) => _tag === "HalfOpen" ? "half-open" : _tag.toLowerCase())
    }
    if (hedge !== undefined) {
      const { after, most, share = 1 } = hedge
      const made = yield* Hedge.make({ after, times: most, share, classify })
      around.push((self) => made.execute(self))
    }
    if (retry !== undefined) {
      const made = RetryPolicy.make(retryOf(retry))
      const paid = budget !== undefined && "quota" in budget
        ? RetryPolicy.make({ ...retryOf(retry), cost: budget.quota.cost })
        : made
      around.push((self) => RetryPolicy.retry(self, paid, { classify }))
    }
    if (bulkhead !== undefined) {
      const { permits, queue = 0 } = bulkhead
      around.push(Bulkhead.withBulkhead(yield* Bulkhead.make({ permits, queue })))
    }
    if (budget !== undefined) {
      around.push(AttemptBudget.withAttemptBudget(yield* AttemptBudget.make(budgetOf(budget))))
    }
    return {
      call: (call) =>
        around.reduce<Effect.Effect<unknown, unknown>>((self, wrap) => wrap(self), work(call)).pipe(
          Repetition.allow(call.unsafe ? "unlessApplied" : "always")
        ),
      classify: classifyError,
      ...(state === undefined ? {} : { state })
    }
  })

/** The client that the README begins with, with the policy of the scenario. */
const requests = (policy: Policy, respond: EffectResponseWork): Effect.Effect<EffectSubject> => {
  const { retry } = policy
  const transport = HttpClient.make((request) =>
    Effect.map(
      respond({ name: nameOf(request.url), method: request.method, key: "", unsafe: false }),
      (response) => HttpClientResponse.fromWeb(request, response)
    )
  )
  const description = {
    name: "conformance",
    baseUrl: "https://api.example.com",
    pipeline: retry === undefined ? {} : { retry: { times: retry.retries, backoff: backoffOf(retry) } },
    timeouts: { total: retry?.total ?? "Infinity", attempt: "Infinity" }
  } as const
  return Effect.map(
    Effect.provideService(Client.make(description), HttpClient.HttpClient, transport),
    (client): EffectSubject => ({
      call: ({ method, name }) => client.execute(HttpClientRequest.make(methodOf(method))(`/${name}`)),
      classify: classifyError
    })
  )
}

const nameOf = (url: string): string => new URL(url).pathname.slice(1)

const methodOf = (method: string) => method === "POST" ? "POST" : "GET"

export const ours: EffectLibrary = {
  name: "effect-resilience",
  kind: "effect",
  packages: [],
  docs: "the READMEs of retry, limit, deadline, errors and client",
  start: (policy, work, respond) => policy.http === true ? requests(policy, respond) : calls(policy, work),
  promises
}
