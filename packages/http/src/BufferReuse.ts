/**
 * Says when a source may overwrite the chunks of a streamed request body.
 *
 * **Why**
 *
 * Reading a large file into a new buffer for each chunk keeps the garbage collector busy for half of the CPU time of a
 * fast upload, and occupies memory until it is collected. A reader that knows when the transport is done with a chunk can
 * read the next one into the same memory.
 *
 * **Details**
 *
 * `Current` is the number of further chunks that may be requested before a chunk is overwritten. By default it is
 * `Infinity`, and nothing is ever overwritten. Only a transport that runs the stream itself and knows its own buffering
 * provides a number; the connections of `@effect-resilience/node` do. A source may use it and need not.
 *
 * A transport buffers by bytes, so the number applies to chunks of at least `minChunkBytes`, apart from the last one.
 *
 * **Gotchas**
 *
 * Middleware that keeps chunks of a request's body, instead of counting or hashing them as they pass, must copy them.
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
 * @stability stable
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * The number of chunks for the transport of the current fiber; `Infinity` by default.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<number> = /* @__PURE__ */ Context.Reference<number>(
  "@effect-resilience/http/BufferReuse/Current",
  { defaultValue: () => Infinity }
)

/**
 * The minimum size in bytes of chunks that are overwritten: 64 KiB, what Node's streams buffer.
 *
 * @category constants
 * @since 0.1.0
 */
export const minChunkBytes = 65_536
