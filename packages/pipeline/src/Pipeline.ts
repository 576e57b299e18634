/**
 * All the policies around one kind of call, in the right order, from one description.
 *
 * **Why**
 *
 * Each policy is simple and their order is not: a timeout outside the retry ends all attempts at once, a breaker outside it
 * sees one failure where there were four. A pipeline takes the parts that a description names and puts each into its slot.
 *
 * **Details**
 *
 * - The order is that of `Slot.order`. What stands inside the retry happens for each attempt.
 * - The type of the result has the errors of the parts that are named and no others.
 * - `reload` gives a new description to the calls that begin from now on; those under way end under the old one. A part
 *   whose options mean the same keeps what it knows: a circuit stays open. A circuit that is isolated by hand stays so,
 *   whatever its new options.
 * - Counters and circuits belong to the pipeline. Make it once, not for each call.
 * - A part or an option that does not exist is an error of types, and a `RangeError` where types were told otherwise.
 * - The pacer counts in memory, or where the surrounding `RateLimiter` does.
 *
 * **Gotchas**
 *
 * - A retry repeats what can be repeated only if errors say so: give them a `Recovery`, or `classify` to the options. What must not
 *   be applied twice, its caller says: `ledger.execute(order).pipe(Repetition.allow("unlessApplied"))`.
 *
 * **Example** (A pipeline around a call)
 *
 * ```ts import.meta.vitest
 * import { Pipeline } from "@effect-resilience/pipeline"
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
 * @stability stable
 * @since 0.1.0
 */
import type * as Classifier from "@effect-resilience/errors/Classifier"
import type * as Field from "@effect-resilience/kernel/Field"
import type * as Policy from "@effect-resilience/kernel/Policy"
import type * as Fallback from "@effect-resilience/limit/Fallback"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Metric from "effect/Metric"
import * as Predicate from "effect/Predicate"
import * as engine from "./internal/engine.ts"
import type { Begin, CallOptions, Promised, PromiseOptions } from "./internal/promise.ts"
import * as promises from "./internal/promise.ts"
import type * as Part from "./Part.ts"
import * as standardParts from "./parts/index.ts"
import { callsTotal as calls } from "./parts/metrics.ts"
import type { Slot } from "./Slot.ts"
import type { PipelineStatus } from "./Status.ts"

type StandardParts = typeof standardParts

/**
 * The parts of every pipeline that is given no others.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parts extends StandardParts {}

/**
 * The parts of every pipeline that is given no others. Add to them: `{ parts: { ...Pipeline.parts, audit } }`.
 *
 * @category constants
 * @since 0.1.0
 */
export const parts: Parts = standardParts

/**
 * A description: a name, and the options of parts. Times are milliseconds or texts such as `"2 seconds"`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Description extends DescriptionOf<Parts> {}

/**
 * What is right for most calls between services that may be applied twice: reads, and writes that are idempotent. Spread it, in
 * code or before JSON is decoded, and name what is known better: `{ ...Pipeline.standard, name: "ledger" }`.
 *
 * | part | value | why |
 * | --- | --- | --- |
 * | `deadline` | 30 seconds | the total of Microsoft's standard handler |
 * | `budget` | 10 % and 0.1 a second, `burst: 3` | Google's SRE book has the share; in a fleet the bursts of all processes meet one server |
 * | `retry` | 2 retries, from 500 millis with full jitter | most peers make 3 attempts, and a further one hardly ever succeeds (dotnet/extensions #7686) |
 * | `circuitBreaker` | `proportional` | of the rules that pass all outages of `npm run outages`, it loses the fewest calls |
 * | `attemptTimeout` | 10 seconds | Microsoft's standard handler. Name your own: a time that nearly all calls stay below |
 *
 * It has no bulkhead and no limit: how many calls at once are right depends on the dependency.
 *
 * **Gotchas**
 *
 * A call that timed out is sent again. Put `Repetition.allow("unlessApplied")` around a call that must not be applied twice.
 *
 * @category constants
 * @since 0.1.0
 */
export const standard = {
  deadline: "30 seconds",
  budget: { burst: 3 },
  retry: { times: 2 },
  circuitBreaker: { tripPolicy: { proportional: {} } },
  attemptTimeout: "10 seconds"
} as const satisfies Omit<Description, "name">

/**
 * A description for a table of parts.
 *
 * - `name`: the name of the pipeline, which its policies, metrics and spans carry.
 *
 * @category models
 * @since 0.1.0
 */
export type DescriptionOf<P> = { readonly name: string } & { readonly [K in keyof P]?: OptionsOf<P[K]> | undefined }

