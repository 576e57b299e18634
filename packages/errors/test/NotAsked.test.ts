import { ApiError, Classifier, NotAsked, Recovery } from "@effect-resilience/errors"
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
    ["a file may not be read, in a cause of a cause", new Error("x", { cause: coded("EACCES", { syscall: "open" }) })],
    [
      "Effect reports a missing file",
      PlatformError.systemError({ _tag: "NotFound", module: "FileSystem", method: "open" })
    ],
    ["an argument is invalid", PlatformError.badArgument({ module: "FileSystem", method: "open" })],
    ["a request cannot be encoded", http(new HttpClientError.EncodeError({ request }))],
    ["an address is invalid", http(new HttpClientError.InvalidUrlError({ request }))],
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
      "a model's address is invalid",
      new AiError.AiError({
        module: "model",
        method: "ask",
        reason: new AiError.NetworkError({ reason: "InvalidUrlError", method: "POST", url: "u" })
      })
    ],
    ["the error of a client of ours is within another", transport({ reason: { [NotAsked.symbol]: true } })],
    ["a promise cannot read its file", new Cause.UnknownError(coded("ENOENT", { syscall: "open" }))],
    [
      "a call fails for an invalid address",
      new ApiError.ApiError({
        method: "GET",
        endpoint: "/",
        reason: new ApiError.TransportFailure({ kind: "address", code: undefined, connected: false })
      })
    ],
    [
      "the source of a body cannot be read",
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

  it.each(notAsked)("is true if %s", (_, error) => {
    assert.isTrue(NotAsked.isNotAsked(error))
  })

  const asked: ReadonlyArray<readonly [string, unknown]> = [
    ["there is a refused connection", coded("ECONNREFUSED", { syscall: "connect" })],
    ["no server listens on a Unix socket", transport(coded("ENOENT", { syscall: "connect" }))],
    ["a connection breaks", coded("ECONNRESET", { syscall: "read" })],
    ["a host is not known", transport(coded("ENOTFOUND", { syscall: "getaddrinfo" }))],
    ["it timed out", new Cause.TimeoutError("x")],
    [
      "a response cannot be decoded",
      http(
        new HttpClientError.DecodeError({ request, response: HttpClientResponse.fromWeb(request, new Response("x")) })
      )
    ],
    ["it may have been applied", new ApiError.OutcomeUnknown({ failure: ApiError.reasonFromStatus(500) })],
    ["the server's own code equals a system code", ApiError.reasonFromStatus(500, { code: "EMFILE" })],
    ["the server rejects", ApiError.reasonFromStatus(429)],
    [
      "a client of ours within says that it asked",
      new Error("x", { cause: coded("EMFILE", { [NotAsked.symbol]: false }) })
    ],
    [
      "the error within has a recovery, but no mark",
      new Error("x", { cause: coded("EMFILE", { [Recovery.symbol]: () => Recovery.retry }) })
    ],
    ["the mark is not true", { [NotAsked.symbol]: 1 }],
    ["the error is unknown", new Error("x")],
    ["it is not an error", undefined]
  ]

  it.each(asked)("is false if %s", (_, error) => {
    assert.isFalse(NotAsked.isNotAsked(error))
  })

  it("looks eight causes deep", () => {
    const chain = (length: number, inner: unknown): unknown =>
      length === 1 ? inner : new Error("outer", { cause: chain(length - 1, inner) })
    for (const inner of [coded("EACCES", { syscall: "open" }), coded("EIO"), { [NotAsked.symbol]: true }]) {
      assert.isTrue(NotAsked.isNotAsked(chain(8, inner)))
      assert.isFalse(NotAsked.isNotAsked(chain(9, inner)))
    }
  })

  it("knows the calls and codes that only files have", () => {
    const calls = "access fstat lstat open opendir read readlink realpath scandir stat".split(" ")
    for (const syscall of calls) assert.isTrue(NotAsked.isNotAsked(coded("EACCES", { syscall })), syscall)
    for (const syscall of ["connect", "bind", ""]) assert.isFalse(NotAsked.isNotAsked(coded("EACCES", { syscall })))
    assert.isFalse(NotAsked.isNotAsked(coded("EPIPE", { syscall: "read" })))
    for (const code of "EMFILE ENFILE EIO EISDIR ENOTDIR ENOSPC EROFS ELOOP ENAMETOOLONG".split(" ")) {
      assert.isTrue(NotAsked.isNotAsked(coded(code)), code)
    }
  })

  it("does not change a recovery", () => {
    assert.deepStrictEqual(Classifier.classify(coded("EMFILE"))._tag, "Retry")
  })
})
