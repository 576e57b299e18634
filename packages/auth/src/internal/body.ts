import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Stream from "effect/Stream"

/**
 * - `reopen`: called before the request is sent again. Returns whether its body can be.
 * - `differed`: whether the second reading of the body had another length than declared.
 */
export interface ObservedBody {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly reopen: () => boolean
  readonly differed: () => boolean
}

/**
 * The type of a stream does not say whether it can be read twice, and transports send an empty second reading without an error.
 * So a streamed body that was begun is sent again only if its second reading has the declared length, to the byte.
 */
export const observeBody = (request: HttpClientRequest.HttpClientRequest): ObservedBody => {
  const { body } = request
  if (body._tag === "Raw") return { request, reopen: () => isValue(body.body), differed: no }
  if (body._tag !== "Stream") return { request, reopen: yes, differed: no }

  let begun = false
  let again = false
  let differed = false
  const stream = Stream.suspend(() => {
    begun = true
    return again && body.contentLength !== undefined
      ? exactly(body.stream, body.contentLength, () => {
        differed = true
      })
      : body.stream
  })
  return {
    request: HttpClientRequest.setBody(request, HttpBody.stream(stream, body.contentType, body.contentLength)),
    reopen: () => {
      again = begun
      return !begun || body.contentLength !== undefined
    },
    differed: () => differed
  }
}

const exactly = <E>(
  stream: Stream.Stream<Uint8Array, E>,
  length: number,
  onDifference: () => void
): Stream.Stream<Uint8Array, E | Error> =>
  Stream.suspend(() => {
    let seen = 0
    const difference = Effect.suspend(() => {
      onDifference()
      return Effect.fail(new Error("the body had another length when it was read again"))
    })
    return stream.pipe(
      Stream.tap((chunk) => {
        seen += chunk.length
        return seen > length ? difference : Effect.void
      }),
      Stream.concat(Stream.suspend(() => seen === length ? Stream.empty : Stream.fromEffect(difference)))
    )
  })

const isValue = (body: unknown): boolean =>
  typeof body === "string" || body instanceof Uint8Array || body instanceof ArrayBuffer || body instanceof Blob ||
  body instanceof URLSearchParams || body instanceof FormData

const yes = () => true

const no = () => false
