/**
 * A process that shares its tokens: `worker.ts STORE LOGIN_URL`, where STORE is a SQLite file, a redis:// or a postgres:// address. It reads
 * `get` and `invalidate` from standard input, line by line, and replies to each with one line of JSON.
 */
import { Grant, SharedTokens, type Token, TokenCache, TokenSource } from "@effect-resilience/auth"
import { ErrorMapping } from "@effect-resilience/http"
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Logger, Redacted, Stream } from "effect"
import { HttpClient } from "effect/http"
import { createInterface } from "node:readline"
import { storeAt } from "./stores.ts"

const [address = "", loginUrl = ""] = process.argv.slice(2)

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
  const reply = (line: string) =>
    Effect.gen(function*() {
      if (line === "invalidate" && token !== undefined) return { invalidated: yield* cache.invalidate(token) }
      token = yield* cache.get
      return { token: Redacted.value(token.value), shared: token.shared }
    })
  console.log(JSON.stringify({ ready: process.pid }))
  yield* Stream.runForEach(
    Stream.fromAsyncIterable(createInterface({ input: process.stdin }), String),
    (line) => Effect.map(reply(line), (result) => console.log(JSON.stringify(result)))
  )
})

// Standard output is for the replies alone, so logs go to standard error.
const services = Layer.mergeAll(storeAt(address), NodeHttpClient.layerUndici).pipe(
  Layer.provideMerge(Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)]))
)

NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(services)))
