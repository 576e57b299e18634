/**
 * All the policies around one kind of call, in the right order, from one description.
 *
 * **Why**
 *
 * Each policy is simple and their order is not: a timeout outside the retry ends all attempts at once, a breaker outside it
 * sees one failure where there were four. A pipeline takes the parts that are named and puts them where they belong.
 *
 * **Details**
 *
 * Outside in: deadline, fallback, span of the call, bulkhead, retry with its budget, circuit breaker, throttle, pacer,
 * adaptive limit, timeout of the attempt, span of the attempt. What stands inside the retry happens for each attempt; the
 * adaptive limit is there since it has to see round trips, not waits between them.
 *
 * The type of the result has the errors of the parts that are named and no others.
 *
 * - `reload` gives a new description to the calls that begin from now on; those under way end under the old one. A part
 *   whose options mean the same keeps what it knows: a circuit stays open. A circuit that is isolated by hand stays so,
 *   whatever its new options.
 * - Counters and circuits belong to the pipeline. Make it once, not for each call.
 * - The pacer counts in memory, or where the surrounding `RateLimiter` does.
 *
 * **Gotchas**
 *
 * - Not in the package's index, so that whoever needs one policy loads no `Schema`: import it from
 *   `@effect-resilience/limit/Pipeline`.
 * - A retry repeats what can be repeated only if errors say so: give them a `Recovery`.
 *
 * **Example** (A pipeline around a call)
 *
 * ```ts import.meta.vitest
 * import * as Pipeline from "@effect-resilience/limit/Pipeline"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const ledger = yield* Pipeline.make({
 *     name: "ledger",
 *     deadline: "10 seconds",
 *     bulkhead: { permits: 10, queue: 20 },
 *     retry: { times: 3 },
 *     circuitBreaker: { tripPolicy: { consecutive: 5 } },
 *     attemptTimeout: "2 seconds"
 *   })
 *   return yield* Effect.succeed("stored").pipe(Pipeline.withPipeline(ledger))
 * })
 *
 * await Effect.runPromise(program) // => "stored"
 * ```
 *
 * @since 0.1.0
 */
import * as Deadline from "@effect-resilience/deadline/Deadline"
import type * as Timeout from "@effect-resilience/deadline/Timeout"
import type * as Classifier from "@effect-resilience/errors/Classifier"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as RateLimiter from "effect/persistence/RateLimiter"
import type * as Bulkhead from "./Bulkhead.ts"
import type * as CircuitBreaker from "./CircuitBreaker.ts"
import type * as ConcurrencyLimit from "./ConcurrencyLimit.ts"
import type * as Fallback from "./Fallback.ts"
import * as assembly from "./internal/assembly.ts"
import * as memoryLimiter from "./internal/memoryLimiter.ts"
import type * as Pacer from "./Pacer.ts"
import * as PipelineDescription from "./PipelineDescription.ts"
import type * as Throttle from "./Throttle.ts"

/**
 * The description of a pipeline.
 *
 * @category models
 * @since 0.1.0
 */
export type Description = PipelineDescription.PipelineDescription

/**
 * A pipeline.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pipeline<in out D extends Description = Description> {
  /** The name of the description. */
  readonly name: string
  /** Runs an effect through all parts. */
  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | PipelineError<D>, R>
  /** Runs an effect through all parts, with a fallback inside the deadline and outside the rest. */
  execute<A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Fallback.Fallback<A2, E2, R2>
  ): Effect.Effect<A | A2, E | E2 | PipelineError<D>, R | R2>
  /**
   * Takes a new description for the calls that begin from now on. Those that run or wait in a bulkhead count against its new
   * options. Throws `RangeError` where it makes no sense.
   */
  reload(description: D): Effect.Effect<void>
  /** The present description. */
  readonly description: Effect.Effect<D>
  /** The parts in use, to look at or to isolate one. */
  readonly parts: Effect.Effect<Parts>
}

/**
 * The parts of a pipeline that have a state.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parts {
  readonly bulkhead: Bulkhead.Bulkhead | undefined
  readonly circuitBreaker: CircuitBreaker.CircuitBreaker | undefined
  readonly throttle: Throttle.Throttle | undefined
  readonly pacer: Pacer.Pacer | undefined
  readonly concurrencyLimit: ConcurrencyLimit.ConcurrencyLimit | undefined
}

/**
 * Parts made elsewhere, in place of those that the description names: a `SharedCircuitBreaker`, a bulkhead that two
 * pipelines share. One that it does not name is left out.
 *
 * - `classify`: the recovery of errors that do not carry the right one, such as `LibraryErrors.classify`, for all parts that are
 *   made here; `undefined` falls back to `Classifier.classify`.
 *
 * @category models
 * @since 0.1.0
 */
export type Given<D extends Description = Description> =
  & { readonly [Part in keyof Parts]?: Part extends keyof D ? NonNullable<Parts[Part]> : never }
  & { readonly classify?: Classifier.Classifier | undefined }

/**
 * What has no parts and options but those of `Shape`, all the way down: a bulkhead with a typo in its name would limit nothing.
 *
 * @category models
 * @since 0.1.0
 */
