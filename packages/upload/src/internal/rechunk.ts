import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as UploadError from "../UploadError.ts"

// A transport takes all that one pull yields, without waiting. So a pull yields little: then memory stays flat, progress shows
// what was really sent, and a body counts as sent only when nearly all of it was. How little depends on the pace: on a slow
// line small pieces show that bytes move, on a fast one thousands of them would only leave garbage.
export const rechunk = (
  upstream: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, UploadError.UploadError>,
  now: () => number
): Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, UploadError.UploadError> => {
  let chunks: ReadonlyArray<Uint8Array> = []
  let index = 0
  let offset = 0
  let size = smallestPiece
  let handedOut = -Infinity
  const next = (): Arr.NonEmptyReadonlyArray<Uint8Array> | undefined => {
    while (index < chunks.length) {
      const chunk = chunks[index]
      if (chunk === undefined || chunk.length <= offset) {
        index++
        offset = 0
        continue
      }
      const piece = offset === 0 && chunk.length <= size ? chunk : chunk.subarray(offset, offset + size)
      offset += piece.length
      return [piece]
    }
    return undefined
  }
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, UploadError.UploadError> = Effect.suspend(() => {
    const piece = next()
    if (piece === undefined) return more
    handedOut = now()
    return Effect.succeed(piece)
  })
  const more = Effect.flatMap(upstream, (received) => {
    chunks = received
    index = 0
    offset = 0
    return pull
  })
  return Effect.suspend(() => {
    const millis = now() - handedOut
    if (millis < 100) size = Math.min(size + smallestPiece, largestPiece)
    else if (millis > 1_000) size = smallestPiece
    return pull
  })
}

const smallestPiece = 65_536

export const largestPiece = 3_145_728
