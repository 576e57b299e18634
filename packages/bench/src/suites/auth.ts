import * as Authenticated from "@effect-resilience/auth/Authenticated"
import * as Origin from "@effect-resilience/auth/Origin"
import * as TokenCache from "@effect-resilience/auth/TokenCache"
import * as TokenSource from "@effect-resilience/auth/TokenSource"
import * as ErrorMapping from "@effect-resilience/http/ErrorMapping"
import * as Cache from "effect/Cache"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { Suite } from "../Suite.ts"
import { effects, effectsAtOnce } from "../Suite.ts"

const request = HttpClientRequest.get("https://api.example.com/tables", { headers: { accept: "application/json" } })
const response = HttpClientResponse.fromWeb(request, new Response("{}"))
const secret = Redacted.make("a token of usual length, 0123456789abcdef")

// Nothing but the pipeline of a client: with a transport, its spans and clean-up, a call takes tens of microseconds.
const bare = HttpClient.makeWith<never, never, never, never>(
  Effect.flatMap(() => Effect.succeed(response)),
  Effect.succeed
)
const typed = ErrorMapping.mapErrors(bare)

const scope = Scope.makeUnsafe()
const newCache = (source: TokenSource.TokenSource) =>
  Effect.runSync(Scope.provide(TokenCache.make(source, { lifetime: "1 day" }), scope))

const cache = newCache(TokenSource.constant(secret))
const tokens = Authenticated.withTokens(cache, {
  origin: Origin.make("https://api.example.com"),
  attach: Authenticated.bearer
})
const byHand = HttpClient.mapRequest(HttpClientRequest.bearerToken(secret))
const called = <E>(client: HttpClient.HttpClient.With<E>) => effects(() => client.execute(request))

const login = Effect.as(Effect.sleep(500), { value: secret })
const source = TokenSource.fromEffect(login, { identity: ["bench"] })
const cold = newCache(source)
const effectCache = Effect.runSync(Cache.make({ capacity: 1, lookup: (_: "token") => login }))

const suite: Suite = {
  name: "auth",
  packages: ["effect"],
  cases: [
    {
      name: "a call with a warm token, over typed errors",
      ours: "withTokens",
      subjects: {
        withTokens: called(tokens(typed)),
        "header by hand": called(byHand(typed)),
        "client without token": called(typed)
      },
      moreAtMost: { "client without token": 400 }
    },
    {
      name: "a call with a warm token, over a client that nothing is known of",
      ours: "withTokens",
      subjects: {
        withTokens: called(tokens(bare)),
        "header by hand": called(byHand(bare)),
        "client without token": called(bare)
      },
      moreAtMost: { "client without token": 400 }
    },
    {
      name: "a warm token",
      ours: "TokenCache.get",
      subjects: {
        "TokenCache.get": effects(() => cache.get),
        "Cache.get": effects(() => Cache.get(effectCache, "token"))
      }
    },
    {
      name: "100,000 callers of one cold cache",
      ours: "TokenCache.get",
      batch: 100_000,
      apart: true,
      subjects: {
        "TokenCache.get": effectsAtOnce(() => cold.get),
        "Cache.get": effectsAtOnce(() => Cache.get(effectCache, "token"))
      }
    }
  ]
}

export default suite