export type Exactly<D, Shape> = D extends ReadonlyArray<unknown> ? D
  : D extends object ? { readonly [K in keyof D]: K extends KeyOf<Shape> ? Exactly<D[K], ValueOf<Shape, K>> : never }
  : D

type KeyOf<Shape> = Shape extends unknown ? keyof Shape : never

type ValueOf<Shape, K> = Shape extends unknown ? K extends keyof Shape ? Shape[K] : never : never

/**
 * The errors that the parts of a description add to those of a call.
 *
 * @category models
 * @since 0.1.0
 */
export type PipelineError<D extends Description> =
  | ErrorIf<D, "deadline", Deadline.DeadlineExceeded>
  | ErrorIf<D, "bulkhead", Bulkhead.BulkheadFull>
  | ErrorIf<D, "circuitBreaker", CircuitBreaker.CircuitOpen>
  | ErrorIf<D, "throttle", Throttle.Throttled>
  | ErrorIf<D, "pacer", Pacer.PaceExceeded>
  | ErrorIf<D, "concurrencyLimit", ConcurrencyLimit.LimitReached>
  | ErrorIf<D, "attemptTimeout", Timeout.TimedOut>

/**
 * An error, if a description has a part.
 *
 * @category models
 * @since 0.1.0
 */
export type ErrorIf<D extends Description, Part extends keyof Description, E> = Part extends keyof D
  ? D[Part] extends undefined ? never : E
  : never

/**
 * Makes a pipeline. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export function make<D extends Description>(
  description: D & Exactly<D, Description>,
  given?: Given<D>
): Effect.Effect<Pipeline<D>>
export function make(description: Description, given: Given = {}): Effect.Effect<Pipeline> {
  const plan = (description: Description) => {
    const planned = assembly.plan(description, given)
    PipelineDescription.check(description)
    return planned
  }
  const first = plan(description)
  return Effect.gen(function*() {
    const limiter = yield* Effect.serviceOption(RateLimiter.RateLimiter)
    const context: assembly.Surroundings = {
      given,
      limiter: Option.isSome(limiter) ? limiter.value : yield* memoryLimiter.make
    }
    let current = yield* assembly.build(first, context, undefined)

    function execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | PipelineError<Description>, R>
    function execute<A, E, R, A2, E2, R2>(
      self: Effect.Effect<A, E, R>,
      fallback: Fallback.Fallback<A2, E2, R2>
    ): Effect.Effect<A | A2, E | E2 | PipelineError<Description>, R | R2>
    function execute<A, E, R>(self: Effect.Effect<A, E, R>, fallback?: Fallback.Fallback<A, E, R>) {
      return Effect.suspend((): Effect.Effect<A, E | PipelineError<Description>, R> => {
        const { deadline } = current.plan
        const guarded = current.around(self)
        const answered = fallback === undefined ? guarded : fallback.execute(guarded)
        return deadline === undefined ? answered : Deadline.withDeadline(answered, deadline)
      })
    }

    return {
      name: description.name,
      execute,
      reload: (next) => {
        const planned = plan(next)
        return Effect.map(
          Effect.suspend(() => assembly.build(planned, context, current)),
          (built) => {
            current = built
          }
        )
      },
      description: Effect.sync(() => current.plan.description),
      parts: Effect.sync(() => current.parts)
    }
  })
}

/**
 * Runs an effect through a pipeline, with a fallback where one is given.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPipeline: {
  <D extends Description>(
    pipeline: Pipeline<D>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | PipelineError<D>, R>
  <D extends Description, A2, E2, R2>(
    pipeline: Pipeline<D>,
    fallback: Fallback.Fallback<A2, E2, R2>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, E | E2 | PipelineError<D>, R | R2>
  <A, E, R, D extends Description>(
    self: Effect.Effect<A, E, R>,
    pipeline: Pipeline<D>
  ): Effect.Effect<A, E | PipelineError<D>, R>
  <A, E, R, D extends Description, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    pipeline: Pipeline<D>,
    fallback: Fallback.Fallback<A2, E2, R2>
  ): Effect.Effect<A | A2, E | E2 | PipelineError<D>, R | R2>
} = /* @__PURE__ */ dual(
  (args) => Effect.isEffect(args[0]),
  <A, E, R, D extends Description, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    pipeline: Pipeline<D>,
    fallback?: Fallback.Fallback<A2, E2, R2>
  ) => fallback === undefined ? pipeline.execute(self) : pipeline.execute(self, fallback)
)

/**
 * The parts of a pipeline in the order in which a call meets them, a line each.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = <D extends Description>(pipeline: Pipeline<D>): Effect.Effect<string> =>
  Effect.map(pipeline.description, PipelineDescription.describe)

/**
 * Counts the calls of pipelines that have `metrics`, with the attributes `resilience.policy` (the name of the pipeline) and
 * `resilience.outcome`: `success`, `failure`, `refused` (the error is `NotAsked`) or `interrupted`.
 *
 * @category observing
 * @since 0.1.0
 */
export const callsTotal: Metric.Counter<number> = assembly.callsTotal
