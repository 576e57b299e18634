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
 * @since 0.1.0
 */
import type * as Classifier from "@effect-resilience/errors/Classifier"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import { nameUsedTwice } from "./internal/description.ts"
import * as Pipeline from "./Pipeline.ts"

/**
 * No pipeline of this name is configured.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoSuchPipeline extends Data.TaggedError("NoSuchPipeline")<{
  readonly name: string
  readonly names: ReadonlyArray<string>
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.giveUp
  }
  override get message(): string {
    return `There is no pipeline "${this.name}"; there are ${this.names.join(", ") || "none"}.`
  }
}

/**
 * The pipelines by name.
 *
 * @category services
 * @since 0.1.0
 */
export class PipelineRegistry extends Context.Service<PipelineRegistry, {
  readonly get: (name: string) => Effect.Effect<Pipeline.Pipeline, NoSuchPipeline>
  readonly names: Effect.Effect<ReadonlyArray<string>>
  readonly reload: (descriptions: ReadonlyArray<Pipeline.Description>) => Effect.Effect<void>
}>()("@effect-resilience/pipeline/PipelineRegistry") {}

/**
 * What all pipelines of a registry share.
 *
 * - `classify`: as in `Pipeline.Options`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly classify?: Classifier.Classifier | undefined
}

/**
 * Makes the pipelines of a configuration. Throws `RangeError` where one makes no sense, or two have the same name.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  descriptions: ReadonlyArray<Pipeline.Description>,
  options: Options = {}
): Effect.Effect<PipelineRegistry["Service"]> => {
  const makers = check(descriptions, options)
  return Effect.gen(function*() {
    let pipelines = new Map<string, Pipeline.Pipeline>()
    const lock = Semaphore.makeUnsafe(1)
    for (const [name, maker] of makers) pipelines.set(name, yield* maker)

    return {
      get: (name) =>
        Effect.suspend(() => {
          const pipeline = pipelines.get(name)
          return pipeline === undefined
            ? Effect.fail(new NoSuchPipeline({ name, names: [...pipelines.keys()] }))
            : Effect.succeed(pipeline)
        }),
      names: Effect.sync(() => [...pipelines.keys()]),
      reload: (next) => {
        const nextMakers = check(next, options)
        const load = Effect.gen(function*() {
          const reloaded = new Map<string, Pipeline.Pipeline>()
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
 * Provides the pipelines of a configuration.
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
  reload: () => Effect.void
})

const check = (descriptions: ReadonlyArray<Pipeline.Description>, options: Options) => {
  const twice = nameUsedTwice(descriptions)
  if (twice !== undefined) throw new RangeError(`PipelineRegistry: there are two pipelines named ${twice}`)
  return new Map(descriptions.map((description) => [description.name, Pipeline.make(description, options)]))
}
