/**
 * Lets a second description decide beside the policies in use, and counts where the two disagree.
 *
 * **When to use**
 *
 * Use it to try a stricter breaker or a smaller bulkhead on real traffic before anyone depends on it.
 *
 * **Details**
 *
 * A shadow has policies of its own, made from a description like that of a pipeline. They see when real calls and attempts
 * begin and how they end, and decide about each. What they decide has no effect: a call begins, waits, fails and is repeated as
 * without the shadow. It makes no attempts and no probes, takes no permits and no budget of others, draws no random numbers of
 * the caller, and keeps the counts of a pacer in memory, whatever `RateLimiter` there is. It logs nothing, and its policies'
 * own metrics go nowhere.
 *
 * A decision is one of three: may this call begin (`bulkhead`, `deadline`), may this attempt begin (`circuitBreaker`, `throttle`,
 * `pacer`, `concurrencyLimit`, `attemptTimeout`), and is there another attempt (`retry`, `budget`). A time limit decides by
 * ending a call before it has ended in fact. For each there is
 *
 * - `agreed`: both let it begin, or both rejected it;
 * - `wouldHaveRejected`: it began in fact, and this part of the shadow rejects it;
 * - `wouldHaveAdmitted`: this part in use rejected it, and the shadow lets it begin;
 * - `unknown`: it had ended in fact while the shadow still let it wait.
 *
 * **What cannot be known**
 *
 * - How a call would have ended that was rejected in fact: to the shadow it is one that was interrupted.
 * - When a call would have begun that the shadow lets wait: in the shadow, its time in the queue and its run overlap.
 * - What a longer time limit would have seen: the real one's `TimedOut` counts as the outcome.
 * - How the server would have fared with less load. A shadow that rejects more sees failures that it would have prevented.
 * - A probe of a half-open circuit is the next real call. `hedge` is not judged: it would need attempts of its own.
 *
 * **Cost**
 *
 * A fiber for each call and one for each attempt, whose levels the description names, and one for the retry of a call. They end
 * with the call. A pipeline with `around` takes the path of one part after the other. Measured on one busy core: 12 microseconds a call
 * for a breaker alone, 21 for bulkhead, retry and breaker, on top of 14 without a shadow.
 *
 * **Example** (A stricter breaker beside the one in use)
 *
 * ```ts import.meta.vitest
 * import { Pipeline, Shadow } from "@effect-resilience/pipeline"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const stricter = yield* Shadow.make({ name: "stricter", circuitBreaker: { tripPolicy: { consecutive: 2 } } })
 *   const ledger = yield* Pipeline.make(
 *     { name: "ledger", circuitBreaker: { tripPolicy: { consecutive: 5 } } },
 *     { around: Shadow.around(stricter) }
 *   )
 *   yield* Effect.repeat(Effect.ignore(ledger.execute(Effect.fail("503"))), { times: 3 })
 *   const { agreed, wouldHaveRejected } = yield* stricter.snapshot
 *   return { agreed, wouldHaveRejected }
 * })
 *
 * await Effect.runPromise(program) // => { agreed: 2, wouldHaveRejected: 2 }
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Classifier from "@effect-resilience/errors/Classifier"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Random from "effect/Random"
import * as judging from "./internal/shadow.ts"
import type * as Part from "./Part.ts"
import * as Pipeline from "./Pipeline.ts"

/**
 * A shadow. It is a policy that lets every call pass.
 *
 * @category models
 * @since 0.1.0
 */
export interface Shadow extends Policy.Policy<never, Snapshot> {
  /** The counts of each part, as `PolicyMetrics` takes them. */
  readonly policies: Effect.Effect<{ readonly [part: string]: Counted }>
  /** Its own policies, to look at: the circuit that would be open. They stand in one pipeline for each kind of decision. */
  readonly pipelines: ReadonlyArray<Pipeline.Pipeline>
  /** Watches an attempt of a call that it watches. */
  readonly attempt: Part.Wrap
}

/**
 * How often the shadow and the policies in use decided alike.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  /** Calls on which both decided alike. */
  readonly agreed: number
  /** Calls that were admitted and that the shadow would have rejected. */
  readonly wouldHaveRejected: number
  /** Calls that were rejected and that the shadow would have admitted. */
  readonly wouldHaveAdmitted: number
  /** Calls that had ended in fact while the shadow still let them wait. */
  readonly unknown: number
}

/**
 * The counts of all decisions, and of each part. A part has those decisions that were its own: it counts one as agreed if all
 * parts that decide with it agreed, or if it rejected what was rejected in fact.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot extends Counts {
  /** The counts of each part, by its key. */
  readonly parts: { readonly [part: string]: Counts }
}