type OptionsOf<P> = P extends { readonly field: infer F extends Field.AnyField } ? Field.Input<F> : never

type InstanceOf<P> = P extends { readonly make: (...args: never) => Effect.Effect<infer I> } ? Exclude<I, undefined>
  : never

/**
 * The errors that parts add to those of a call.
 *
 * @category models
 * @since 0.1.0
 */
export type PipelineError<P> = { [K in keyof P]: Policy.ErrorOf<InstanceOf<P[K]>> }[keyof P]

/**
 * A pipeline of some parts: a policy made of policies. `E` and `R` are what functions put into its slots add.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pipeline<in out P = Parts, out E = never, out R = never>
  extends Policy.Policy<E | PipelineError<P>, SnapshotsOf<P>, never, R>
{
  /** Runs an effect through all parts. */
  execute<A, E1, R1>(self: Effect.Effect<A, E1, R1>): Effect.Effect<A, E1 | E | PipelineError<P>, R1 | R>
  /** Runs an effect through all parts, with a fallback inside the deadline and outside the rest. */
  execute<A, E1, R1, A2, E2, R2>(
    self: Effect.Effect<A, E1, R1>,
    fallback: Fallback.Fallback<A2, E2, R2>
  ): Effect.Effect<A | A2, E1 | E2 | E | PipelineError<P>, R1 | R2 | R>
  /**
   * Takes a new description for the calls that begin from now on. Those that run or wait in a bulkhead count against its new
   * options. Throws `RangeError` where it makes no sense.
   */
  reload(description: DescriptionOf<P>): Effect.Effect<void>
  /** The present description. */
  readonly description: Effect.Effect<DescriptionOf<P>>
  /** The policies in use, to look at or to isolate one. */
  readonly policies: Effect.Effect<PoliciesOf<P>>
  /** The slots in use with the options of their parts, outside in, a line each. */
  readonly describe: Effect.Effect<string>
  /** The same with the present numbers of each part, for `Status`. */
  readonly status: Effect.Effect<PipelineStatus>
}

/**
 * What the policies of parts look like.
 *
 * @category models
 * @since 0.1.0
 */
export type SnapshotsOf<P> = { readonly [K in keyof P]?: SnapshotOf<InstanceOf<P[K]>> | undefined }

type SnapshotOf<I> = I extends { readonly snapshot: Effect.Effect<infer S> } ? S : never

/**
 * The policies of parts, by the keys of the parts.
 *
 * @category models
 * @since 0.1.0
 */
export type PoliciesOf<P> = { readonly [K in keyof P]?: InstanceOf<P[K]> | undefined }

/**
 * How to make a pipeline, beside its description.
 *
 * - `parts`: the parts that a description can name; default `Pipeline.parts`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<P, E = never, R = never, All = P> {
  /**
   * Policies made elsewhere, in place of those that the description names: a `SharedCircuitBreaker`, a bulkhead that two
   * pipelines share. One that it does not name is left out. They judge errors by their own options, not by `classify`. A
   * `RetryPolicy` such as `aws2026` is data: write it in the description.
   */
  readonly policies?: (PoliciesOf<P> & { readonly [K in Exclude<keyof All, keyof P>]?: never }) | undefined
  /** Functions in slots, made by `around`. */
  readonly around?: ReadonlyArray<Part.Around<E, R>> | undefined
  /**
   * The recovery of errors that do not carry the right one, such as `LibraryErrors.classify`, for all parts that the
   * description makes; `undefined` falls back to `Classifier.classify`.
   */
  readonly classify?: Classifier.Classifier | undefined
  /**
   * Another pipeline, whose policies this one takes over as a reload would: what means the same keeps what it knows. So several
   * pipelines change at once: make the next ones of all, then use those.
   */
  readonly continues?: Part.AnyPolicy | undefined
}

/**
 * Puts a function into a slot: authentication, a log, a span. `name` is for `describe`.
 *
 * **Example** (A log of attempts)
 *
 * ```ts import.meta.vitest
 * import { Pipeline } from "@effect-resilience/pipeline"
 * import { Effect } from "effect"
 *
 * const log = Pipeline.around("attempt", "log", (self) => Effect.tap(self, () => Effect.logDebug("sent")))
 *
 * const program = Effect.gen(function*() {
 *   const ledger = yield* Pipeline.make({ name: "ledger", attemptTimeout: "2 seconds" }, { around: [log] })
 *   return yield* ledger.describe
 * })
 *
 * await Effect.runPromise(program)
 * // => "ledger\n  attemptTimeout  2 seconds\n  attempt         log\n  the call"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const around = <E = never, R = never>(slot: Slot, name: string, wrap: Part.Wrap<E, R>): Part.Around<E, R> => ({
  slot,
  name,
  wrap
})

/**
 * What has no parts and options but those of `Shape`, all the way down: a bulkhead with a typo in its name would limit nothing. A
 * policy that is data, such as `RetryPolicy.aws2026`, may stand for its options.
 *
 * @category models
 * @since 0.1.0
 */
