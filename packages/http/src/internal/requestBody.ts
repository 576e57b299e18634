import { counted } from "@effect-resilience/kernel/Bytes"
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Stream from "effect/Stream"

/** A request whose body reports how much of it the transport has taken. */
export interface Watched {
  readonly request: HttpClientRequest.HttpClientRequest
  /** Whether the last byte has left. A body that is not a stream is sent at once. */
  readonly sent: () => boolean
  /** How many bytes have left, if known. */
  readonly bytes: () => number | undefined
  /** Whether its source has failed. */
  readonly failed?: () => boolean
}

/** Watches the body of a request. A body that is already watched is not wrapped again. */
export const watch = (request: HttpClientRequest.HttpClientRequest): Watched => {
  const { body } = request
  switch (body._tag) {
    case "Empty":
      return { request, sent: yes, bytes: zero }
    case "Stream": {
      const known = meters.get(body)
      if (known !== undefined) return { request, ...known }
      const meter = { size: 0, ended: false, failed: false }
      const stream = Stream.suspend(() => {
        meter.size = 0
        meter.ended = meter.failed = false
        return counted(body.stream, (count) => {
          meter.size += count
        }).pipe(
          Stream.onEnd(Effect.sync(() => {
            meter.ended = true
          })),
          Stream.mapError((error) => {
            meter.failed = true
            return error
          })
        )
      })
      const watched = HttpBody.stream(stream, body.contentType, body.contentLength)
      // A server that knows the length has all bytes before the stream ends.
      const sent = () => meter.ended || (body.contentLength !== undefined && meter.size >= body.contentLength)
      const reading = { sent, bytes: () => meter.size, failed: () => meter.failed }
      meters.set(watched, reading)
      return { request: HttpClientRequest.setBody(request, watched), ...reading }
    }
    default:
      return { request, sent: yes, bytes: () => body.contentLength }
  }
}

const meters = /* @__PURE__ */ new WeakMap<HttpBody.HttpBody, Omit<Watched, "request">>()

const yes = () => true
const zero = () => 0
