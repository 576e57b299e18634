import type * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const Piece: unique symbol = Symbol.for("@effect-resilience/upload/internal/onePiece")

/**
 * A stream whose bytes can also be had at once, without running it: to start a stream, to pass each pull through its layers
 * and to end it costs several times what reading and sending a small file does.
 */
export interface OnePiece<out E> extends Stream.Stream<Uint8Array, E> {
  readonly [Piece]: Effect.Effect<Uint8Array, E>
}

export const make = <E>(
  piece: Effect.Effect<Uint8Array, E>,
  stream: Stream.Stream<Uint8Array, E> = Stream.fromEffect(piece)
): OnePiece<E> => Object.assign(stream, { [Piece]: piece })

/** All bytes of the stream, where they can be had at once. */
export const of = <E>(
  stream: Stream.Stream<Uint8Array, E> & Partial<OnePiece<E>>
): Effect.Effect<Uint8Array, E> | undefined => stream[Piece]

/** In bytes: what is larger is sent while it is read. */
export const largest = 1_048_576
