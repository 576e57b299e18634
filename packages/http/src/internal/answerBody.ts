import * as Effect from "effect/Effect"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"

/** What is read of a response whose value is asked for, in bytes. */
export const maxValueBytes = 1_048_576

export interface AnswerBody {
  readonly bytes: Uint8Array
  readonly truncated: boolean
}

/** Reads at most `maxBytes` of an answer. What lies beyond is not read, and its connection is closed. */
export const readAnswerBody = (
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Effect.Effect<AnswerBody, HttpClientError.HttpClientError> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    return response.stream.pipe(
      Stream.takeWhile(() => size <= maxBytes),
      Stream.runForEach((chunk) =>
        Effect.sync(() => {
          chunks.push(chunk)
          size += chunk.length
        })
      ),
      Effect.map(() => ({ bytes: concat(chunks, Math.min(size, maxBytes)), truncated: size > maxBytes }))
    )
  })

/** Reads what is left of an answer that nobody wants, so that its connection is free; cuts it off where that takes long. */
export const discard = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<void> =>
  readAnswerBody(response, 65_536).pipe(Effect.timeout("1 second"), Effect.ignore)

/** The first `size` bytes of chunks, as one. */
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
