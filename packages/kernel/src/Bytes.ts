/**
 * Bodies as bytes: reads one up to a limit, discards the rest, counts what passes.
 *
 * **Example** (A body that is too long)
 *
 * ```ts import.meta.vitest
 * import { Bytes } from "@effect-resilience/kernel"
 * import { Effect, Stream } from "effect"
 *
 * const body = Stream.make(Uint8Array.of(1, 2), Uint8Array.of(3, 4))
 * await Effect.runPromise(Bytes.readAtMost(body, 3)) // => { bytes: Uint8Array.of(1, 2, 3), truncated: true }
 * await Effect.runPromise(Bytes.readAtMost(body, 4)) // => { bytes: Uint8Array.of(1, 2, 3, 4), truncated: false }
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/**
 * How much of a response is read whose value is asked for: 1 MiB.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxValueBytes = 1_048_576

/**
 * The beginning of a body, and whether more came.
 *
 * @category models
 * @since 0.1.0
 */
export interface Beginning {
  /** At most as many as were asked for. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Whether the body is longer. */
  readonly truncated: boolean
}

/**
 * Reads at most `maxBytes`. What lies beyond is not read, and its connection is closed.
 *
 * @category reading
 * @since 0.1.0
 */
export const readAtMost = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  maxBytes: number
): Effect.Effect<Beginning, E, R> =>
  Effect.suspend(() => {
    let size = 0
    return body.pipe(
      Stream.takeUntil((chunk) => (size += chunk.length) > maxBytes),
      Stream.runCollect,
      Effect.map((chunks) => ({ bytes: concat(chunks, Math.min(size, maxBytes)), truncated: size > maxBytes }))
    )
  })

/**
 * Discards the rest of a body, so that its connection is free. Cuts it off after 64 KiB or a
 * second.
 *
 * @category reading
 * @since 0.1.0
 */
export const discard = <E, R>(body: Stream.Stream<Uint8Array, E, R>): Effect.Effect<void, never, R> =>
  Effect.suspend(() => {
    let size = 0
    return body.pipe(
      Stream.takeUntil((chunk) => (size += chunk.length) > 65_536),
      Stream.runDrain,
      Effect.timeout("1 second"),
      Effect.ignore
    )
  })

/**
 * Tells how many bytes pass, with each portion that the body yields.
 *
 * @category measuring
 * @since 0.1.0
 */
export const counted = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  onBytes: (count: number) => void
): Stream.Stream<Uint8Array, E, R> =>
  Stream.mapArray(body, (chunks) => {
    let count = 0
    for (const chunk of chunks) count += chunk.byteLength
    onBytes(count)
    return chunks
  })

/**
 * The first `size` bytes of chunks, as one.
 *
 * @category joining
 * @since 0.1.0
 */
export const concat = (chunks: ReadonlyArray<Uint8Array>, size: number): Uint8Array<ArrayBuffer> => {
  const whole = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    const part = chunk.subarray(0, size - offset)
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}
