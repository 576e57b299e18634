/**
 * The pipelines of a program, by name, from one configuration.
 *
 * **Details**
 *
 * A name that is not configured is an error with the names that there are. `reload` takes a new configuration: pipelines
 * that it names take their new descriptions (see `Pipeline`), new ones are added, those that it lacks go away once
 * their calls have ended. A configuration is taken whole: of two that come at once the later one holds, and an
 * interruption does not leave half of one.
 *
 * **Example** (Two dependencies)
 *
 * ```ts import.meta.vitest
 * import { Pipeline, PipelineRegistry } from "@effect-resilience/pipeline"
 * import { Effect } from "effect"
 *
 * const layer = PipelineRegistry.layer([
 *   { name: "ledger", retry: { times: 2 } },
 *   { name: "search", bulkhead: { permits: 10 }, attemptTimeout: "1 second" }
 * ])
 *
 * const program = Effect.gen(function*() {
 *   const registry = yield* PipelineRegistry.PipelineRegistry
 *   const search = yield* registry.get("search")
 *   const found = yield* Effect.succeed("found").pipe(Pipeline.withPipeline(search))
 *   const missing = yield* Effect.flip(registry.get("mail"))
 *   return [found, missing.message]
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(layer)))
 * // => ["found", "There is no pipeline \"mail\"; there are ledger, search."]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Classifier from "@effect-resilience/errors/Classifier"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import { nameUsedTwice } from "./internal/description.ts"
import * as engine from "./internal/engine.ts"
import type * as Part from "./Part.ts"
import * as Pipeline from "./Pipeline.ts"

/**
 * No pipeline of this name is configured.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoSuchPipeline extends ErrorMessage.TaggedError("NoSuchPipeline")<{
  /** The name that was asked for. */
  readonly pipeline: string
  /** The names that are configured. */
  readonly pipelines: ReadonlyArray<string>
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.giveUp
  }
  override get message(): string {
    return `There is no pipeline "${this.pipeline}"; there are ${this.pipelines.join(", ") || "none"}.`
  }
}

/**
 * The pipelines by name.
 *
 * @category services
 * @since 0.1.0
 */
export class PipelineRegistry extends Context.Service<PipelineRegistry, Registry>()(
  "@effect-resilience/pipeline/PipelineRegistry"
) {}

/**
 * Pipelines of some parts, by name. `E` and `R` are what functions put into their slots add.
 *
 * @category models
 * @since 0.1.0
 */
export interface Registry<in out P = Pipeline.Parts, out E = never, out R = never> {
  /** The pipeline of a name. */
  readonly get: (name: string) => Effect.Effect<Pipeline.Pipeline<P, E, R>, NoSuchPipeline>
  /** The names, in the order of the configuration. */
  readonly names: Effect.Effect<ReadonlyArray<string>>
  /** All of them, those that there are now. */
  readonly pipelines: Effect.Effect<ReadonlyArray<Pipeline.Pipeline<P, E, R>>>
  /**
   * Takes another configuration: pipelines of the same name are reloaded, others are made or dropped. Throws `RangeError` where
   * one makes no sense, and then changes none.
   */
  readonly reload: (descriptions: ReadonlyArray<Pipeline.DescriptionOf<P>>) => Effect.Effect<void>
}

/**
 * What all pipelines of a registry share: `around` and `classify` as in `Pipeline.Options`, and
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<P = Pipeline.Parts, E = never, R = never> {
  /**
   * Policies made elsewhere, by the name of the pipeline: each its `SharedCircuitBreaker`, or all one bulkhead. It is asked
   * when a configuration is taken.
   */
  readonly policies?: ((name: string) => Pipeline.PoliciesOf<P>) | undefined
  readonly around?: ReadonlyArray<Part.Around<E, R>> | undefined
  readonly classify?: Classifier.Classifier | undefined
}

