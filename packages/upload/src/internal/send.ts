import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as UploadError from "../UploadError.ts"
import { unreadable } from "./unreadable.ts"
import * as WholeBody from "./wholeBody.ts"

/** Sends a request, in a browser with its body in parts if that is possible. */
export const send = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  request: HttpClientRequest.HttpClientRequest,
  source: string
): Effect.Effect<HttpClientResponse.HttpClientResponse, E | UploadError.UploadError, R> => {
  const { body } = request
  if (body._tag !== "Stream") return client.execute(request)
  const parts = WholeBody.partsOf(body.stream)
  if (parts === undefined) return client.execute(request)
  return Effect.flatMap(
    Effect.mapError(parts, (error) => unreadable(source, error)),
    (parts) =>
      client.execute(HttpClientRequest.setBody(request, bodyOf(parts, body.contentType))).pipe(
        Effect.catch((error) => Effect.andThen(stillReadable(parts, source), Effect.fail(error)))
      )
  )
}

const bodyOf = (parts: ReadonlyArray<Uint8Array | Blob>, contentType: string | undefined): HttpBody.HttpBody => {
  const [only] = parts
  if (parts.length === 1 && only instanceof Uint8Array) return HttpBody.uint8Array(only, contentType)
  // No source shares its memory with another thread.
  const blob = new Blob(parts as Array<Uint8Array<ArrayBuffer> | Blob>)
  return HttpBody.raw(blob, { contentType, contentLength: blob.size })
}

// A browser that could not read a file only says that the request failed.
const stillReadable = (parts: ReadonlyArray<Uint8Array | Blob>, source: string) =>
  Effect.forEach(
    parts,
    (part) =>
      part instanceof Blob
        ? Effect.tryPromise({
          try: () => part.slice(0, 1).arrayBuffer(),
          catch: (error) => unreadable(source, error)
        })
        : Effect.void,
    { discard: true }
  )
