import { ApiError, Classifier, NotAsked } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, PlatformError } from "effect"
import { AiError } from "effect/ai"
import { GraphQLClientError } from "effect/graphql"
import { HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { CircuitBreaker, RateLimiter } from "effect/persistence"
import { RpcClientError } from "effect/rpc"

const coded = (code: string, rest: object = {}) => Object.assign(new Error(code), { code, ...rest })
const request = HttpClientRequest.get("https://api.example.com/")
const http = (reason: HttpClientError.HttpClientErrorReason) => new HttpClientError.HttpClientError({ reason })
const transport = (cause: unknown) => http(new HttpClientError.TransportError({ request, cause }))

describe("NotAsked", () => {
  const notAsked: ReadonlyArray<readonly [string, unknown]> = [
    ["no handle is left", coded("EMFILE")],
    ["no handle is left for a connection", transport(coded("EMFILE", { syscall: "connect" }))],
    ["a disk fails", coded("EIO")],
    ["a file is missing", coded("ENOENT", { syscall: "open" })],
    ["a file may not be read, some causes deep", new Error("x", { cause: coded("EACCES", { syscall: "open" }) })],
    [
      "a file is missing, in Effect's words",
      PlatformError.systemError({ _tag: "NotFound", module: "FileSystem", method: "open" })
    ],
    ["an argument makes no sense", PlatformError.badArgument({ module: "FileSystem", method: "open" })],
    ["a request cannot be encoded", http(new HttpClientError.EncodeError({ request }))],
    ["an address is none", http(new HttpClientError.InvalidUrlError({ request }))],
    [
      "a call of a procedure cannot be encoded",
      new RpcClientError.RpcClientError({
        reason: HttpClientError.HttpClientErrorSchema.fromHttpClientError(
          http(new HttpClientError.EncodeError({ request }))
        )
      })
    ],
    [
      "a query cannot be encoded",
      new GraphQLClientError.GraphQLClientError({
        operation: "find",
        reason: new GraphQLClientError.EncodeError({ description: "x" })
      })
    ],
    [
      "a model's address is none",
      new AiError.AiError({
        module: "model",
        method: "ask",
        reason: new AiError.NetworkError({ reason: "InvalidUrlError", method: "POST", url: "u" })
      })
    ],
    ["a promise could not read its file", new Cause.UnknownError(coded("ENOENT", { syscall: "open" }))],
    [
      "a call failed for an address that is none",
      new ApiError.ApiError({
        method: "GET",
        endpoint: "/",
        reason: new ApiError.TransportFailure({ kind: "address", code: undefined, connected: false })
      })
    ],
    [
      "a body of ours could not be read",
      new ApiError.TransportFailure({ kind: "body", code: undefined, connected: true })
    ],
    [
      "Effect's rate limiter rejects",
      new RateLimiter.RateLimiterError({
        reason: new RateLimiter.RateLimitExceeded({
          key: "a",
          limit: 1,
          remaining: 0,
          retryAfter: Duration.seconds(1)
        })
      })
    ],
    [
      "Effect's breaker rejects",
      new CircuitBreaker.CircuitBreakerError({
        reason: new CircuitBreaker.CircuitOpen({ key: "a", retryAfter: Duration.seconds(1) })
      })
    ]
  ]

  it.each(notAsked)("holds where %s", (_, error) => {
    assert.isTrue(NotAsked.isNotAsked(error))
  })

  const asked: ReadonlyArray<readonly [string, unknown]> = [
    ["a connection is refused", coded("ECONNREFUSED", { syscall: "connect" })],
    ["nobody listens on a Unix socket", transport(coded("ENOENT", { syscall: "connect" }))],
    ["a connection breaks", coded("ECONNRESET", { syscall: "read" })],
    ["a host is not known", transport(coded("ENOTFOUND", { syscall: "getaddrinfo" }))],
    ["it took too long", new Cause.TimeoutError("x")],
    [
      "a response makes no sense",
      http(
        new HttpClientError.DecodeError({ request, response: HttpClientResponse.fromWeb(request, new Response("x")) })
      )
    ],
    ["it may have been applied", new ApiError.OutcomeUnknown({ failure: ApiError.reasonFromStatus(500) })],
    ["the server's own code is one of a system", ApiError.reasonFromStatus(500, { code: "EMFILE" })],
    ["the server rejects", ApiError.reasonFromStatus(429)],
    ["nothing is known", new Error("x")],
    ["it is no error", undefined]
  ]

  it.each(asked)("does not hold where %s", (_, error) => {
    assert.isFalse(NotAsked.isNotAsked(error))
  })

  it("lets a recovery be what it is", () => {
    assert.deepStrictEqual(Classifier.classify(coded("EMFILE"))._tag, "Retry")
  })
})