/**
 * Makes the pipelines of a configuration. Throws `RangeError` where one makes no sense, or two have the same name.
 *
 * - `parts`: the parts that descriptions may name, by their keys; `Pipeline.parts` without it.
 *
 * @category constructors
 * @since 0.1.0
 */
export function make<E = never, R = never>(
  descriptions: ReadonlyArray<Pipeline.Description>,
  options?: Options<Pipeline.Parts, E, R>
): Effect.Effect<Registry<Pipeline.Parts, E, R>>
export function make<P extends Part.Table, E = never, R = never>(
  descriptions: ReadonlyArray<Pipeline.DescriptionOf<P>>,
  options: Options<P, E, R> & { readonly parts: P }
): Effect.Effect<Registry<P, E, R>>
export function make<P, E, R>(
  descriptions: ReadonlyArray<Part.Description>,
  options: AnyOptions = {}
): Effect.Effect<Registry<P, E, R>> {
  const makers = check<P, E, R>(descriptions, options)
  return Effect.gen(function*() {
    let pipelines = new Map<string, Pipeline.Pipeline<P, E, R>>()
    const lock = Semaphore.makeUnsafe(1)
    for (const [name, maker] of makers) pipelines.set(name, yield* maker)

    return {
      get: (name) =>
        Effect.suspend(() => {
          const pipeline = pipelines.get(name)
          return pipeline === undefined
            ? Effect.fail(new NoSuchPipeline({ pipeline: name, pipelines: [...pipelines.keys()] }))
            : Effect.succeed(pipeline)
        }),
      names: Effect.sync(() => [...pipelines.keys()]),
      pipelines: Effect.sync(() => [...pipelines.values()]),
      reload: (next) => {
        const nextMakers = check<P, E, R>(next, options)
        const load = Effect.gen(function*() {
          const reloaded = new Map<string, Pipeline.Pipeline<P, E, R>>()
          for (const description of next) {
            const known = pipelines.get(description.name)
            const maker = nextMakers.get(description.name)
            if (known !== undefined) {
              yield* known.reload(description)
              reloaded.set(description.name, known)
            } else if (maker !== undefined) {
              reloaded.set(description.name, yield* maker)
            }
          }
          pipelines = reloaded
        })
        return lock.withPermit(Effect.uninterruptible(load))
      }
    }
  })
}

/**
 * Provides the pipelines of a configuration. Where they have parts of your own, or functions that fail or need something, `make`
 * goes into a service of your own: `Context.Service<Ledgers, PipelineRegistry.Registry<MyParts>>`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  descriptions: ReadonlyArray<Pipeline.Description>,
  options?: Options
): Layer.Layer<PipelineRegistry> => Layer.effect(PipelineRegistry, make(descriptions, options))

/**
 * Provides a pipeline without any part for every name, for tests.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<PipelineRegistry> = /* @__PURE__ */ Layer.succeed(PipelineRegistry, {
  get: (name) => Pipeline.make<Pipeline.Description>({ name }),
  names: /* @__PURE__ */ Effect.succeed([]),
  pipelines: /* @__PURE__ */ Effect.succeed([]),
  reload: () => Effect.void
})

interface AnyOptions extends Options<Part.Table, unknown, unknown> {
  readonly parts?: Part.Table
}

const check = <P, E, R>(
  descriptions: ReadonlyArray<{ readonly name: string }>,
  { around = [], classify, parts = Pipeline.parts, policies }: AnyOptions
) => {
  const twice = nameUsedTwice(descriptions)
  if (twice !== undefined) throw new RangeError(`PipelineRegistry: there are two pipelines named ${twice}`)
  return new Map(descriptions.map((description) => {
    const { name } = description
    const maker = engine.make({ ...description }, { around, classify, parts, policies: policies?.(name) ?? {} })
    // Which parts there are is known to the types of the caller only.
    return [name, maker as Effect.Effect<unknown> as Effect.Effect<Pipeline.Pipeline<P, E, R>>]
  }))
}
