import { OAuth2, TokenCache } from "@effect-resilience/auth"
import { ResilientClient } from "@effect-resilience/client"
import { Operation, ResponseBody } from "@effect-resilience/http"
import { Effect, Option, Redacted, Schema, Stream } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import assert from "node:assert/strict"
import { startGitHub } from "./server.ts"

const Issue = Schema.Struct({ number: Schema.Number })

const makeGitHub = Effect.fnUntraced(function*(url: string) {
  const source = yield* OAuth2.clientCredentials(yield* HttpClient.HttpClient, {
    tokenUrl: `${url}/login/oauth/token`,
    // Read for each login, so a rotated secret works without a restart.
    credentials: Effect.succeed({ clientId: "app", clientSecret: Redacted.make("s3cr3t") })
  })
  return yield* ResilientClient.make({
    name: "github",
    baseUrl: url,
    auth: ResilientClient.tokens(yield* TokenCache.make(source))
  })
})

const nextPage = (link = "") => Option.fromUndefinedOr(/<([^>]+)>;\s*rel="next"/.exec(link)?.[1])

const program = Effect.gen(function*() {
  const github = yield* makeGitHub(server.url)
  const page = Effect.fnUntraced(function*(address: string) {
    const response = yield* github.get(address)
    const issues = yield* ResponseBody.json(response, Schema.Array(Issue))
    return [issues, nextPage(response.headers["link"])] as const
  }, Operation.within({ name: "list issues", endpoint: "/repos/{owner}/{repo}/issues" }))

  return yield* Stream.runCollect(Stream.paginate("/repos/acme/shop/issues", page))
})

const server = await startGitHub()
const issues = await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer)))
server.close()

console.log(server.log.join("\n"))
assert.deepEqual(issues.map(({ number }) => number), [1, 2, 3, 4, 5, 6])
assert.deepEqual(server.log, [
  "POST /login/oauth/token 200",
  "GET /repos/acme/shop/issues 401",
  "POST /login/oauth/token 200",
  "GET /repos/acme/shop/issues 200",
  "GET /repos/acme/shop/issues?page=2 403",
  "GET /repos/acme/shop/issues?page=2 200",
  "GET /repos/acme/shop/issues?page=3 200"
])
