/**
 * How long the chunks of a streamed request body must stay as they are.
 *
 * **Why**
 *
 * A large file that is read into a new buffer each time keeps the garbage collector busy, for half of the CPU time of a
 * fast upload, and occupies what it has not collected yet. A reader that knows when the transport is done with a chunk
 * can read the next one into the same memory.
 *
 * **Details**
 *
 * `Current` counts the further chunks that may be asked for before a chunk is overwritten. By default that is without
 * end, and nothing is ever overwritten. Only a transport that runs the stream itself and knows its own buffering
 * provides a number; the connections of `@effect-resilience/node` do. Sources may make use of it, and none has to.
 *
 * A transport buffers by bytes, so the number holds for chunks of at least `minChunkBytes`, apart from the last one.
 *
 * **Gotchas**
 *
 * Middleware that keeps chunks of a request's body, rather than counting or hashing them as they pass, must copy them.
 *
 * **Example** (A reader that asks)
 *
 * ```ts import.meta.vitest
 * import { BufferReuse } from "@effect-resilience/http"
 * import { Effect } from "effect"
 *
 * const mayReuse = Effect.map(BufferReuse.Current, Number.isFinite)
 * await Effect.runPromise(mayReuse) // => false
 * await Effect.runPromise(mayReuse.pipe(Effect.provideService(BufferReuse.Current, 4))) // => true
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * The number of chunks for the transport of the current fiber; default `Infinity`.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<number> = Context.Reference<number>(
  "@effect-resilience/http/BufferReuse/Current",
  { defaultValue: () => Infinity }
)

/**
 * The least size in bytes of chunks that are overwritten: 64 KiB, what Node's streams buffer.
 *
 * @category constants
 * @since 0.1.0
 */
export const minChunkBytes = 65_536
