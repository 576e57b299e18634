import { Classifier, Recovery } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, PlatformError, Schema } from "effect"
import { AiError, McpClientError } from "effect/ai"
import { ClusterError } from "effect/cluster"
import { GraphQLClientError } from "effect/graphql"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { HttpApi, HttpApiClient, HttpApiEndpoint, HttpApiError, HttpApiGroup } from "effect/http-api"
import { Dns } from "effect/net"
import { CircuitBreaker, KeyValueStore, PersistedQueue, Persistence, RateLimiter, Redis } from "effect/persistence"
import { RpcClientError } from "effect/rpc"
import { DatagramSocket, Socket } from "effect/socket"
import { SqlError } from "effect/sql"
import { readdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

const reset = Object.assign(new Error("read"), { code: "ECONNRESET" })
const request = HttpClientRequest.get("https://api.example.com/")
const response = (status: number, headers: Record<string, string> = {}) =>
  HttpClientResponse.fromWeb(request, new Response(null, { status, headers }))
const statusCode = (status: number, headers?: Record<string, string>) =>
  new HttpClientError.StatusCodeError({ request, response: response(status, headers) })
const http = (reason: HttpClientError.HttpClientErrorReason) => new HttpClientError.HttpClientError({ reason })
const overHttp = (reason: HttpClientError.HttpClientErrorReason) =>
  HttpClientError.HttpClientErrorSchema.fromHttpClientError(http(reason))
const ai = (reason: AiError.AiErrorReason) => new AiError.AiError({ module: "model", method: "ask", reason })
const mcp = (reason: McpClientError.McpClientError["reason"]) => new McpClientError.McpClientError({ reason })
const graphql = (reason: GraphQLClientError.Reason) =>
  new GraphQLClientError.GraphQLClientError({ operation: "find", reason })
const cause = new Error("x")
const minute = Recovery.retryAfter("1 minute")

/** All classes of `effect` that say something about retries, and what they say. */
const recoveries: { readonly [name: string]: ReadonlyArray<readonly [error: unknown, recovery: Recovery.Recovery]> } = {
  "Cause/ExceededCapacityError": [[new Cause.ExceededCapacityError(), Recovery.retryAs("overloaded")]],
  "Cause/TimeoutError": [[new Cause.TimeoutError(), Recovery.retry]],
  "Cause/UnknownError": [[new Cause.UnknownError(reset), Recovery.retry], [
    new Cause.UnknownError(http(statusCode(503))),
    Recovery.retryAs("overloaded")
  ]],
  "PlatformError/PlatformError": [
    [PlatformError.systemError({ _tag: "Busy", module: "FileSystem", method: "open" }), Recovery.retry]
  ],
  "ai/AiError/AiError": [
    [ai(new AiError.RateLimitError({ retryAfter: Duration.minutes(1) })), Recovery.retryAs("throttled", "1 minute")],
    [ai(new AiError.RateLimitError({})), Recovery.retryAs("throttled")],
    [ai(new AiError.InternalProviderError({ description: "x" })), Recovery.retry],
    [ai(new AiError.NetworkError({ reason: "TransportError", method: "POST", url: "u" })), Recovery.retry],
    [ai(new AiError.NetworkError({ reason: "InvalidUrlError", method: "POST", url: "u" })), Recovery.correct],
    [ai(new AiError.QuotaExhaustedError({})), Recovery.giveUp],
    [ai(new AiError.AuthenticationError({ kind: "InvalidKey" })), Recovery.authorize],
    [ai(new AiError.InvalidRequestError({})), Recovery.correct],
    [ai(new AiError.ContentPolicyError({ description: "x" })), Recovery.correct],
    [ai(new AiError.UnknownError({})), Recovery.giveUp]
  ],
  "ai/McpClientError/McpClientError": [
    [mcp(new McpClientError.TransportError({})), Recovery.retry],
    [mcp(new McpClientError.TimeoutError({ operation: "call" })), Recovery.retry],
    [mcp(new McpClientError.HttpError({ status: 503, retryAfter: "60" })), Recovery.retryAs("overloaded", "1 minute")],
    [mcp(new McpClientError.HttpError({ status: 403 })), Recovery.authorize],
    [mcp(new McpClientError.UnsupportedError({ description: "x" })), Recovery.correct],
    [mcp(new McpClientError.ClosedError({})), Recovery.giveUp]
  ],
  "cluster/ClusterError/MailboxFull": [[
    tagged(ClusterError.MailboxFull, "MailboxFull"),
    Recovery.retryAs("overloaded")
  ]],
  "cluster/ClusterError/RunnerUnavailable": [
    [tagged(ClusterError.RunnerUnavailable, "RunnerUnavailable"), Recovery.retry]
  ],
  "cluster/ClusterError/RunnerNotRegistered": [
    [tagged(ClusterError.RunnerNotRegistered, "RunnerNotRegistered"), Recovery.retry]
  ],
  "cluster/ClusterError/EntityNotAssignedToRunner": [
    [tagged(ClusterError.EntityNotAssignedToRunner, "EntityNotAssignedToRunner"), Recovery.retry]
  ],
  "cluster/ClusterError/AlreadyProcessingMessage": [
    [tagged(ClusterError.AlreadyProcessingMessage, "AlreadyProcessingMessage"), Recovery.retry]
  ],
  "cluster/ClusterError/MalformedMessage": [[new ClusterError.MalformedMessage({ cause }), Recovery.correct]],
  "cluster/ClusterError/PersistenceError": [
    [
      new ClusterError.PersistenceError({
        cause: new SqlError.SqlError({ reason: new SqlError.ConnectionError({ cause }) })
      }),
      Recovery.retry
    ],
    [new ClusterError.PersistenceError({ cause }), Recovery.giveUp]
  ],
  "graphql/GraphQLClientError/GraphQLClientError": [
    [graphql(new GraphQLClientError.TransportError({ description: "x", status: 503 })), Recovery.retryAs("overloaded")],
    [graphql(new GraphQLClientError.TransportError({ description: "x", retryAfter: Duration.minutes(1) })), minute],
    [graphql(new GraphQLClientError.TransportError({ description: "x", status: 401 })), Recovery.reauthenticate],
    [graphql(new GraphQLClientError.TransportError({ description: "x", fatal: true })), Recovery.giveUp],
    [
      graphql(new GraphQLClientError.ResponseError({ errors: [{ message: "x" }], status: 429 })),
      Recovery.retryAs("throttled")
    ],
    [graphql(new GraphQLClientError.ResponseError({ errors: [{ message: "x" }] })), Recovery.giveUp],
    [graphql(new GraphQLClientError.EncodeError({ description: "x" })), Recovery.correct]
  ],
  "http/HttpClientError/HttpClientError": [
    [http(statusCode(503, { "retry-after": "60" })), Recovery.retryAs("overloaded", "1 minute")],
    [http(statusCode(404)), Recovery.correct],
    [http(new HttpClientError.TransportError({ request })), Recovery.retry],
    [http(new HttpClientError.InvalidUrlError({ request })), Recovery.correct],
    [http(new HttpClientError.EmptyBodyError({ request, response: response(200) })), Recovery.giveUp]
  ],
  "http/HttpClientError/HttpClientErrorSchema": [
    [overHttp(statusCode(503, { "retry-after": "60" })), Recovery.retryAs("overloaded", "1 minute")],
    [overHttp(new HttpClientError.TransportError({ request })), Recovery.retry],
    [overHttp(new HttpClientError.EncodeError({ request })), Recovery.correct]
  ],
  "http/HttpClientError/StatusCodeError": [[statusCode(503), Recovery.retryAs("overloaded")]],
  "http/HttpClientError/TransportError": [[new HttpClientError.TransportError({ request }), Recovery.retry]],
  "http/HttpClientError/EncodeError": [[new HttpClientError.EncodeError({ request }), Recovery.correct]],
  "http/HttpClientError/InvalidUrlError": [[new HttpClientError.InvalidUrlError({ request }), Recovery.correct]],
  "net/Dns/DnsError": [
    [new Dns.DnsError({ reason: "Temporary", method: "lookup", hostname: "h" }), Recovery.retry],
    [new Dns.DnsError({ reason: "NotFound", method: "lookup", hostname: "h" }), Recovery.correct]
  ],
  "persistence/CircuitBreaker/CircuitBreakerError": [
    [
      new CircuitBreaker.CircuitBreakerError({
        reason: new CircuitBreaker.CircuitOpen({ key: "k", retryAfter: Duration.minutes(1) })
      }),
      minute
    ]
  ],
  "persistence/CircuitBreaker/CircuitHalfOpen": [[new CircuitBreaker.CircuitHalfOpen({ key: "k" }), Recovery.retry]],
  "persistence/RateLimiter/RateLimiterError": [
    [
      new RateLimiter.RateLimiterError({
        reason: new RateLimiter.RateLimitExceeded({ key: "k", limit: 1, remaining: 0, retryAfter: Duration.minutes(1) })
      }),
      Recovery.retryAs("throttled", "1 minute")
    ]
  ],
  "persistence/KeyValueStore/KeyValueStoreError": [
    [new KeyValueStore.KeyValueStoreError({ method: "get", message: "x", cause: reset }), Recovery.retry]
  ],
  "persistence/PersistedQueue/PersistedQueueError": [
    [new PersistedQueue.PersistedQueueError({ message: "x", cause: reset }), Recovery.retry]
  ],
  "persistence/Persistence/PersistenceError": [
    [
      new Persistence.PersistenceError({ message: "x", cause: new Redis.RedisError({ cause: reset }) }),
      Recovery.retry
    ],
    [new Persistence.PersistenceError({ message: "x" }), Recovery.giveUp]
  ],
  "persistence/Redis/RedisError": [[new Redis.RedisError({ cause: reset }), Recovery.retry]],
  "rpc/RpcClientError/RpcClientError": [
    [new RpcClientError.RpcClientError({ reason: overHttp(statusCode(503)) }), Recovery.retryAs("overloaded")],
    [
      new RpcClientError.RpcClientError({ reason: overHttp(new HttpClientError.TransportError({ request })) }),
      Recovery.retry
    ],
    [new RpcClientError.RpcClientError({ reason: new Socket.SocketReadError({ cause }) }), Recovery.retry],
    [new RpcClientError.RpcClientError({ reason: new Socket.SocketCloseError({ code: 1008 }) }), Recovery.giveUp],
    [
      new RpcClientError.RpcClientError({ reason: new RpcClientError.RpcClientDefect({ message: "x", cause }) }),
      Recovery.giveUp
    ]
  ],
  "socket/DatagramSocket/DatagramSocketError": [
    [
      new DatagramSocket.DatagramSocketError({ reason: new DatagramSocket.DatagramSocketClosedError({}) }),
      Recovery.giveUp
    ]
  ],
  "socket/Socket/SocketError": [
    [new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause }) }), Recovery.retry]
  ],
  "sql/SqlError/SqlError": [
    [new SqlError.SqlError({ reason: new SqlError.DeadlockError({ cause }) }), Recovery.retry],
    [new SqlError.SqlError({ reason: new SqlError.SqlSyntaxError({ cause }) }), Recovery.correct]
  ]
}

