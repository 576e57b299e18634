/**
 * Computes digests in threads of their own, beside the send.
 *
 * **Why**
 *
 * md5 takes 1.5 s a GiB and SHA-256 0.7 s. On the calling thread nothing else happens meanwhile: four uploads at once delay all
 * other calls by 26 ms each time, and a line that is quicker than the hashing waits as well.
 *
 * **Details**
 *
 * Each digest of a large file gets its own thread while there are enough, so that md5 and SHA-256 of one upload run in parallel.
 * Further digests share the thread that computes the fewest. Threads start with the first large file and end with the layer's scope.
 * Bytes are copied into memory that all uploads share, 2 MiB for each thread. An upload whose digests fall behind waits until a
 * part of it has been read.
 *
 * Digests are of the very bytes that are sent, not of a second reading of the file.
 *
 * - `threads`: default as many as the machine has processors, at most 4. Each takes about 15 MB.
 * - `smallest`: files of fewer bytes, and bytes of unknown number, are left to the hashing below; default 64 MiB, at which two
 *   threads have won back the tenth of a second that they take to start.
 *
 * If worker threads are unavailable, as under Node's `--permission`, the hashing below does everything. A thread that ends
 * unexpectedly fails what it computed, with `HashingError`, and is not started again.
 *
 * **Gotchas**
 *
 * md5 cannot be divided: one upload is no quicker than its md5, about 0.7 GB a second.
 *
 * **Example** (For all uploads of a program)
 *
 * ```ts import.meta.vitest
 * import { Hashing } from "@effect-resilience/upload"
 * import * as HashingThreads from "@effect-resilience/node/HashingThreads"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const hasher = yield* (yield* Hashing.Current).start(["md5", "sha256"], { size: 100_000_000 })
 *   yield* hasher.update(new TextEncoder().encode("hello world"))
 *   return (yield* hasher.digest).md5
 * })
 * const main = Effect.scoped(program).pipe(Effect.provide(HashingThreads.layer()))
 * await Effect.runPromise(main) // => "5eb63bbbe01eeed093cb22bb8f5acdc3"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Hashing from "@effect-resilience/upload/Hashing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { availableParallelism } from "node:os"
import { HashingPool } from "./internal/hashingPool.ts"

/**
 * What can be set; the module's documentation has the defaults.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How many threads; by default as many as the machine has processors, at most 4. Each takes about 15 MB. */
  readonly threads?: number | undefined
  /** Files of fewer bytes, and bytes of unknown number, are left to the hashing below; 64 MiB by default. */
  readonly smallest?: number | undefined
}

/**
 * Hashing by threads, over the current hashing. Invalid numbers throw `RangeError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Hashing.Hashing, never, Scope.Scope> => {
  const { smallest = defaultSmallest, threads = Math.min(availableParallelism(), mostThreads) } = options
  requireArgument(
    Number.isInteger(threads) && threads >= 1,
    "HashingThreads.threads",
    "an integer of at least 1",
    threads
  )
  requireArgument(smallest >= 0, "HashingThreads.smallest", "0 or more", smallest)
  return Effect.gen(function*() {
    const below = yield* Hashing.Current
    const pool = yield* Effect.acquireRelease(Effect.sync(() => new HashingPool(threads)), ({ close }) => close)
    return {
      start: (algorithms, hint) =>
        algorithms.length === 0 || hint?.size === undefined || hint.size < smallest
          ? below.start(algorithms, hint)
          : Effect.flatMap(
            Effect.acquireRelease(
              Effect.sync(() => pool.begin(algorithms)),
              (jobs) => Effect.sync(() => jobs?.forEach((job) => job.end()))
            ),
            (jobs) => jobs === undefined ? below.start(algorithms, hint) : Effect.succeed(pool.hasher(jobs))
          )
    }
  })
}

/**
 * Lets all uploads of a program hash in threads.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<never> => Layer.effect(Hashing.Current, make(options))

// hack: hashing-threads
const defaultSmallest = 67_108_864

const mostThreads = 4
