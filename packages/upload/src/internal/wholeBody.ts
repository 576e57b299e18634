import * as Effect from "effect/Effect"
import * as Pipeable from "effect/Pipeable"
import * as Stream from "effect/Stream"
import { builtin } from "./builtin.ts"

const Read: unique symbol = Symbol.for("@effect-resilience/upload/internal/wholeBody")
const Parts: unique symbol = Symbol.for("@effect-resilience/upload/internal/wholeBody/parts")

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
): WholeBody<E> => new Lazy(stream, read, undefined) as WholeBody<E>

/** Reads all bytes of the stream at once; `undefined` where that is impossible. */
export const of = <E>(stream: Stream.Stream<Uint8Array, E> & Partial<WholeBody<E>>): Read<E> | undefined => stream[Read]

/**
 * What a body consists of, without its bytes being read: a `Blob` may be a file of any size. Browsers do not send streams over
 * HTTP/1.1, but they send this.
 */
export type Parts<E> = Effect.Effect<ReadonlyArray<Uint8Array | Blob>, E>

/** A stream whose bytes can also be handed over in parts, without running it. */
export interface InParts<out E> extends Stream.Stream<Uint8Array, E> {
  readonly [Parts]: Parts<E>
}

export const inParts = <E>(parts: Parts<E>, stream: () => Stream.Stream<Uint8Array, E>): InParts<E> =>
  new Lazy(stream, undefined, parts) as InParts<E>

/** The parts of a stream. `undefined` where it must be run, and in a runtime whose requests can be streams. */
export const partsOf = <E>(
  stream: Stream.Stream<Uint8Array, E> & Partial<InParts<E> & WholeBody<E>>
): Parts<E> | undefined => {
  if (builtin("node:stream") !== undefined) return undefined
  const { [Parts]: parts, [Read]: read } = stream
  return parts ?? (read === undefined ? undefined : Effect.map(Effect.suspend(() => read(0, 0)), (bytes) => [bytes]))
}

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
class Lazy<out E> extends Pipeable.Class implements Stream.Stream<Uint8Array, E> {
  readonly [Read]: Read<E> | undefined
  readonly [Parts]: Parts<E> | undefined
  private readonly stream: () => Stream.Stream<Uint8Array, E>
  constructor(stream: () => Stream.Stream<Uint8Array, E>, read: Read<E> | undefined, parts: Parts<E> | undefined) {
    super()
    this[Read] = read
    this[Parts] = parts
    this.stream = stream
  }
  get [Stream.TypeId](): Stream.Stream<Uint8Array, E>[Stream.TypeId] {
    return Stream.empty[Stream.TypeId]
  }
  get channel(): Stream.Stream<Uint8Array, E>["channel"] {
    return this.stream().channel
  }
}