/**
 * The counts of a part. `kind` is its key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counted {
  /** The name of the pipeline. */
  readonly name: string
  readonly kind: string
  /** The counts now. */
  readonly snapshot: Effect.Effect<Counts>
}

/** What decides together. */
const levels = {
  call: ["deadline", "bulkhead"],
  retry: ["budget", "retry"],
  attempt: ["circuitBreaker", "throttle", "pacer", "concurrencyLimit", "attemptTimeout"]
} as const

/**
 * A description of parts that a shadow can judge. Its `name` is that of the shadow.
 *
 * @category models
 * @since 0.1.0
 */
export interface Description
  extends Pick<Pipeline.Description, "name" | (typeof levels)[keyof typeof levels][number]>
{}

/**
 * How to make a shadow, beside its description.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The recovery of errors that do not carry the right one, as in `Pipeline.Options`. */
  readonly classify?: Classifier.Classifier | undefined
}

/**
 * Makes a shadow. Throws `RangeError` where an option makes no sense, or where a part cannot be judged.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (description: Description, options: Options = {}): Effect.Effect<Shadow> => {
  const judged: ReadonlyArray<string> = ["name", ...Object.values(levels).flat()]
  for (const part of Object.keys(description)) {
    requireArgument(
      judged.includes(part),
      "Shadow",
      `made of parts that it can judge: ${judged.slice(1).join(", ")}`,
      part
    )
  }
  const { budget, deadline, name, retry } = description
  requireArgument(
    budget === undefined || retry !== undefined,
    "Shadow.budget",
    "beside a retry, whose attempts it judges",
    "alone"
  )
  const makers = Effect.all({
    call: levelOf(description, levels.call, options),
    retry: levelOf(description, levels.retry, options),
    attempt: levelOf(description, levels.attempt, options)
  })
  return Effect.gen(function*() {
    // A pacer would count where the surroundings do.
    const made = yield* Effect.updateContext(
      makers,
      (context: Context.Context<never>) => Context.omit(RateLimiter.RateLimiter)(context)
    )
    const judge = new judging.Judge({
      name,
      ...made,
      deadlineMillis: deadline === undefined
        ? Infinity
        : Duration.toMillis(Field.duration().read(deadline, "Shadow.deadline")),
      classify: options.classify,
      random: yield* Random.withSeed(Effect.service(Random.Random), name)
    })
    return {
      name,
      kind: "Shadow",
      execute: (self) => judging.watchCall(judge, self),
      admitUnsafe: undefined,
      snapshot: Effect.sync(() => ({ ...judge.total, parts: mapEntries(judge.parts, (counts) => ({ ...counts })) })),
      policies: Effect.sync(() =>
        mapEntries(judge.parts, (counts, kind) => ({ name, kind, snapshot: Effect.sync(() => ({ ...counts })) }))
      ),
      pipelines: Object.values(made).filter(({ parts }) => parts.length > 0).map(({ pipeline }) => pipeline),
      attempt: judging.watchAttempt
    }
  })
}

/**
 * A shadow that decides nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Shadow = {
  .../* @__PURE__ */ Policy.noop<Snapshot>({ .../* @__PURE__ */ judging.noCounts(), parts: {} }),
  policies: /* @__PURE__ */ Effect.succeed({}),
  pipelines: [],
  attempt: (self) => self
}

/**
 * Where a shadow stands in a pipeline: around each call, and around each attempt outside the breaker. For the option `around`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const around = (shadow: Shadow): ReadonlyArray<Part.Around> => [
  Pipeline.around("call", shadow.name, (self) => shadow.execute(self)),
  Pipeline.around("circuitBreaker", shadow.name, shadow.attempt)
]

/**
 * Watches a call that no pipeline makes: one attempt. What rejects or repeats it has to stand inside.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withShadow: Policy.Combinator<Shadow, never> = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, shadow: Shadow): Effect.Effect<A, E, R> =>
    shadow.execute(shadow.attempt(self))
)

/** The pipeline of the parts that decide together. */
const levelOf = (
  description: Description,
  keys: ReadonlyArray<keyof Description>,
  { classify }: Options
) => {
  const parts = keys.filter((key) => description[key] !== undefined)
  const own: Pipeline.Description = {
    name: description.name,
    ...Object.fromEntries(parts.map((key) => [key, description[key]]))
  }
  return Effect.map(Pipeline.make<Pipeline.Description>(own, { classify }), (pipeline) => ({
    pipeline,
    parts,
    execute: <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, unknown, unknown> => pipeline.execute(self)
  }))
}

const mapEntries = <A, B>(
  map: ReadonlyMap<string, A>,
  f: (value: A, key: string) => B
): { readonly [key: string]: B } => Object.fromEntries([...map].map(([key, value]) => [key, f(value, key)]))
