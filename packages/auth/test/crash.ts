/** Ends with an unhandled failure of an authenticated call: `crash.ts KEY SECRET TOKEN`. */
import { Authenticated, Origin, TokenCache, TokenSource } from "@effect-resilience/auth"
import { ErrorMapping } from "@effect-resilience/http"
import { Effect, Redacted } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"

const [, , key = "", secret = "", token = ""] = process.argv

const program = Effect.gen(function*() {
  const rejecting = HttpClient.make((request) =>
    Effect.succeed(
      HttpClientResponse.fromWeb(request, Response.json({ message: `bad token ${token} of ${key}` }, { status: 401 }))
    )
  )
  const source = TokenSource.login({
    credentials: Effect.succeed({ key: Redacted.make(key), secret: Redacted.make(secret) }),
    identity: ({ key, secret }) => [key, secret],
    login: () => Effect.succeed({ value: Redacted.make(token) })
  })
  const client = Authenticated.withTokens(ErrorMapping.mapErrors(rejecting), yield* TokenCache.make(source), {
    origin: Origin.make("https://api.example.com"),
    attach: Authenticated.header("X-Open-Token")
  })
  yield* client.get("https://api.example.com/tables")
})

void Effect.runPromise(Effect.scoped(program))
