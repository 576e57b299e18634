import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Attempt from "@effect-resilience/retry/Attempt"
import * as AttemptBudget from "@effect-resilience/retry/AttemptBudget"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Predicate from "effect/Predicate"
import * as Bulkhead from "../Bulkhead.ts"
import * as CircuitBreaker from "../CircuitBreaker.ts"
import * as ConcurrencyLimit from "../ConcurrencyLimit.ts"
import * as Outcome from "../Outcome.ts"
import * as Pacer from "../Pacer.ts"
import type { Description, Given, Parts, PipelineError } from "../Pipeline.ts"
import * as Throttle from "../Throttle.ts"
import * as flight from "./flight.ts"

/** A description that has been checked: how to make each of its parts. */
export interface Plan {
  readonly description: Description
  readonly deadline: Duration.Duration | undefined
  readonly attemptTimeout: Duration.Duration | undefined
  readonly retry: flight.Retry | undefined
  readonly budget: Effect.Effect<AttemptBudget.AttemptBudget> | undefined
  readonly bulkhead: Effect.Effect<Bulkhead.Bulkhead> | undefined
  readonly circuitBreaker: Effect.Effect<CircuitBreaker.CircuitBreaker> | undefined
  readonly throttle: Effect.Effect<Throttle.Throttle> | undefined
  readonly pacer: Effect.Effect<Pacer.Pacer, never, RateLimiter.RateLimiter> | undefined
  readonly concurrencyLimit: Effect.Effect<ConcurrencyLimit.ConcurrencyLimit> | undefined
}

export interface Surroundings {
  readonly given: Given
  readonly limiter: RateLimiter.RateLimiter
}

type Around = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | PipelineError<Description>, R>

type Count = (exit: Exit.Exit<unknown, unknown>, context: Context.Context<never>) => undefined

/** A plan with its parts at work. */
export interface Assembly {
  readonly plan: Plan
  readonly parts: Parts
  readonly budget: AttemptBudget.AttemptBudget | undefined
  /** Everything but deadline and fallback. */
  readonly around: Around
}

export const plan = (description: Description, given: Given): Plan => {
  const { bulkhead, budget, circuitBreaker, concurrencyLimit, name, pacer, retry, throttle } = description
  const judging = { name, classify: given.classify && Outcome.using(given.classify) }
  return {
    description,
    deadline: time("deadline", description.deadline),
    attemptTimeout: time("attemptTimeout", description.attemptTimeout),
    retry: retry && {
      policy: RetryPolicy.make(retry),
      options: { classify: given.classify }
    },
    budget: budget && AttemptBudget.make({ ...budget, name }),
    bulkhead: part(given.bulkhead, bulkhead && Bulkhead.make({ ...bulkhead, name })),
    circuitBreaker: part(
      given.circuitBreaker,
      circuitBreaker && CircuitBreaker.make({ ...circuitBreaker, ...judging })
    ),
    throttle: part(given.throttle, throttle && Throttle.make({ ...throttle, ...judging })),
    pacer: part(given.pacer, pacer && Pacer.make({ ...pacer, ...judging })),
    concurrencyLimit: part(
      given.concurrencyLimit,
      concurrencyLimit &&
        ConcurrencyLimit.make({ ...concurrencyLimit, ...judging })
    )
  }
}

export const build = /* @__PURE__ */ Effect.fnUntraced(function*(
  plan: Plan,
  { limiter }: Surroundings,
  previous: Assembly | undefined
): Effect.fn.Return<Assembly> {
  // A part whose options are as they were keeps what it has counted.
  const old = <Name extends keyof Parts>(name: Name): Parts[Name] | undefined =>
    previous !== undefined && same(plan, previous.plan, name) ? previous.parts[name] : undefined
  const make = <A, R>(known: A | undefined, effect: Effect.Effect<A, never, R> | undefined) =>
    known !== undefined ? Effect.succeed(known) : effect ?? Effect.undefined
  const parts: Parts = {
    bulkhead: yield* continued(previous?.parts.bulkhead, yield* make(old("bulkhead"), plan.bulkhead), plan),
    circuitBreaker: yield* make(old("circuitBreaker"), plan.circuitBreaker),
    throttle: yield* make(old("throttle"), plan.throttle),
    pacer: yield* Effect.provideService(make(old("pacer"), plan.pacer), RateLimiter.RateLimiter, limiter),
    concurrencyLimit: yield* make(old("concurrencyLimit"), plan.concurrencyLimit)
  }
  const isolated = previous?.parts.circuitBreaker
  if (isolated !== undefined && parts.circuitBreaker !== undefined && isolated !== parts.circuitBreaker) {
    if ((yield* isolated.snapshot)._tag === "Isolated") yield* parts.circuitBreaker.isolate
  }
  const budget = previous !== undefined && same(plan, previous.plan, "budget")
    ? previous.budget
    : yield* plan.budget ?? Effect.undefined
  return {
    plan,
    parts,
    budget,
    around: around(plan, parts, budget)
  }
})

// Calls that run hold permits of the bulkhead that they went through, so that one takes the new options.
const continued = (
  before: Bulkhead.Bulkhead | undefined,
  next: Bulkhead.Bulkhead | undefined,
  { description: { bulkhead: options } }: Plan
): Effect.Effect<Bulkhead.Bulkhead | undefined> =>
  before === undefined || next === undefined || before === next || options === undefined
    ? Effect.succeed(next)
    : Effect.as(before.reload(options), before)

