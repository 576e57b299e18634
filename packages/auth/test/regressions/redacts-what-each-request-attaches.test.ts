import { Authenticated, Origin, TokenCache, TokenSource } from "@effect-resilience/auth"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Headers, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"

describe("Authenticated.withTokens", () => {
  // The names were those of the first request with a token.
  it.effect("redacts the token's header also where another request with the token used another header", () =>
    Effect.gen(function*() {
      const redacted: Array<ReadonlyArray<string | RegExp>> = []
      const api = HttpClient.make((request) =>
        Effect.map(Headers.CurrentRedactedNames, (names) => {
          redacted.push(names)
          return HttpClientResponse.fromWeb(request, new Response())
        })
      )
      const cache = yield* TokenCache.make(TokenSource.constant(Redacted.make("token-1")))
      const client = Authenticated.withTokens(api, cache, {
        origin: Origin.make("https://api.example.com"),
        attach: (request, token) =>
          HttpClientRequest.setHeader(
            request,
            request.url.endsWith("/v2") ? "x-token-v2" : "x-token-v1",
            Redacted.value(token.value)
          )
      })
      yield* client.get("https://api.example.com/v1")
      yield* client.get("https://api.example.com/v2")
      assert.include(redacted[0] ?? [], "x-token-v1")
      assert.include(redacted[1] ?? [], "x-token-v2")
    }))

  for (
    const [attach, rules, added] of [
      [Authenticated.bearer, ["Authorization"], []],
      [Authenticated.bearer, ["cookie", /^auth/], []],
      [Authenticated.header("X-Token"), ["authorization", /^y-/], ["x-token"]],
      [Authenticated.cookie("t"), [], ["cookie"]]
    ] as const
  ) {
    it.effect(`adds [${added}] to the redacted names [${rules}]`, () =>
      Effect.gen(function*() {
        const cache = yield* TokenCache.make(TokenSource.constant(Redacted.make("token-1")))
        let redacted: ReadonlyArray<string | RegExp> = []
        const api = HttpClient.make((request) =>
          Effect.map(Headers.CurrentRedactedNames, (names) => {
            redacted = names
            return HttpClientResponse.fromWeb(request, new Response())
          })
        )
        const client = Authenticated.withTokens(api, cache, { origin: Origin.make("https://api.example.com"), attach })
        yield* Effect.provideService(client.get("https://api.example.com/"), Headers.CurrentRedactedNames, rules)
        assert.deepStrictEqual(redacted, [...rules, ...added])
      }))
  }
})
