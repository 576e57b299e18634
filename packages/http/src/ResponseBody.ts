/**
 * Reads the body of a successful response, and rejects what the caller did not expect.
 *
 * **Why**
 *
 * Proxies and login pages in front of real services respond with HTML and status 200. A client that trusts the status
 * reports success and loses data.
 *
 * **Example** (An HTML page with status 200)
 *
 * ```ts import.meta.vitest
 * import { ResponseBody } from "@effect-resilience/http"
 * import { Effect, Schema } from "effect"
 * import { HttpClientRequest, HttpClientResponse } from "effect/http"
 *
 * const request = HttpClientRequest.get("https://api.example.com/me")
 * const page = HttpClientResponse.fromWeb(request, new Response("<html><title>Log in</title></html>"))
 *
 * const me = ResponseBody.json(page, Schema.Struct({ id: Schema.String }))
 * const error = await Effect.runPromise(Effect.flip(me))
 * error.reason._tag // => "UndecodableAnswer"
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Bytes from "@effect-resilience/kernel/Bytes"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Headers from "effect/http/Headers"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { apiError, bodyFailure, type FirstReason, requestIdOf } from "./internal/failure.ts"
import { malformed } from "./internal/malformed.ts"
import { type MapError, MappedResponse, whole as readWhole } from "./internal/mappedResponse.ts"
import * as Operation from "./Operation.ts"
import * as Scrubber from "./Scrubber.ts"

/**
 * The cap on a JSON response, in bytes: 1 MiB. A longer one fails.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxBytes = Bytes.maxValueBytes

/**
 * Decodes a JSON response: an object, a list or a single value. Anything else (HTML, an empty body, another shape, more than
 * `maxBytes`) fails with the reason `UndecodableAnswer`; a connection that breaks while the body arrives fails with
 * `TransportFailure`. If the operation is not idempotent, both become `OutcomeUnknown`, since the server has sent 2xx.
 *
 * @category decoding
 * @since 0.1.0
 */
export const json: {
  <A, RD>(
    schema: Schema.ConstraintDecoder<A, RD>
  ): (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, ApiError.ApiError, RD>
  <A, RD>(
    response: HttpClientResponse.HttpClientResponse,
    schema: Schema.ConstraintDecoder<A, RD>
  ): Effect.Effect<A, ApiError.ApiError, RD>
} = /* @__PURE__ */ dual(
  2,
  Effect.fnUntraced(function*<A, RD>(
    response: HttpClientResponse.HttpClientResponse,
    schema: Schema.ConstraintDecoder<A, RD>
  ) {
    const operation = yield* Operation.Current
    const scrubber = yield* Scrubber.Current
    const failure = (reason: FirstReason) =>
      apiError({
        operation,
        request: response.request,
        reason,
        sent: true,
        requestId: requestIdOf(response.headers, scrubber)
      })
    const undecodable = (got: string, remedy?: string) =>
      Effect.fail(failure(new ApiError.UndecodableResponse({ status: response.status, expected: "JSON", got, remedy })))

    const body = yield* Effect.mapError(
      Bytes.readAtMost(response.stream, maxBytes),
      (error) => bodyFailure(error, failure)
    )
    if (body.truncated) {
      return yield* undecodable(
        `more than ${maxBytes} bytes`,
        "Ask for less at once, or read the response as a stream."
      )
    }
    const text = new TextDecoder().decode(body.bytes)
    const parsed = Result.try((): unknown => JSON.parse(text))
    if (Result.isFailure(parsed)) {
      const { got, remedy } = malformed(text)
      return yield* undecodable(got, remedy)
    }
    return yield* Effect.catch(
      Schema.decodeUnknownEffect(schema)(parsed.success),
      () => undecodable("JSON of another shape", "Check the address, and the API's documentation for what it responds.")
    )
  })
)

/**
 * Reads a body of at most `maxBytes`, so that it can be read again, as often as you like. A longer one is read once, from its
 * beginning.
 *
 * @category combinators
 * @since 0.1.0
 */
export const whole = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError> =>
  readWhole(response, maxBytes, (error) => error)

/**
 * The same response, whose failures to read the body are others.
 *
 * @category combinators
 * @since 0.1.0
 */
export const mapError: {
  (
    f: (error: HttpClientError.HttpClientError) => HttpClientError.HttpClientError
  ): (response: HttpClientResponse.HttpClientResponse) => HttpClientResponse.HttpClientResponse
  (
    response: HttpClientResponse.HttpClientResponse,
    f: (error: HttpClientError.HttpClientError) => HttpClientError.HttpClientError
  ): HttpClientResponse.HttpClientResponse
} = /* @__PURE__ */ dual(
  2,
  (response: HttpClientResponse.HttpClientResponse, f: MapError): HttpClientResponse.HttpClientResponse =>
    new MappedResponse(response, f)
)

/**
 * The same response with another body, for middleware that unpacks, records or replaces it. The body is read only on
 * demand.
 *
 * @category combinators
 * @since 0.1.0
 */
export const replace: {
  (
    body: Uint8Array | Stream.Stream<Uint8Array, unknown>,
    headers: Headers.Headers
  ): (response: HttpClientResponse.HttpClientResponse) => HttpClientResponse.HttpClientResponse
  (
    response: HttpClientResponse.HttpClientResponse,
    body: Uint8Array | Stream.Stream<Uint8Array, unknown>,
    headers: Headers.Headers
  ): HttpClientResponse.HttpClientResponse
} = /* @__PURE__ */ dual(
  3,
  (
    response: HttpClientResponse.HttpClientResponse,
    body: Uint8Array | Stream.Stream<Uint8Array, unknown>,
    headers: Headers.Headers
  ): HttpClientResponse.HttpClientResponse => {
    const carrier = HttpClientResponse.fromWeb(
      response.request,
      new Response(
        Stream.isStream(body)
          ? Stream.toReadableStream(Stream.map(body, (chunk) => new Uint8Array(chunk)), {
            strategy: { highWaterMark: 0 }
          })
          : new Uint8Array(body),
        { headers: { "content-type": headers["content-type"] ?? "application/octet-stream" } }
      )
    )
    return Object.create(carrier, {
      status: { value: response.status },
      url: { value: response.url },
      headers: { value: headers },
      cookies: { value: response.cookies },
      remoteAddress: { value: response.remoteAddress }
    })
  }
)
