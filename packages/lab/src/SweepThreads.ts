/**
 * Runs the cells of a sweep over the threads of Node.
 *
 * **Gotchas**
 *
 * Not in the package's index, since it needs Node: import it from `@effect-resilience/lab/SweepThreads`. `Sweep.run` runs the same
 * cells in one thread anywhere, with the same rows.
 *
 * **Example** (Two threads)
 *
 * ```ts import.meta.vitest
 * import { Sweep } from "@effect-resilience/lab"
 * import * as SweepThreads from "@effect-resilience/lab/SweepThreads"
 * import { Effect } from "effect"
 *
 * const cells = Sweep.cells({
 *   world: {
 *     arrivals: { open: { perSecond: 10 } },
 *     server: { workers: 2, serviceTime: { constant: "100 millis" } }
 *   },
 *   policies: { retry: { name: "ledger", retry: { times: 1 } } },
 *   processes: [1, 2],
 *   seeds: [1]
 * })
 * const rows = SweepThreads.run(cells, { threads: 2 })
 * // In a program: console.log(Sweep.table(await Effect.runPromise(rows)))
 * Effect.isEffect(rows) // => true
 * ```
 *
 * @stability experimental, rests on effect/http
 * @since 0.1.0
 */
import * as Argument from "@effect-resilience/kernel/Argument"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Effect from "effect/Effect"
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import type * as Sweep from "./Sweep.ts"

/**
 * A thread ended before its cells did. `cause` is what it threw.
 *
 * - `key`: the cell that was running.
 *
 * @category errors
 * @since 0.1.0
 */
export class ThreadFailed
  extends ErrorMessage.TaggedError("ThreadFailed")<{ readonly key: string; readonly cause: unknown }>
{
  override get message(): string {
    return `A thread of a sweep failed in the cell ${this.key}: ${textOf(this.cause)}`
  }
}

/**
 * Runs cells and returns their rows in the order of the cells. Interruption ends the threads. Throws `RangeError` where a policy has
 * a function: a thread cannot take it.
 *
 * - `threads`: how many; default one for each core.
 *
 * @category running
 * @since 0.1.0
 */
export const run = (
  cells: ReadonlyArray<Sweep.Cell>,
  { threads = availableParallelism() }: { readonly threads?: number | undefined } = {}
): Effect.Effect<ReadonlyArray<Sweep.Row>, ThreadFailed> => {
  Argument.requireArgument(
    Number.isInteger(threads) && threads > 0,
    "SweepThreads.threads",
    "a positive integer",
    threads
  )
  const texts = cells.map(textOfCell)
  return Effect.suspend(() => {
    const rows: Array<Sweep.Row> = []
    let next = 0
    const take = () => next < cells.length ? next++ : undefined
    const work = (worker: Worker) =>
      Effect.callback<void, ThreadFailed>((resume) => {
        let index = take()
        const send = () => {
          // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
          if (index !== undefined) worker.postMessage(texts[index])
          else resume(Effect.void)
        }
        const fail = (cause: unknown) =>
          resume(Effect.fail(new ThreadFailed({ key: cells[index ?? -1]?.key ?? "none", cause })))
        worker.on("message", (row: Sweep.Row) => {
          if (index !== undefined) rows[index] = row
          index = take()
          send()
        })
        worker.on("error", fail)
        worker.on("exit", (status) => fail(new Error(`the thread ended with status ${status}`)))
        send()
      })
    const thread = Effect.acquireUseRelease(
      Effect.sync(() => new Worker(new URL(`./internal/sweepThread${extension}`, import.meta.url))),
      work,
      (worker) => Effect.promise(() => worker.terminate())
    )
    return Effect.as(
      Effect.all(Array.from({ length: Math.min(threads, cells.length) }, () => thread), {
        concurrency: "unbounded",
        discard: true
      }),
      rows
    )
  })
}

// Its own extension: `.ts` where the sources run, `.js` where they are compiled.
const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."))

// As text, since a copy of a `Duration` is none.
const textOfCell = (cell: Sweep.Cell): string =>
  JSON.stringify(cell, (name, value: unknown) => {
    Argument.requireArgument(typeof value !== "function", "SweepThreads.cells", "data", `the function ${name}`)
    return value
  })

const textOf = (cause: unknown): string => cause instanceof Error ? `${cause.name}: ${cause.message}` : "no error"
