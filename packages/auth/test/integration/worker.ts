/**
 * A process that shares its tokens: `worker.ts STORE LOGIN_URL`, where STORE is a SQLite file or a redis:// address. It reads
 * `get` and `refuse` from standard input, line by line, and answers each with one line of JSON.
 */
import { Grant, Lease, SharedTokens, type Token, TokenCache, TokenSource } from "@effect-resilience/auth"
import { ErrorMapping } from "@effect-resilience/http"
import { SqliteClient } from "@effect-resilience/sqlite"
import { NodeHttpClient, NodeRedis, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Logger, Redacted, Stream } from "effect"
import { HttpClient } from "effect/http"
import { Persistence } from "effect/persistence"
import { createInterface } from "node:readline"

const [address = "", loginUrl = ""] = process.argv.slice(2)

const sqlite = Layer.mergeAll(Persistence.layerBackingSql, Lease.layerSql).pipe(
  Layer.provide(SqliteClient.layer({ filename: address }))
)
const redis = Layer.mergeAll(Persistence.layerBackingRedis, Lease.layerRedis).pipe(
  Layer.provide(NodeRedis.layer({ url: address }))
)

const program = Effect.gen(function*() {
  const client = ErrorMapping.mapErrors(yield* HttpClient.HttpClient, {})
  const source = yield* SharedTokens.make(
    TokenSource.login({
      credentials: Effect.succeed(Redacted.make("s3cr3t-key")),
      identity: (key) => [loginUrl, key],
      login: () =>
        client.post(loginUrl, { headers: { "x-pid": String(process.pid) } }).pipe(
          Effect.flatMap(Grant.fromResponse({ headers: ["x-token"] }))
        )
    }),
    { key: Redacted.make("0123456789abcdef0123456789abcdef"), lease: "2 seconds", poll: "20 millis" }
  )
  const cache = yield* TokenCache.make(source)
  let token: Token.Token | undefined
  const answer = (line: string) =>
    Effect.gen(function*() {
      if (line === "refuse" && token !== undefined) return { refused: yield* cache.invalidate(token) }
      token = yield* cache.get
      return { token: Redacted.value(token.value), shared: token.shared }
    })
  console.log(JSON.stringify({ ready: process.pid }))
  yield* Stream.runForEach(
    Stream.fromAsyncIterable(createInterface({ input: process.stdin }), String),
    (line) => Effect.map(answer(line), (result) => console.log(JSON.stringify(result)))
  )
})

const services = Layer.mergeAll(
  NodeHttpClient.layerUndici,
  Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])
)

const store = address.startsWith("redis:") ? Layer.orDie(redis) : Layer.orDie(sqlite)

NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(Layer.mergeAll(store, services))))
