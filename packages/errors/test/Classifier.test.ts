import { ApiError, Classifier, Recovery, Transport } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, PlatformError, Schema } from "effect"
import { HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Socket from "effect/socket/Socket"
import * as SqlError from "effect/sql/SqlError"

const code = (value: string) => Object.assign(new Error(value), { code: value })
const tag = (error: unknown) => Classifier.classify(error)._tag

const request = HttpClientRequest.get("http://localhost/")
const status = (value: number, headers: Record<string, string> = {}) =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.StatusCodeError({
      request,
      response: HttpClientResponse.fromWeb(request, new Response(null, { status: value, headers }))
    })
  })
const transport = (cause: unknown) =>
  new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })

describe("Classifier", () => {
  it("takes an error's own recovery", () => {
    const error = { _tag: "TimeoutError", [Recovery.symbol]: () => Recovery.verify }
    assert.deepStrictEqual(Classifier.classify(error), Recovery.verify)
  })

  it("agrees with ApiError on all transport failures", () => {
    const kinds = [
      ...["refused", "dns", "tls", "connectTimeout", "busy", "local", "closed", "proxy", "proxyRejected"] as const,
      ...["reset", "stalled", "unprocessed", "protocol", "request", "body", "address", "unknown"] as const
    ]
    for (const kind of kinds) {
      for (const cause of [new Error(kind), code("EMFILE"), code("ECONNRESET"), code("ENOENT"), code("ERR_OTHER")]) {
        const transmission: Transport.Transmission = { reached: "nothing", kind }
        const error = transport(Object.assign(cause, { [Transport.TransmissionId]: transmission }))
        const reason = new ApiError.TransportFailure(Transport.diagnose(error))
        assert.deepStrictEqual(Classifier.classify(error), Recovery.of(reason), `${kind} ${cause.message}`)
      }
    }
    const proxy = new ApiError.TransportFailure({ kind: "proxyRejected", code: "PROXY_407", connected: false })
    assert.deepStrictEqual(Recovery.of(proxy), Recovery.authorize)
  })

  it("retries a body if the failure of its source is transient", () => {
    const body = (code?: string) => Recovery.of(new ApiError.TransportFailure({ kind: "body", code, connected: true }))
    for (const passing of ["EMFILE", "ECONNRESET", "EAGAIN"]) assert.deepStrictEqual(body(passing), Recovery.retry)
    assert.deepStrictEqual(body("ENOENT"), Recovery.correct)
    assert.deepStrictEqual(body("UND_ERR_REQ_CONTENT_LENGTH_MISMATCH"), Recovery.giveUp)
    assert.deepStrictEqual(body(), Recovery.giveUp)
  })

  it.prop(
    "agrees with ApiError on every status",
    [Schema.Int.check(Schema.isBetween({ minimum: 300, maximum: 599 }))],
    (
      [value]
    ) => {
      const after = Duration.seconds(3)
      const reason = ApiError.reasonFromStatus(value, { retryAfter: after })
      assert.deepStrictEqual(reason[Recovery.symbol](), Classifier.classify(status(value, { "retry-after": "3" })))
    }
  )

  it("reads the statuses of HttpClient", () => {
    const expected: ReadonlyArray<readonly [number, Recovery.Recovery["_tag"]]> = [
      [302, "Correct"],
      [400, "Correct"],
      [401, "Reauthenticate"],
      [403, "Authorize"],
      [404, "Correct"],
      [408, "Retry"],
      [409, "Correct"],
      [413, "Correct"],
      [422, "Correct"],
      [425, "Retry"],
      [429, "Retry"],
      [500, "Retry"],
      [501, "GiveUp"],
      [502, "Retry"],
      [503, "Retry"],
      [504, "Retry"],
      [505, "GiveUp"],
      [511, "GiveUp"],
      [522, "Retry"]
    ]
    for (const [value, wanted] of expected) assert.strictEqual(tag(status(value)), wanted, String(value))
  })

  it("takes the server's time from the response, a date only if it knows the current time", () => {
    const date = { "retry-after": "Thu, 01 Jan 2026 00:00:05 GMT" }
    assert.deepStrictEqual(
      Classifier.classify(status(503, { "retry-after": "7" })),
      Recovery.retryAs("overloaded", "7 seconds")
    )
    assert.deepStrictEqual(
      Classifier.classify(status(503, date), Date.UTC(2026, 0, 1)),
      Recovery.retryAs("overloaded", "5 seconds")
    )
    assert.deepStrictEqual(Classifier.classify(status(503, date)), Recovery.retryAs("overloaded"))
    assert.deepStrictEqual(Classifier.classify(status(400, { "retry-after": "7" })), Recovery.correct)
  })

  it("distinguishes a broken connection from a broken certificate and a broken body", () => {
    assert.strictEqual(tag(transport(new TypeError("fetch failed", { cause: code("ECONNRESET") }))), "Retry")
    assert.strictEqual(tag(transport(undefined)), "Retry")
    assert.strictEqual(tag(transport(code("CERT_HAS_EXPIRED"))), "GiveUp")
    assert.strictEqual(tag(transport(code("UND_ERR_REQ_CONTENT_LENGTH_MISMATCH"))), "GiveUp")
  })

  it("does not retry a malformed request or response", () => {
    const of = (reason: HttpClientError.HttpClientErrorReason) => tag(new HttpClientError.HttpClientError({ reason }))
    const response = HttpClientResponse.fromWeb(request, new Response(null))
    assert.strictEqual(of(new HttpClientError.InvalidUrlError({ request })), "Correct")
    assert.strictEqual(of(new HttpClientError.EncodeError({ request })), "Correct")
    assert.strictEqual(of(new HttpClientError.DecodeError({ request, response })), "GiveUp")
    assert.strictEqual(of(new HttpClientError.EmptyBodyError({ request, response })), "GiveUp")
  })

  it("retries timeouts", () => {
    assert.strictEqual(tag(new Cause.TimeoutError()), "Retry")
    assert.strictEqual(tag(new DOMException("too slow", "TimeoutError")), "Retry")
    assert.strictEqual(tag(new DOMException("aborted", "AbortError")), "GiveUp")
  })

  it("waits as long as a limiter or an open breaker says", () => {
    const limited = new RateLimiter.RateLimiterError({
      reason: new RateLimiter.RateLimitExceeded({ key: "k", limit: 1, remaining: 0, retryAfter: Duration.seconds(9) })
    })
    assert.deepStrictEqual(Classifier.classify(limited), Recovery.retryAs("throttled", "9 seconds"))
    const open = new CircuitBreaker.CircuitBreakerError({
      reason: new CircuitBreaker.CircuitOpen({ key: "k", retryAfter: Duration.seconds(4) })
    })
    assert.deepStrictEqual(Classifier.classify(open), Recovery.retryAfter("4 seconds"))
    const halfOpen = new CircuitBreaker.CircuitBreakerError({
      reason: new CircuitBreaker.CircuitHalfOpen({ key: "k" })
    })
    assert.deepStrictEqual(Classifier.classify(halfOpen), Recovery.retry)
  })

  it("reads the reasons of SQL errors", () => {
    const of = (reason: SqlError.SqlErrorReason) => tag(new SqlError.SqlError({ reason }))
    const cause = new Error("sql")
    assert.strictEqual(of(new SqlError.ConnectionError({ cause })), "Retry")
    assert.strictEqual(of(new SqlError.DeadlockError({ cause })), "Retry")
    assert.strictEqual(of(new SqlError.SerializationError({ cause })), "Retry")
    assert.strictEqual(of(new SqlError.AuthenticationError({ cause })), "Authorize")
    assert.strictEqual(of(new SqlError.SqlSyntaxError({ cause })), "Correct")
    assert.strictEqual(of(new SqlError.UnknownError({ cause })), "GiveUp")
    assert.strictEqual(of(new SqlError.UnknownError({ cause: code("ECONNRESET") })), "Retry")
  })

  it("reads the reasons of socket errors", () => {
    const of = (reason: Socket.SocketErrorReason) => tag(new Socket.SocketError({ reason }))
    assert.strictEqual(of(new Socket.SocketReadError({ cause: new Error("read") })), "Retry")
    assert.strictEqual(of(new Socket.SocketOpenError({ kind: "Timeout", cause: new Error("open") })), "Retry")
    assert.strictEqual(of(new Socket.SocketOpenError({ kind: "Unknown", cause: code("CERT_HAS_EXPIRED") })), "GiveUp")
    assert.strictEqual(of(new Socket.SocketUpgradeError({})), "GiveUp")
    for (
      const [close, wanted] of [[1000, "GiveUp"], [1001, "Retry"], [1006, "Retry"], [1008, "GiveUp"], [
        1013,
        "Retry"
      ]] as const
    ) {
      assert.strictEqual(of(new Socket.SocketCloseError({ code: close })), wanted, String(close))
    }
  })

  it("reads the reasons of platform errors", () => {
    const of = (_tag: PlatformError.SystemErrorTag, cause?: unknown) =>
      tag(PlatformError.systemError({ _tag, module: "FileSystem", method: "open", cause }))
    assert.strictEqual(of("Busy"), "Retry")
    assert.strictEqual(of("TimedOut"), "Retry")
    assert.strictEqual(of("PermissionDenied"), "Authorize")
    assert.strictEqual(of("NotFound"), "Correct")
    assert.strictEqual(of("Unknown"), "GiveUp")
    assert.strictEqual(of("Unknown", code("EMFILE")), "Retry")
    assert.strictEqual(tag(PlatformError.badArgument({ module: "FileSystem", method: "open" })), "Correct")
  })

  it.effect("looks into the cause of a rejected promise", () =>
    Effect.gen(function*() {
      const failed = (cause: unknown) => Effect.map(Effect.flip(Effect.tryPromise(() => Promise.reject(cause))), tag)
      assert.strictEqual(yield* failed(code("ECONNREFUSED")), "Retry")
      assert.strictEqual(yield* failed(new DOMException("too slow", "TimeoutError")), "Retry")
      assert.strictEqual(yield* failed(new TypeError("x is not a function")), "GiveUp")
    }))

  it("looks eight errors deep into wrappers of any kind", () => {
    const wrappers =
      "UnknownError RedisError PersistenceError PersistedQueueError KeyValueStoreError EventJournalError EventLogRemoteError " +
      "EventLogServerStoreError"
    for (const _tag of wrappers.split(" ")) {
      const chain = (length: number): unknown => length === 1 ? status(503) : { _tag, cause: chain(length - 1) }
      assert.deepStrictEqual(Classifier.classify(chain(8)), Recovery.retryAs("overloaded"), _tag)
      assert.deepStrictEqual(Classifier.classify(chain(9)), Recovery.giveUp, _tag)
    }
    assert.deepStrictEqual(Classifier.classify({ _tag: "Other", cause: status(503) }), Recovery.giveUp)
  })

  it("takes the recovery that a client of ours gave before Effect wrapped its error", () => {
    assert.deepStrictEqual(
      Classifier.classify(transport({ [Recovery.symbol]: () => Recovery.verify })),
      Recovery.verify
    )
  })

  it("takes a provider's word that a repetition does not help, whatever broke", () => {
    const reason = { _tag: "UnknownError" }
    const error = { _tag: "AiError", isRetryable: false, reason, cause: code("ECONNRESET") }
    assert.deepStrictEqual(Classifier.classify(error), Recovery.giveUp)
  })

  it("reads what reasons of effect's clients a person can mend", () => {
    const final = {
      correct: "ContentPolicyError EncodeError InvalidRequestError InvalidUserInputError NetworkError " +
        "ToolConfigurationError ToolkitRequiredError UnsupportedSchemaError",
      authorize: "AuthenticationError"
    }
    for (const [recovery, tags] of Object.entries(final)) {
      for (const _tag of tags.split(" ")) {
        assert.strictEqual(tag({ _tag: "AiError", isRetryable: false, reason: { _tag } }).toLowerCase(), recovery, _tag)
      }
    }
    for (const _tag of ["ConfigurationError", "UnsupportedError", "ValidationError"]) {
      assert.strictEqual(tag({ _tag: "McpClientError", reason: { _tag } }), "Correct", _tag)
    }
    for (const _tag of ["AuthenticationError", "AuthorizationError"]) {
      assert.strictEqual(tag({ _tag: "SqlError", reason: { _tag } }), "Authorize", _tag)
    }
    for (const _tag of ["SocketUpgradeError", "DatagramSocketClosedError", "DatagramSocketUnsupportedError"]) {
      assert.strictEqual(tag({ _tag: "SocketError", reason: { _tag } }), "GiveUp", _tag)
    }
    const platform = {
      Retry: "Busy TimedOut WouldBlock",
      Authorize: "PermissionDenied",
      Correct: "AlreadyExists BadArgument BadResource InvalidData NotFound",
      GiveUp: "Unknown"
    }
    for (const [recovery, tags] of Object.entries(platform)) {
      for (const _tag of tags.split(" ")) {
        assert.strictEqual(tag({ _tag: "PlatformError", reason: { _tag } }), recovery, _tag)
      }
    }
  })

  it("reads a code of the system that says no more than itself", () => {
    const codes = {
      Retry: "EAGAIN EBUSY EMFILE ENFILE",
      Authorize: "EACCES EPERM",
      Correct: "ENOENT",
      GiveUp: "EOTHER"
    }
    for (const [recovery, names] of Object.entries(codes)) {
      for (const name of names.split(" ")) assert.strictEqual(tag(code(name)), recovery, name)
    }
    for (const _tag of ["EncodeError", "HttpApiSchemaError", "InvalidUrlError", "MalformedMessage"]) {
      assert.strictEqual(tag({ _tag }), "Correct", _tag)
    }
  })

  it("knows which close codes of a socket pass", () => {
    const of = (code: number) =>
      Classifier.classify({ _tag: "SocketError", reason: { _tag: "SocketCloseError", code } })
    for (const code of [1001, 1006, 1011, 1012, 1014]) assert.deepStrictEqual(of(code), Recovery.retry, String(code))
    assert.deepStrictEqual(of(1013), Recovery.retryAs("overloaded"))
    for (const code of [1000, 1002, 1003, 1005, 1007, 1008, 1009, 1010, 1015, 4000]) {
      assert.deepStrictEqual(of(code), Recovery.giveUp, String(code))
    }
  })

  it("gives up on anything else", () => {
    const cyclic: { cause?: unknown } = {}
    cyclic.cause = cyclic
    const hostile = [
      undefined,
      null,
      0,
      "ECONNRESET",
      Symbol("x"),
      {},
      [],
      cyclic,
      { _tag: 5 },
      { code: 5 },
      () => {},
      {
        _tag: "HttpClientError"
      },
      { _tag: "HttpClientError", reason: { _tag: "StatusCodeError" } },
      { _tag: "PlatformError", reason: null },
      {
        code: "constructor"
      },
      { _tag: "PlatformError", reason: { _tag: "constructor" } },
      { code: "toString", cause: "x" },
      { name: "HttpError", status: 503 },
      { name: "MailboxFull" }
    ]
    for (const error of hostile) assert.deepStrictEqual(Classifier.classify(error), Recovery.giveUp)
  })

  it.prop("never throws and always returns a recovery", [Schema.Unknown], ([error]) => {
    assert.isString(Recovery.describe(Classifier.classify(error)))
  })
})
