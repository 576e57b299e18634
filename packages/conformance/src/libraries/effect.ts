import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as PartitionedSemaphore from "effect/PartitionedSemaphore"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Call, EffectLibrary, EffectResponseWork, EffectSubject, EffectWork } from "../Library.ts"
import { Failed } from "../Library.ts"
import type { Ending, Policy } from "../Scenario.ts"

const scheduleOf = ({ base = 0, cap, delays, factor = 2, jitter, total }: NonNullable<Policy["retry"]>) => {
  let schedule: Schedule.Schedule<unknown> = delays === undefined
    ? Schedule.exponential(base, factor)
    : delays.slice(0, -1).reduceRight<Schedule.Schedule<unknown>>(
      (after, delay) => Schedule.concat(Schedule.spaced(delay).pipe(Schedule.upTo({ times: 1 })), after),
      Schedule.spaced(delays.at(-1) ?? 0)
    )
  if (jitter === "own") schedule = Schedule.jittered(schedule)
  if (cap !== undefined) schedule = Schedule.min([schedule, Schedule.spaced(cap)])
  return total === undefined ? schedule : Schedule.upTo(schedule, { duration: total })
}

const classify = (error: unknown): Ending | undefined => {
  if (error instanceof CircuitBreaker.CircuitBreakerError || error instanceof RateLimiter.RateLimiterError) {
    return "rejected"
  }
  return Cause.isTimeoutError(error) ? "timeout" : undefined
}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): CircuitBreaker.Outcome => {
  if (Exit.isSuccess(exit)) return CircuitBreaker.success
  const error = Cause.findErrorOption(exit.cause)
  return error._tag === "Some" && error.value instanceof Failed && error.value.final
    ? CircuitBreaker.ignored
    : CircuitBreaker.failure()
}

type Around = (self: Effect.Effect<unknown, unknown>, call: Call) => Effect.Effect<unknown, unknown>

const calls = (policy: Policy, work: EffectWork): Effect.Effect<EffectSubject> =>
  Effect.gen(function*() {
    const { breaker, bulkhead, rate, retry, timeout } = policy
    const around: Array<Around> = []
    if (timeout !== undefined) around.push((self) => Effect.timeout(self, timeout))
    if (rate !== undefined) {
      const services = yield* Effect.scoped(
        Layer.build(Layer.provide(RateLimiter.layer, RateLimiter.layerStoreMemory))
      )
      const limiter = Context.get(services, RateLimiter.RateLimiter)
      // The bucket holds `limit` tokens, so the burst is the limit, in a window of its own.
      const options = {
        algorithm: "token-bucket",
        onExceeded: "delay",
        limit: rate.burst,
        window: rate.window * rate.burst / rate.limit,
        key: "conformance"
      } as const
      around.push((self) => Effect.flatMap(limiter.consume(options), ({ delay }) => Effect.delay(self, delay)))
    }
    let state: Effect.Effect<string> | undefined
    if (breaker !== undefined) {
      const { consecutive = 1, growth, open, rate } = breaker
      const circuit = yield* CircuitBreaker.make({
        tripPolicy: rate === undefined
          ? CircuitBreaker.consecutive(consecutive)
          : CircuitBreaker.rate({ threshold: rate.threshold, size: rate.size, minimumCalls: rate.minimum }),
        openDuration: growth === undefined ? Duration.millis(open) : Schedule.exponential(open, growth)
      }).pipe(
        Effect.provide(CircuitBreaker.layerStoreMemory()),
        Effect.provideService(Scope.Scope, yield* Scope.make())
      )
      around.push((self) => circuit.execute(self, { key: "conformance", classify: outcomeOf }))
      state = circuit.state("conformance").pipe(
        Effect.map(({ _tag }) => _tag === "HalfOpen" ? "half-open" : _tag.toLowerCase()),
        Effect.orDie
      )
    }
    if (retry !== undefined) {
      const schedule = scheduleOf(retry)
      around.push((self) =>
        Effect.retry(self, {
          schedule,
          times: retry.retries,
          while: (error) => !(error instanceof Failed && error.final)
        })
      )
    }
    if (bulkhead?.fair === true) {
      const semaphore = yield* PartitionedSemaphore.make<string>({ permits: bulkhead.permits })
      around.push((self, call) => semaphore.withPermit(call.key)(self))
    } else if (bulkhead !== undefined) {
      const semaphore = yield* Semaphore.make(bulkhead.permits)
      around.push((self) => semaphore.withPermit(self))
    }
    return {
      call: (call) => around.reduce<Effect.Effect<unknown, unknown>>((self, wrap) => wrap(self, call), work(call)),
      classify,
      ...(state === undefined ? {} : { state })
    }
  })

const requests = ({ retry }: Policy, respond: EffectResponseWork): Effect.Effect<EffectSubject> => {
  const client = HttpClient.make((request) =>
    Effect.map(
      respond({ name: new URL(request.url).pathname.slice(1), method: request.method, key: "", unsafe: false }),
      (response) => HttpClientResponse.fromWeb(request, response)
    )
  ).pipe(
    HttpClient.filterStatusOk,
    HttpClient.retryTransient(
      retry === undefined ? { times: 0 } : { times: retry.retries, schedule: scheduleOf(retry) }
    )
  )
  return Effect.succeed({
    call: ({ method, name }) =>
      client.execute(HttpClientRequest.make(method === "POST" ? "POST" : "GET")(`https://api.example.com/${name}`)),
    classify
  })
}

