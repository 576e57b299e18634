import * as Transport from "@effect-resilience/errors/Transport"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import { constants } from "node:http2"
import { StreamedBody } from "./streamedBody.ts"

type Request = HttpClientRequest.HttpClientRequest

/** The failure of a request that no response came to, with how far it had come. */
export const notTransmitted = (
  request: Request,
  cause: unknown,
  reached: Transport.Reached
): HttpClientError.HttpClientError =>
  new HttpClientError.HttpClientError({
    reason: new NotTransmitted({ request, cause }, transmissionOf(request, cause, reached))
  })

class NotTransmitted extends HttpClientError.TransportError {
  readonly [Transport.TransmissionId]: Transport.Transmission
  constructor(fields: { readonly request: Request; readonly cause: unknown }, transmission: Transport.Transmission) {
    super(fields)
    this[Transport.TransmissionId] = transmission
  }
}

const transmissionOf = (
  { body }: Request,
  cause: unknown,
  reached: Transport.Reached
): Transport.Transmission => {
  if (!(cause instanceof Error)) return { reached }
  if (body instanceof StreamedBody && cause === body.taken.failure) return { reached, kind: "body" }
  if (isUnprocessed(cause)) return { reached, kind: "unprocessed" }
  const header = reached === "nothing" ? /^invalid (\S+) header$/.exec(cause.message)?.[1] : undefined
  return { reached, detail: header }
}

// GOAWAY names the last stream that was processed, and undici fails those above it so. REFUSED_STREAM promises the same for
// one, and a HEADERS frame (type 1) that could not be sent was never seen.
const isUnprocessed = (error: Error): boolean =>
  /^HTTP\/2: "(?:GOAWAY" frame received|frameError" received - type 1,)/.test(error.message) ||
  ("http2ErrorCode" in error && error.http2ErrorCode === constants.NGHTTP2_REFUSED_STREAM)
