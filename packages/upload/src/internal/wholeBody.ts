import * as Effect from "effect/Effect"
import * as Pipeable from "effect/Pipeable"
import * as Stream from "effect/Stream"

const Read: unique symbol = Symbol.for("@effect-resilience/upload/internal/wholeBody")

/**
 * All bytes, with room around them: `before` and `after` are numbers of bytes, which the caller may fill. If both are 0, the
 * caller must not change the memory.
 */
export type Read<out E> = (before: number, after: number) => Effect.Effect<Uint8Array, E>

/**
 * A stream whose bytes can also be read at once, without running it. Making, starting, pulling and ending a stream costs
 * several times as much as reading and sending a small file.
 *
 * hack: whole-body
 */
export interface WholeBody<out E> extends Stream.Stream<Uint8Array, E> {
  readonly [Read]: Read<E>
}

export const make = <E>(
  read: Read<E>,
  stream: () => Stream.Stream<Uint8Array, E> = () => Stream.fromEffect(Effect.suspend(() => read(0, 0)))
): WholeBody<E> => new Lazy(read, stream)

/** Reads all bytes of the stream at once; `undefined` where that is impossible. */
export const of = <E>(stream: Stream.Stream<Uint8Array, E> & Partial<WholeBody<E>>): Read<E> | undefined => stream[Read]

/** A stream of bytes that are in memory. */
export const fromBytes = (bytes: Uint8Array): WholeBody<never> =>
  make(
    (before, after) => before + after === 0 ? Effect.succeed(bytes) : Effect.sync(() => joined([bytes], before, after)),
    () => Stream.succeed(bytes)
  )

/** Concatenates pieces, with room around them. */
export const joined = (pieces: ReadonlyArray<Uint8Array>, before: number, after: number): Uint8Array => {
  const bytes = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, before + after))
  let position = before
  for (const piece of pieces) {
    bytes.set(piece, position)
    position += piece.length
  }
  return bytes
}

/** In bytes: a larger body is sent while it is read. */
export const largest = 1_048_576

/** Makes the stream itself only where it is run, which is rare. */
class Lazy<out E> extends Pipeable.Class implements WholeBody<E> {
  readonly [Read]: Read<E>
  private readonly stream: () => Stream.Stream<Uint8Array, E>
  constructor(read: Read<E>, stream: () => Stream.Stream<Uint8Array, E>) {
    super()
    this[Read] = read
    this.stream = stream
  }
  get [Stream.TypeId](): Stream.Stream<Uint8Array, E>[Stream.TypeId] {
    return Stream.empty[Stream.TypeId]
  }
  get channel(): Stream.Stream<Uint8Array, E>["channel"] {
    return this.stream().channel
  }
}
