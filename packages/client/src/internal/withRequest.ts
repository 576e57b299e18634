import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"

/**
 * The same response, to a request without credentials in place of the one that was sent: errors that hold a response are printed
 * with all that they hold where they are not caught.
 */
export const withRequest = (
  response: HttpClientResponse.HttpClientResponse,
  request: HttpClientRequest.HttpClientRequest
): HttpClientResponse.HttpClientResponse => Object.assign(response, { request })