export type Exactly<D, Shape> = D extends ReadonlyArray<unknown> | ((...args: never) => unknown) ? D
  : D extends object ? {
      readonly [K in keyof D]: K extends KeyOf<Shape> ? Exactly<D[K], ValueOf<Shape, K>>
        : K extends Beside<D> ? D[K]
        : D[K] extends undefined ? D[K]
        : NoSuchOption<K>
    }
  : D

/**
 * What a name that does not exist must be, which nothing is: the error of types then tells the name.
 *
 * @category models
 * @since 0.1.0
 */
export interface NoSuchOption<out K> {
  readonly [noSuchOption]: K
}

declare const noSuchOption: unique symbol

// What a policy has besides its options.
type Beside<D> = D extends Policy.Policy<unknown> ? keyof Policy.Policy : never

type KeyOf<Shape> = Shape extends unknown ? keyof Shape : never

type ValueOf<Shape, K> = Shape extends unknown ? K extends keyof Shape ? Shape[K] : never : never

/**
 * The keys of the parts that a description names. Not an alias, since editors show the arguments of one instead of the keys.
 *
 * @category models
 * @since 0.1.0
 */
export interface Named<P, D> {
  /** Exists in types only. */
  readonly keys: { [K in keyof D & keyof P]: D[K] extends undefined ? never : K }[keyof D & keyof P]
}

/**
 * Makes a pipeline. Throws `RangeError` where an option makes no sense.
 *
 * - `parts`: the parts that the description may name, by their keys; `Pipeline.parts` without it.
 *
 * @category constructors
 * @since 0.1.0
 */
export function make<D extends Description, E = never, R = never>(
  description: D & Exactly<D, Description>,
  options?: Options<Pick<Parts, Named<Parts, D>["keys"]>, E, R, Parts>
): Effect.Effect<Pipeline<Pick<Parts, Named<Parts, D>["keys"]>, E, R>>
export function make<P extends Part.Table, D extends DescriptionOf<P>, E = never, R = never>(
  description: D & Exactly<D, DescriptionOf<P>>,
  options: Options<Pick<P, Named<P, D>["keys"]>, E, R, P> & { readonly parts: P }
): Effect.Effect<Pipeline<Pick<P, Named<P, D>["keys"]>, E, R>>
export function make<P, E, R>(
  description: Part.Description,
  options: Partial<AnyOptions> = {}
): Effect.Effect<Pipeline<P, E, R>> {
  return makeAny(description, { ...options, parts: options.parts ?? standardParts })
}

/**
 * The same, with no parts but those that it is given, so that a bundle has no others.
 *
 * - `parts`: the parts that the description may name, by their keys.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeWith = <P extends Part.Table, D extends DescriptionOf<P>, E = never, R = never>(
  description: D & Exactly<D, DescriptionOf<P>>,
  options: Options<Pick<P, Named<P, D>["keys"]>, E, R, P> & { readonly parts: P }
): Effect.Effect<Pipeline<Pick<P, Named<P, D>["keys"]>, E, R>> => makeAny(description, options as AnyOptions)

interface AnyOptions extends Options<Part.Table, unknown, unknown> {
  readonly parts: Part.Table
}

const makeAny = <P, E, R>(
  description: Part.Description,
  options: AnyOptions
): Effect.Effect<Pipeline<P, E, R>> => {
  const { around = [], classify, continues, parts, policies = {} } = options
  // Which parts there are is known to the types of the caller only.
  const made: Effect.Effect<unknown> = engine.make(description, { around, classify, continues, parts, policies })
  return made as Effect.Effect<Pipeline<P, E, R>>
}

/**
 * Runs an effect through a pipeline, with a fallback where one is given.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPipeline: {
  <P, E, R>(
    pipeline: Pipeline<P, E, R>
  ): <A, E1, R1>(self: Effect.Effect<A, E1, R1>) => Effect.Effect<A, E1 | E | PipelineError<P>, R1 | R>
  <P, E, R, A2, E2, R2>(
    pipeline: Pipeline<P, E, R>,
    fallback: Fallback.Fallback<A2, E2, R2>
  ): <A, E1, R1>(
    self: Effect.Effect<A, E1, R1>
  ) => Effect.Effect<A | A2, E1 | E2 | E | PipelineError<P>, R1 | R2 | R>
  <A, E1, R1, P, E, R>(
    self: Effect.Effect<A, E1, R1>,
    pipeline: Pipeline<P, E, R>
  ): Effect.Effect<A, E1 | E | PipelineError<P>, R1 | R>
  <A, E1, R1, P, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E1, R1>,
    pipeline: Pipeline<P, E, R>,
    fallback: Fallback.Fallback<A2, E2, R2>
  ): Effect.Effect<A | A2, E1 | E2 | E | PipelineError<P>, R1 | R2 | R>
} = /* @__PURE__ */ dual(
  (args) => Effect.isEffect(args[0]),
  <A, E1, R1, P, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E1, R1>,
    pipeline: Pipeline<P, E, R>,
    fallback?: Fallback.Fallback<A2, E2, R2>
  ) => fallback === undefined ? pipeline.execute(self) : pipeline.execute(self, fallback)
)

