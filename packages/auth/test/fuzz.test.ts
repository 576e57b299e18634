import { OAuth2 } from "@effect-resilience/auth"
import { Effect, Redacted } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import * as fc from "fast-check"
import { bytes, fuzz, jsonText, like, text } from "../../repo-checks/src/Fuzz.ts"

const bodies = fc.oneof(
  jsonText(like(
    { access_token: "abc", token_type: "Bearer", expires_in: 3600, scope: "read write" },
    { error: "invalid_client", error_description: "the secret has expired" }
  )),
  text("access_token=abc", "&", "=", "token_type=bearer", "%", "%ff", "+", "error=x", "__proto__=1")
)

const options = {
  tokenUrl: "https://login.example.com/token",
  credentials: Effect.succeed({ clientId: "a", clientSecret: Redacted.make("b") })
}

fuzz(
  "the response of a token endpoint is a token, or a typed error",
  fc.record({
    status: fc.constantFrom(200, 400, 401, 429, 500),
    type: fc.constantFrom("application/json", "application/x-www-form-urlencoded", "text/html"),
    body: bytes(bodies)
  }),
  ({ body, status, type }) => {
    const endpoint = HttpClient.make((request) =>
      Effect.sync(() =>
        HttpClientResponse.fromWeb(
          request,
          new Response(new Uint8Array(body), { status, headers: { "content-type": type } })
        )
      )
    )
    return Effect.flatMap(OAuth2.clientCredentials(endpoint, options), ({ acquire }) => acquire(undefined))
  }
)
