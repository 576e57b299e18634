/**
 * What `AsyncLocalStorage` keeps for a chain of calls: the user of a request, the span of a tracer.
 *
 * A fiber keeps it by itself. What goes on without one, after a timer that calls share, has to bring it back.
 *
 * **Example** (Coming back after a timer)
 *
 * ```ts import.meta.vitest
 * import { Surroundings } from "@effect-resilience/kernel"
 * import { AsyncLocalStorage } from "node:async_hooks"
 *
 * const user = new AsyncLocalStorage<string>()
 * const surroundings = user.run("ann", Surroundings.captureUnsafe)
 * surroundings?.runInAsyncScope(() => user.getStore()) // => "ann"
 * surroundings?.emitDestroy()
 * ```
 *
 * @stability experimental
 * @since 0.1.0
 */

/**
 * Surroundings that were captured.
 *
 * @category models
 * @since 0.1.0
 */
export interface Surroundings {
  /** Runs a function in them. */
  readonly runInAsyncScope: <A>(f: () => A) => A
  /** Tells `async_hooks` that they are needed no more. */
  readonly emitDestroy: () => void
}

/**
 * The surroundings of the present call; `undefined` on platforms that have none.
 *
 * @category constructors
 * @since 0.1.0
 */
export const captureUnsafe = (): Surroundings | undefined =>
  AsyncResource === undefined ? undefined : new AsyncResource("@effect-resilience/kernel/Surroundings")

interface AsyncHooks {
  readonly AsyncResource: new(type: string) => Surroundings
}

interface Process {
  readonly getBuiltinModule?: (name: string) => AsyncHooks | undefined
}

const { process }: { readonly process?: Process } = globalThis as object

const AsyncResource = process?.getBuiltinModule?.("node:async_hooks")?.AsyncResource
