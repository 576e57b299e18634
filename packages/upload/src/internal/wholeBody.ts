import * as Effect from "effect/Effect"
import * as Pipeable from "effect/Pipeable"
import * as Stream from "effect/Stream"

const Read: unique symbol = Symbol.for("@effect-resilience/upload/internal/wholeBody")

/**
 * All bytes, with room around them: `before` and `after` are numbers of bytes, which whoever asked for them may fill. Without
 * any, the memory is not the reader's to change.
 */
export type Read<out E> = (before: number, after: number) => Effect.Effect<Uint8Array, E>

/**
 * A stream whose bytes can also be had at once, without running it: to make a stream, to start it, to pass each pull through
 * its layers and to end it costs several times what reading and sending a small file does.
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

/** How to read all bytes of the stream at once, where that can be done. */
export const of = <E>(stream: Stream.Stream<Uint8Array, E> & Partial<WholeBody<E>>): Read<E> | undefined => stream[Read]

/** A stream of bytes that are in memory. */
export const fromBytes = (bytes: Uint8Array): WholeBody<never> =>
  make(
    (before, after) => before + after === 0 ? Effect.succeed(bytes) : Effect.sync(() => joined([bytes], before, after)),
    () => Stream.succeed(bytes)
  )

/** The pieces one after the other, with room around them. */
export const joined = (pieces: ReadonlyArray<Uint8Array>, before: number, after: number): Uint8Array => {
  const bytes = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, before + after))
  let position = before
  for (const piece of pieces) {
    bytes.set(piece, position)
    position += piece.length
  }
  return bytes
}

/** In bytes: what is larger is sent while it is read. */
export const largest = 1_048_576

/** The stream itself is made only where it is run, which it hardly ever is. */
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
