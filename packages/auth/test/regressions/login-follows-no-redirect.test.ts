import { OAuth2 } from "@effect-resilience/auth"
import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import type * as Http from "node:http"

const serve = (listener: Http.RequestListener) => Effect.map(LocalServer.http(listener), ({ url }) => url)

describe("OAuth2.clientCredentials", () => {
  // `fetch` follows redirects, after a 307 with the body, which has the secret.
  it.live("does not send the secret to the target of a redirect, not even over fetch", () =>
    Effect.gen(function*() {
      let caught = 0
      const thief = yield* serve((_, response) => {
        caught += 1
        response.setHeader("content-type", "application/json")
        response.end(`{"access_token":"stolen","token_type":"bearer"}`)
      })
      const server = yield* serve((request, response) => {
        request.resume()
        response.writeHead(307, { location: `${thief}/token` }).end()
      })
      const source = yield* OAuth2.clientCredentials(yield* HttpClient.HttpClient, {
        tokenUrl: `${server}/token`,
        authentication: "form",
        credentials: Effect.succeed({ clientId: "me", clientSecret: Redacted.make("s3cr3t-value") })
      })
      const error = yield* Effect.flip(source.acquire(undefined))
      assert.strictEqual(error.reason._tag, "Unavailable")
      assert.include(error.message, `redirects to ${thief}`)
      assert.strictEqual(caught, 0)
    }).pipe(Effect.provide(FetchHttpClient.layer)))
})