/** Reads like its instances, whatever their fields. */
function tagged(of: { readonly prototype: object }, _tag: string): unknown {
  return Object.create(of.prototype, { _tag: { value: _tag } })
}

/** Classes that say nothing about retries, or only in an error that is read above; by module. */
const silent: { readonly [module: string]: string } = {
  "Cause": "AsyncFiberError IllegalArgumentError NoSuchElementError",
  "ConfigProvider": "SourceError",
  "Cron": "CronParseError",
  "Data": "Error",
  "Graph": "GraphError",
  "PlatformError": "BadArgument SystemError",
  "Schema": "SchemaError",
  "SemVer": "SemVerError",
  "Terminal": "QuitError",
  "TextDiff": "TextDiffError",
  "ai/Chat": "ChatNotFoundError",
  "ai/McpClientError":
    "ClosedError ConfigurationError LimitError ProtocolError TimeoutError ToolError TransportError UnsupportedError ValidationError",
  "ai/McpSchema":
    "ElicitationDeclined InternalError InvalidParams InvalidRequest McpReverseOperationError McpReverseOperationUnsupported MethodNotFound ParseError",
  "cli/CliError":
    "DuplicateOption InvalidValue MissingArgument MissingOption ShowHelp UnexpectedArgument UnknownSubcommand UnrecognizedOption UserError ValidationError",
  "crypto/CryptoError": "CryptoError DecryptionFailed InvalidArgument InvalidKey NotExtractable Unsupported",
  "encoding/Csv": "CsvError",
  "encoding/EncodingError": "EncodingError",
  "encoding/JsonArray": "JsonArrayError",
  "encoding/Ndjson": "NdjsonError",
  "encoding/Sse": "EventTooLarge SseError",
  "encoding/Tar": "TarError",
  "encoding/Xml": "XmlError",
  "encoding/Zip": "ZipError",
  "eventlog/EventJournal": "EventJournalError",
  "eventlog/EventLogMessage": "EventLogProtocolError",
  "eventlog/EventLogRemote": "EventLogRemoteError",
  "eventlog/EventLogServerEncrypted": "CompactionInvalidRequest CompactionNotFound CompactionRollbackError",
  "eventlog/EventLogServerUnencrypted": "EventLogServerAuthError EventLogServerStoreError",
  "eventlog/EventLogSessionAuth": "EventLogSessionAuthError",
  "http/Cookies": "CookiesError CookiesErrorReason",
  "http/Headers": "HeaderParseError HeaderParseErrorReason",
  "http/HttpBody": "HttpBodyError",
  "http/HttpClientError": "DecodeError EmptyBodyError",
  "http/HttpServerError": "HttpServerError InternalError RequestParseError ResponseError RouteNotFound ServeError",
  "http/Multipart": "MultipartError MultipartErrorReason",
  "http/Url": "UrlError",
  "net/NetAddress": "NetAddressError",
  "persistence/CircuitBreaker": "CircuitBreakerStoreError",
  "persistence/RateLimiter": "RateLimitStoreError",
  "process/CommandLine": "CommandLineError",
  "rpc/RpcClientError": "RpcClientDefect",
  "rpc/RpcSerialization": "MaxBufferSizeExceeded NdjsonDecodeError",
  "schema/SchemaAOTCompiler/Build": "BuildError",
  "socket/DatagramSocket":
    "DatagramSocketClosedError DatagramSocketOpenError DatagramSocketReadError DatagramSocketUnsupportedError DatagramSocketWriteError",
  "socket/Socket": "SocketCloseError SocketOpenError SocketReadError SocketUpgradeError SocketWriteError",
  "socket/SocketServer": "SocketServerError SocketServerOpenError SocketServerUnknownError",
  "sql/Migrator": "MigrationError",
  "sql/SqlError": "ResultLengthMismatch",
  "workers/WorkerError": "WorkerError WorkerReceiveError WorkerSendError WorkerSpawnError WorkerUnknownError"
}