const around = (plan: Plan, parts: Parts, budget: AttemptBudget.AttemptBudget | undefined): Around => {
  const { metrics, name, spans } = plan.description
  const { bulkhead } = parts
  const { retry } = plan
  const count = metrics === true ? counting(name) : undefined
  const attempt = attemptOf(plan, parts)
  const route = routeOf(plan, parts, attempt, count)
  const inParts: Around = (self) => {
    const tried = retry === undefined ? attempt(self) : RetryPolicy.retry(attempt(self), retry.policy, retry.options)
    const bounded = bulkhead === undefined ? tried : bulkhead.execute(tried)
    const seen = spans === true ? Effect.withSpan(bounded, name) : bounded
    return count === undefined
      ? seen
      : Effect.withFiber((fiber) => Effect.onExitPrimitive(seen, (exit) => count(exit, fiber.context)))
  }
  const call: Around = route === undefined ? inParts : (self) => flight.start(route, self, () => inParts(self))
  return budget === undefined ? call : (self) => Effect.provideService(call(self), AttemptBudget.Current, budget)
}

/** Parts of our own around a timeout can be met in one step. */
const routeOf = (
  { attemptTimeout: after, description: { spans }, retry }: Plan,
  { bulkhead, circuitBreaker: breaker, concurrencyLimit, pacer, throttle }: Parts,
  attempt: Around,
  count: Count | undefined
): flight.Route<PipelineError<Description>> | undefined => {
  if (after === undefined || spans === true) return undefined
  if (concurrencyLimit !== undefined || pacer !== undefined || throttle !== undefined) return undefined
  if (bulkhead !== undefined && bulkhead.admitUnsafe === undefined) return undefined
  if (breaker !== undefined && breaker.admitUnsafe === undefined) return undefined
  // The retry has to see when the first attempt begins.
  if (retry !== undefined && Duration.isFinite(Duration.fromInputUnsafe(retry.policy.maxDuration))) return undefined
  return {
    attempt,
    breaker,
    bulkhead,
    count,
    retry,
    timeoutMillis: Duration.toMillis(after),
    timedOut: () => Exit.fail(new Timeout.TimedOut({ timeout: after }))
  }
}

/** What happens for each attempt. */
const attemptOf = (plan: Plan, parts: Parts): Around => {
  const { attemptTimeout, description: { name, spans } } = plan
  const { circuitBreaker, concurrencyLimit, pacer, throttle } = parts
  return <A, E, R>(self: Effect.Effect<A, E, R>) => {
    let call: Effect.Effect<A, E | PipelineError<Description>, R> = self
    if (spans === true) call = attemptSpan(call, name)
    if (attemptTimeout !== undefined) call = Timeout.withTimeout(call, attemptTimeout)
    if (concurrencyLimit !== undefined) call = concurrencyLimit.execute(call)
    if (pacer !== undefined) call = pacer.execute(call)
    if (throttle !== undefined) call = throttle.execute(call)
    return circuitBreaker === undefined ? call : circuitBreaker.execute(call)
  }
}

const calls = (attributes?: Metric.Metric.Attributes) =>
  Metric.counter("resilience.pipeline.calls", {
    description: "Calls through pipelines, by how they ended",
    incremental: true,
    attributes
  })

export const callsTotal = /* @__PURE__ */ calls()

const counting = (pipeline: string): Count => {
  // Attributes given to the constructor cost nothing at an update, other than those of `Metric.withAttributes`.
  const of = (outcome: string) => calls({ "resilience.policy": pipeline, "resilience.outcome": outcome })
  const [success, failure, refused, interrupted] = [of("success"), of("failure"), of("refused"), of("interrupted")]
  const metricOf = (exit: Exit.Exit<unknown, unknown>) => {
    if (Exit.isSuccess(exit)) return success
    if (Cause.hasInterruptsOnly(exit.cause)) return interrupted
    const error = Cause.findErrorOption(exit.cause)
    return error._tag === "Some" && NotAsked.isNotAsked(error.value) ? refused : failure
  }
  return (exit, context) => {
    metricOf(exit).updateUnsafe(1, context)
    return undefined
  }
}

const attemptSpan = <A, E, R>(self: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) =>
    Effect.withSpan(self, `${name} attempt`, {
      kind: "client",
      attributes: { attempt: fiber.getRef(Attempt.Current).attempt }
    })
  )

// Read once: a text takes about as long to read as a breaker takes for a call.
const time = (name: string, input: Duration.Input | undefined): Duration.Duration | undefined => {
  if (input === undefined) return undefined
  const duration = Duration.fromInputUnsafe(input)
  if (!Duration.isPositive(duration)) {
    throw new RangeError(`Pipeline: ${name} must be above 0, not ${Duration.format(duration)}`)
  }
  return duration
}

const part = <A, R>(
  given: A | undefined,
  described: Effect.Effect<A, never, R> | undefined
): Effect.Effect<A, never, R> | undefined =>
  given === undefined || described === undefined ? described : Effect.succeed(given)

const same = (one: Plan, other: Plan, name: keyof Description): boolean =>
  meaning(one.description[name]) === meaning(other.description[name])

/** A text that options have in common if they say the same, in whatever order and units. */
const meaning = (options: unknown): string | undefined =>
  JSON.stringify(options, (_, value: unknown) => {
    if (typeof value === "string") return millisOf(value)
    if (!Predicate.isObject(value) || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => a < b ? -1 : 1))
  })

// A text of another kind is none.
const millisOf = (text: string): string | number =>
  Option.match(Duration.fromInput(text as Duration.Input), { onNone: () => text, onSome: Duration.toMillis })