const start: EffectLibrary["start"] = (policy, work, respond) => {
  if (policy.hedge !== undefined || policy.budget !== undefined) return undefined
  return policy.http === true ? requests(policy, respond) : calls(policy, work)
}

const exponential =
  "Schedule that always recurs, but will wait a certain amount between repetitions, given by `base * factor.pow(n)`"
const min =
  "Combines schedules by recurring while at least one schedule wants to recur, using the minimum delay between recurrences"
const retryAfter =
  "A `Retry-After` header on a transient response, or on the response of a status code error, sets the minimum delay before the next attempt."
const consecutive = "`Consecutive` opens after `failures` failures in a row, in order of completion."
const halfOpen =
  "HalfOpen: the next call is the probe, and other calls fail with `CircuitHalfOpen` while it runs. A successful probe closes the circuit and a failed one reopens it."
const late = "Calls admitted before a trip still run to completion, but their outcomes change nothing."
const semaphore =
  "Work can run only after acquiring the permits it needs, and those permits are returned when the work finishes."
const bucket = "Service for consuming rate-limit tokens for a key using fixed-window or token-bucket algorithms."
const interruption =
  "An interruption ends an effect, and a semaphore's permits are automatically released when the effect exits."
const timeout = "If the effect does not complete within the given time, a `TimeoutError` is raised."
const evaluated = "The source effect is always evaluated once before any retry policy is applied."

export const ofEffect: EffectLibrary = {
  name: "Effect's own",
  kind: "effect",
  packages: ["effect"],
  docs:
    "the doc comments of Schedule, HttpClient, CircuitBreaker, RateLimiter, Semaphore, PartitionedSemaphore and Effect",
  start,
  promises: {
    "backoff/doubles": exponential,
    "backoff/factor": exponential,
    "backoff/cap": min,
    "backoff/overflow": min,
    "backoff/jitter": "Schedule.jittered: Each recurrence delay is scaled by a random factor between `0.8` and `1.2`.",
    "backoff/jitter-within-the-cap": min,
    "backoff/list": "Returns a schedule that runs `self` to completion, then runs `other`",
    "backoff/count": evaluated,
    "backoff/stops": "Retries an effect … when it fails",
    "backoff/none": evaluated,
    "backoff/final": "`while`: retries as long as the predicate is true",
    "backoff/bug": "A failure whose cause contains a defect is not retried",
    "backoff/total":
      "Schedule.upTo: The `duration` option is based on the elapsed time observed by the schedule step. Long-running effects can cause the duration limit to be detected on the following schedule step.",
    "backoff/cancel": interruption,
    "backoff/cancel-attempt": interruption,
    "retry-after/seconds-503": retryAfter,
    "retry-after/seconds-429": retryAfter,
    "retry-after/date": retryAfter,
    "retry-after/date-rfc850": retryAfter,
    "retry-after/date-asctime": retryAfter,
    "retry-after/date-past": retryAfter,
    "retry-after/zero": retryAfter,
    "retry-after/negative": retryAfter,
    "retry-after/rubbish": retryAfter,
    "retry-after/longer-backoff": retryAfter,
    "retry-after/not-found": "Retries common transient errors, such as rate limiting, timeouts or network issues.",
    "retry-after/server-error": "Retries common transient errors, such as rate limiting, timeouts or network issues.",
    "breaker/opens": consecutive,
    "breaker/not-before": consecutive,
    "breaker/success-resets": "Only a `Success` resets the streak.",
    "breaker/stays-open": "Open: calls fail with `CircuitOpen` until the open time ends.",
    "breaker/rejections-change-nothing": "Open: calls fail with `CircuitOpen` until the open time ends.",
    "breaker/one-probe": halfOpen,
    "breaker/others-are-rejected": halfOpen,
    "breaker/reopens": halfOpen,
    "breaker/grows":
      "`openDuration` is a duration or a `Schedule`. The n-th consecutive opening lasts the schedule's n-th delay",
    "breaker/late-failure": late,
    "breaker/late-success": late,
    "breaker/cancelled-calls": "An exit that is only interruption is always `Ignored`.",
    "breaker/cancelled-probe": "An interrupted or `Ignored` probe frees the slot.",
    "breaker/rate":
      "`Rate` … opens when the fraction of failures reaches `threshold`, once at least `minimumCalls` outcomes are recorded.",
    "breaker/rate-above":
      "`Rate` … opens when the fraction of failures reaches `threshold`, once at least `minimumCalls` outcomes are recorded.",
    "breaker/final-is-no-failure": "`classify` maps the call's `Exit` to an `Outcome`",
    "limiter/concurrency": semaphore,
    "limiter/order": semaphore,
    "limiter/failure-frees": semaphore,
    "limiter/cancel-frees": interruption,
    "limiter/fair-between-keys": "Waiters are served across partitions in round-robin order",
    "limiter/rate-burst": bucket,
    "limiter/rate-refill": bucket,
    "limiter/rate-any-second": bucket,
    "timeout/ends": timeout,
    "timeout/in-time": timeout,
    "timeout/failure": timeout,
    "timeout/cancels": "If the timeout wins, the source effect is interrupted.",
    "timeout/deaf": timeout,
    "timeout/caller-cancels": timeout,
    "timeout/each-attempt": timeout
  }
}
