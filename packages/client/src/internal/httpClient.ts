import * as ApiError from "@effect-resilience/errors/ApiError"
import * as HttpRetry from "@effect-resilience/http/HttpRetry"
import * as ResponseBody from "@effect-resilience/http/ResponseBody"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as address from "./address.ts"
import { lastResponse } from "./lastResponse.ts"

/** The client as Effect's own: responses of any status, and genuine `HttpClientError`s. */
export const httpClient = <E>(client: HttpClient.HttpClient.With<E>): HttpClient.HttpClient =>
  HttpClient.makeWith<never, never, HttpClientError.HttpClientError, never>(
    Effect.flatMap((request) =>
      Effect.mapBoth(lastResponse(client, request), {
        onFailure: (error) => new HttpClientError.HttpClientError({ reason: reasonOf(error, request) }),
        onSuccess: (response) =>
          ResponseBody.mapError(response, (cause) =>
            HttpClientError.isHttpClientError(cause) ? cause : new HttpClientError.HttpClientError({
              reason: new HttpClientError.DecodeError({ request, response, cause, description: messageOf(cause) })
            }))
      })
    ),
    Effect.succeed
  )

// The request is the caller's, without the credentials that this client adds.
export const reasonOf = (
  cause: unknown,
  request: HttpClientRequest.HttpClientRequest
): HttpClientError.HttpClientErrorReason => {
  const fields = { request, cause, description: messageOf(cause) }
  const kind = cause instanceof ApiError.ApiError && cause.reason._tag === "TransportFailure"
    ? cause.reason.kind
    : undefined
  if (cause instanceof address.ForeignUrl || kind === "address") return new HttpClientError.InvalidUrlError(fields)
  return cause instanceof HttpRetry.BodyNotReplayable || kind === "body"
    ? new HttpClientError.EncodeError(fields)
    : new HttpClientError.TransportError(fields)
}

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)
