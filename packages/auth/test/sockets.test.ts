import { Authenticated, Grant, OAuth2, Origin, TokenCache, TokenSource } from "@effect-resilience/auth"
import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ErrorMapping } from "@effect-resilience/http"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import type { Layer } from "effect"
import { Duration, Effect, Redacted, Result, Stream } from "effect"
import { FetchHttpClient, HttpBody, HttpClient } from "effect/http"
import { createHash } from "node:crypto"
import type { ServerResponse } from "node:http"

/** Logs in at /login, redirects from /away, and stores the body of every other request that has the current token. */
const service = (elsewhere: () => string) =>
  Effect.gen(function*() {
    const state = { logins: 0, rejections: 0, accepted: 0, stored: [] as Array<{ path: string; sha256: string }> }
    const server = yield* LocalServer.http((request, response) => {
      if (request.url === "/login") {
        state.logins += 1
        state.accepted = state.logins
        response.setHeader("set-cookie", `open-token=secret-token-${state.logins}; Max-Age=3600`)
        setTimeout(() => response.end("{}"), 30)
        return
      }
      if (request.headers["x-open-token"] !== `secret-token-${state.accepted}`) {
        state.rejections += 1
        // Some rejections come early, while the body is still on its way; others when it is there.
        const reject = () => response.writeHead(401, { connection: "close" }).end(`{"message":"who are you?"}`)
        if (state.rejections % 2 === 0) reject()
        else request.resume().once("end", () => setTimeout(reject, (state.rejections * 37) % 200))
        return
      }
      if (request.url === "/away") {
        response.writeHead(307, { location: elsewhere() }).end()
        return
      }
      const hash = createHash("sha256")
      request.on("data", (chunk) => hash.update(chunk))
      request.on("end", () => {
        state.stored.push({ path: request.url ?? "", sha256: hash.digest("hex") })
        response.end("{}")
      })
    })
    return { ...server, state }
  })

const client = (url: string) =>
  Effect.gen(function*() {
    const http = ErrorMapping.mapErrors(yield* HttpClient.HttpClient, {})
    const source = TokenSource.login({
      credentials: Effect.succeed(Redacted.make("s3cr3t-key")),
      identity: (key) => [url, key],
      login: (key) =>
        http.post(`${url}/login`, { body: HttpBody.text(Redacted.value(key)) }).pipe(
          Effect.flatMap(Grant.fromResponse({ cookies: ["open-token"] }))
        )
    })
    const cache = yield* TokenCache.make(source)
    const origin = yield* Effect.fromResult(Origin.parse(url))
    return {
      cache,
      http: Authenticated.withTokens(http, cache, { origin, attach: Authenticated.header("X-Open-Token") })
    }
  })

// 300 kB in pieces, different for every upload.
const pieces = (index: number) => Array.from({ length: 30 }, (_, piece) => new Uint8Array(10_000).fill(index + piece))
const sha256 = (index: number) => {
  const hash = createHash("sha256")
  for (const piece of pieces(index)) hash.update(piece)
  return hash.digest("hex")
}

describe("over real sockets", () => {
  for (
    const [name, layer] of [
      ["undici", NodeHttpClient.layerUndici],
      ["fetch", FetchHttpClient.layer]
    ] as const satisfies ReadonlyArray<readonly [string, Layer.Layer<HttpClient.HttpClient>]>
  ) {
    it.live(
      `uploads 50 streams whose token is revoked with one login, none stored twice (${name})`,
      () =>
        Effect.gen(function*() {
          const { state, url } = yield* service(() => "")
          const { cache, http } = yield* client(url)
          yield* cache.get
          state.accepted = -1 // revoked
          const upload = (index: number) =>
            http.post(`${url}/${index}`, {
              body: HttpBody.stream(Stream.fromIterable(pieces(index)), "application/octet-stream", 300_000)
            })
          const results = yield* Effect.forEach(
            Array.from({ length: 50 }, (_, index) => index),
            (index) => Effect.result(upload(index)),
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual(results.filter(Result.isFailure).map((result) => String(result.failure)), [])
          assert.strictEqual(state.logins, 2)
          assert.deepStrictEqual(
            state.stored.toSorted((a, b) => Number(a.path.slice(1)) - Number(b.path.slice(1))),
            Array.from({ length: 50 }, (_, index) => ({ path: `/${index}`, sha256: sha256(index) }))
          )
        }).pipe(Effect.scoped, Effect.provide(layer))
    )

    it.live(`waits for no login whose response drips or never ends (${name})`, () =>
      Effect.gen(function*() {
        let open = 0
        const slow = (write: (response: ServerResponse) => void) =>
          LocalServer.http((_, response) => {
            open += 1
            response.writeHead(200, { "content-type": "application/json" })
            write(response)
            const dripping = setInterval(() => response.write(" "), 20)
            response.on("close", () => {
              clearInterval(dripping)
              open -= 1
            })
          })
        const http = yield* HttpClient.HttpClient
        for (const begin of ["", "{", `{"access_token":"secret-token-1"`]) {
          const { url } = yield* slow((response) => response.write(begin))
          const source = yield* OAuth2.clientCredentials(http, {
            tokenUrl: `${url}/token`,
            credentials: Effect.succeed({ clientId: "app", clientSecret: Redacted.make("s3cr3t") })
          })
          const cache = yield* TokenCache.make(source, { timeout: "300 millis" })
          const [took, error] = yield* Effect.timed(Effect.flip(cache.get))
          assert.strictEqual(error.reason._tag, "Unavailable")
          assert.isBelow(Duration.toMillis(took), 30_000)
        }
        yield* Effect.eventually(Effect.suspend(() => open === 0 ? Effect.void : Effect.fail("still open")))
      }).pipe(Effect.scoped, Effect.provide(layer)))

    it.live(`follows no redirect with credentials (${name})`, () =>
      Effect.gen(function*() {
        const received: Array<unknown> = []
        const other = yield* LocalServer.http((request, response) => {
          received.push(request.headers)
          response.end("{}")
        })
        const { url } = yield* service(() => `${other.url}/steal`)
        const { http } = yield* client(url)
        const error = yield* Effect.flip(http.post(`${url}/away`, { body: HttpBody.text("rows") }))
        assert.include(error.message, "redirect")
        assert.deepStrictEqual(received, [])
      }).pipe(Effect.scoped, Effect.provide(layer)))
  }
})