/**
 * Puts a pipeline, or the one that a description stands for, around code that is not Effect. Make it once, not for each call.
 *
 * **Details**
 *
 * - A `Response` is judged by its status and by headers such as `Retry-After`: 408, 429 and most 5xx are failures to all parts. When
 *   there is no further attempt, the last `Response` comes back, as it does from `fetch`. So it is with a `Response` that is thrown,
 *   which then rejects. The bodies of the others are cancelled.
 * - A call is repeated after it may have been applied only if it is `idempotent`: a function that takes a signal does not tell its
 *   method. Otherwise an attempt that runs out of time is rejected with `TimedOut`, whose `outcomeUnknown` is true.
 * - The signal of an attempt is aborted when the attempt has to end, and with the caller's own `signal`, whose reason rejects the call.
 * - Each attempt runs in the `AsyncLocalStorage` context of its caller.
 *
 * **Gotchas**
 *
 * The body of a `Response` is read outside of the pipeline. To have it limited and repeated too, read it inside and throw what failed.
 *
 * **Example** (A call to any service)
 *
 * ```ts import.meta.vitest
 * import { Pipeline } from "@effect-resilience/pipeline"
 *
 * let requests = 0
 * const fetch = (_url: string, _init: { signal: AbortSignal }) =>
 *   Promise.resolve(new Response("17 accounts", { status: ++requests < 3 ? 503 : 200 }))
 *
 * const ledger = Pipeline.promise({ ...Pipeline.standard, name: "ledger", retry: { backoff: { base: "1 millis" } } })
 *
 * const url = "https://ledger.example.com/accounts"
 * const response = await ledger((signal) => fetch(url, { signal }), { idempotent: true })
 * await response.text() // => "17 accounts"
 * requests // => 3
 * ```
 *
 * @category promises
 * @since 0.1.0
 */
export function promise<P, E>(pipeline: Pipeline<P, E>, options?: PromiseOptions): Promised<Pipeline<P, E>>
export function promise<D extends Description, E = never>(
  description: D & Exactly<D, Description>,
  options?: Options<Pick<Parts, Named<Parts, D>["keys"]>, E, never, Parts> & PromiseOptions
): Promised<Pipeline<Pick<Parts, Named<Parts, D>["keys"]>, E>>
export function promise<P, E>(
  input: Part.Description | Pipeline<P, E>,
  options: Options<Part.Table, unknown, unknown> & PromiseOptions = {}
): Promised<Pipeline<P, E>> {
  const { context = Context.empty() } = options
  const classify = promises.classifierOf(options.classify)
  const pipeline = isPipeline(input)
    ? input
    : Effect.runSyncWith(context)(makeAny<P, E, never>(input, { ...options, classify, parts: standardParts }))
  const contexts = promises.contextsOf(context)
  const execute = <A, E>(self: Effect.Effect<A, E>) => pipeline.execute(self)
  const call = <A>(begin: Begin<A>, options?: CallOptions<A>) => promises.run(execute, contexts, begin, options)
  return Object.assign(call, { pipeline })
}

const isPipeline = <P, E>(input: Part.Description | Pipeline<P, E>): input is Pipeline<P, E> =>
  Predicate.hasProperty(input, "execute")

export type { Begin, CallOptions, Promised, PromiseOptions }

/**
 * Counts the calls of pipelines that have `metrics`, with the attributes `resilience.policy` (the name of the pipeline) and
 * `resilience.outcome`: `success`, `failure`, `refused` (the error is `NotAsked`) or `interrupted`.
 *
 * @category observing
 * @since 0.1.0
 */
export const callsTotal: Metric.Counter<number> = calls