const root = join(dirname(fileURLToPath(import.meta.resolve("effect/package.json"))), "dist")

interface ErrorClass {
  readonly prototype: Error
  readonly fields?: object
  readonly ast?: { readonly annotations?: { readonly httpApiStatus?: number } }
}

const isErrorClass = (u: unknown): u is ErrorClass => typeof u === "function" && u.prototype instanceof Error

const classes = async (): Promise<ReadonlyMap<string, ErrorClass>> => {
  const found = new Map<string, ErrorClass>()
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).map((file) => file.replaceAll("\\", "/"))
  for (const file of files) {
    if (!/(?:^|\/)[A-Z]\w*\.js$/.test(file) || file.includes("internal/")) continue
    const exports: object = await import(/* @vite-ignore */ pathToFileURL(join(root, file)).href)
    for (const [key, value] of Object.entries(exports)) {
      if (isErrorClass(value)) found.set(`${file.slice(0, -3)}/${key}`, value)
    }
  }
  return found
}

/** An instance, without the arguments of its class. */
const instance = (of: { readonly prototype: object }, values: Readonly<Record<string, unknown>> = {}): unknown =>
  Object.create(of.prototype, Object.fromEntries(Object.entries(values).map(([key, value]) => [key, { value }])))

describe("the errors of effect", () => {
  it.each(Object.keys(recoveries))("%s is read", (name) => {
    for (const [error, recovery] of recoveries[name] ?? []) assert.deepStrictEqual(Classifier.classify(error), recovery)
  })

  it(
    "are all known: what says anything about trying again is read, the rest is listed",
    async () => {
      const listed = new Set(
        Object.entries(silent).flatMap(([module, names]) => names.split(" ").map((name) => `${module}/${name}`))
      )
      const unknown: Array<string> = []
      let walked = 0
      for (const [name, of] of await classes()) {
        walked++
        const status = of.ast?.annotations?.httpApiStatus
        if ("isRetryable" in of.prototype) {
          const recoveryOf = (isRetryable: boolean) =>
            Classifier.classify(instance(of, { isRetryable, retryAfter: undefined, status: undefined, reason: {} }))
              ._tag
          assert.strictEqual(recoveryOf(true), "Retry", name)
          assert.notStrictEqual(recoveryOf(false), "Retry", name)
        } else if (status !== undefined) {
          assert.deepStrictEqual(Classifier.classify(instance(of)), Recovery.fromStatus(status), name)
        } else if (Object.hasOwn(of.fields ?? {}, "retryAfter") && recoveries[name] === undefined) {
          const error = instance(of, {
            _tag: name.split("/").at(-1),
            status: 503,
            retryAfter: name.startsWith("ai/") ? "60" : Duration.minutes(1)
          })
          const { _tag, after } = { after: undefined, ...Classifier.classify(error) }
          assert.deepStrictEqual({ _tag, after }, minute, name)
        } else if (recoveries[name] === undefined && !listed.delete(name)) unknown.push(name)
      }
      assert.deepStrictEqual([unknown, [...listed]], [[], []])
      assert.isAbove(walked, 150)
    }
  )

  it("are read if an API declares them with a status, and with a time", () => {
    class Busy extends Schema.TaggedError<Busy>()("Busy", { retryAfter: Schema.DurationFromMillis }, {
      httpApiStatus: 503
    }) {}
    assert.deepStrictEqual(
      Classifier.classify(new Busy({ retryAfter: Duration.minutes(1) })),
      Recovery.retryAs("overloaded", "1 minute")
    )
    assert.deepStrictEqual(Classifier.classify(new HttpApiError.NotFound({})), Recovery.correct)
  })

  it.effect("have their recovery in a client of an API", () =>
    Effect.gen(function*() {
      const api = HttpApi.make("api").add(
        HttpApiGroup.make("tables").add(
          HttpApiEndpoint.get("find", "/find", {
            success: Schema.String,
            error: [HttpApiError.NotFoundNoContent, HttpApiError.ServiceUnavailableNoContent]
          })
        )
      )
      const recoveryOf = Effect.fnUntraced(function*(status: number) {
        const fake = HttpClient.make((request) =>
          Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status })))
        )
        const client = yield* Effect.provideService(
          HttpApiClient.make(api, { baseUrl: "http://localhost" }),
          HttpClient.HttpClient,
          fake
        )
        return Classifier.classify(yield* Effect.flip(client.tables.find()))
      })
      assert.deepStrictEqual(yield* recoveryOf(404), Recovery.correct)
      assert.deepStrictEqual(yield* recoveryOf(503), Recovery.retryAs("overloaded"))
      assert.deepStrictEqual(yield* recoveryOf(502), Recovery.retry)
    }))
})
