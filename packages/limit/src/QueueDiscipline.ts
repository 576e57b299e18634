/**
 * Which of the calls that wait is next, and how long each may wait, as plain data.
 *
 * **Details**
 *
 * | discipline | next is | a call waits | a full queue |
 * | --- | --- | --- | --- |
 * | `fifo` | the oldest | as long as `queueTimeout` allows | rejects the new call |
 * | `lifo` | the newest | as long as `queueTimeout` allows | drops its oldest call |
 * | `codel` | the oldest; the newest while the queue stands | not longer than `target` while the queue stands | as the others, by whose turn it is |
 *
 * With priorities the most important calls are next, and the discipline orders those that are alike.
 *
 * **Choosing**
 *
 * `fifo` for short queues that absorb bursts; `codel` where overload lasts, and for queues that are long; `lifo` where every
 * caller gives up after about the same time.
 *
 * **Example** (A queue that keeps short under overload)
 *
 * ```ts import.meta.vitest
 * import { Bulkhead, QueueDiscipline } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const discipline = QueueDiscipline.codel({ target: "20 millis", interval: "200 millis" })
 *   const bulkhead = yield* Bulkhead.make({ name: "ledger", permits: 10, queue: 1000, discipline })
 *   return yield* bulkhead.execute(Effect.succeed("stored"))
 * })
 *
 * await Effect.runPromise(program) // => "stored"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Field from "@effect-resilience/kernel/Field"
import type * as disciplines from "./queue/index.ts"

export * from "./queue/index.ts"

/**
 * A discipline with its options, as the functions below write it.
 *
 * @category models
 * @since 0.1.0
 */
export type QueueDiscipline = Field.OneOf<typeof disciplines>
