import { AuthError, Grant, OAuth2, TokenCache, TokenSource } from "@effect-resilience/auth"
import { ErrorMapping, Operation, Scrubber } from "@effect-resilience/http"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Duration, Effect, Fiber, Redacted } from "effect"
import { HttpBody, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { ChildProcess } from "effect/process"
import { TestClock } from "effect/testing"

const respondingWith = (respond: (request: HttpClientRequest.HttpClientRequest) => Response) => {
  const requests: Array<HttpClientRequest.HttpClientRequest> = []
  const client = HttpClient.make((request) =>
    Effect.sync(() => {
      requests.push(request)
      return HttpClientResponse.fromWeb(request, respond(request))
    })
  )
  return { client, requests }
}

const reasonOf = <A>(effect: Effect.Effect<A, AuthError.AuthError>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason._tag)

const valueOf = <E>(effect: Effect.Effect<{ readonly value: Redacted.Redacted }, E>) =>
  Effect.map(effect, (grant) => Redacted.value(grant.value))

const granting = (value: string, identity = value): TokenSource.TokenSource =>
  TokenSource.fromEffect(Effect.succeed({ value: Redacted.make(value) }), { identity: [identity] })

describe("Grant.fromResponse", () => {
  const locations: Grant.TokenLocations = {
    headers: ["X-Open-Token"],
    cookies: ["open-token"],
    expiryHeaders: ["valid-till"]
  }
  const read = (headers: HeadersInit) =>
    Grant.fromResponse(HttpClientResponse.fromWeb(HttpClientRequest.get("/"), new Response("", { headers })), locations)

  it.effect("takes the token from the header, the cookie, or both where they agree", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* valueOf(read({ "x-open-token": "a%2Bb" })), "a%2Bb")
      assert.strictEqual(yield* valueOf(read({ "set-cookie": "open-token=a%2Bb; Path=/" })), "a%2Bb")
      const both = { "x-open-token": "t", "set-cookie": "open-token=t; HttpOnly" }
      assert.strictEqual(yield* valueOf(read(both)), "t")
      assert.strictEqual(yield* valueOf(read({ "x-open-token": "", "set-cookie": "open-token=t" })), "t")
    }))

  it.effect("fails where there is no token, or a different one in two locations, without showing either", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        (yield* Effect.flip(read({}))).message,
        "The login's response has no token (expected header X-Open-Token, cookie open-token)."
      )
      const error = yield* Effect.flip(read({ "x-open-token": "secret-1", "set-cookie": "open-token=secret-2" }))
      assert.strictEqual(error.reason._tag, "AmbiguousToken")
      assert.strictEqual(
        error.message,
        "The login's response has different tokens in header X-Open-Token, cookie open-token."
      )
    }))

  it.effect("takes no cookie that is for another host", () =>
    Effect.gen(function*() {
      const from = (url: string, domain: string) =>
        Grant.fromResponse(
          HttpClientResponse.fromWeb(
            HttpClientRequest.post(url),
            new Response("", { headers: { "set-cookie": `open-token=t; Domain=${domain}; Secure` } })
          ),
          locations
        )
      for (const domain of ["login.example.com", ".Example.com", "example.com"]) {
        assert.strictEqual(yield* valueOf(from("https://login.example.com/session", domain)), "t", domain)
      }
      for (const domain of ["evil.example", "n.example.com", "api.login.example.com", "0.0.1"]) {
        assert.strictEqual(yield* reasonOf(from("https://login.example.com/session", domain)), "NoToken", domain)
      }
      assert.strictEqual(yield* reasonOf(from("http://127.0.0.1/session", "0.0.1")), "NoToken")
      assert.strictEqual(yield* valueOf(from("http://127.0.0.1/session", "127.0.0.1")), "t")
      // A relative URL has no host to compare with.
      assert.strictEqual(yield* valueOf(from("/session", "example.com")), "t")
    }))

  it.effect("takes no cookie that the server removes", () =>
    Effect.gen(function*() {
      const date = "Thu, 01 Jan 2026 12:00:00 GMT"
      const past = "open-token=deleted; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
      assert.strictEqual(yield* reasonOf(read({ "set-cookie": "open-token=deleted; Max-Age=0" })), "NoToken")
      assert.strictEqual(yield* reasonOf(read({ date, "set-cookie": past })), "NoToken")
      // Without the server's clock nothing says which clock is wrong.
      assert.strictEqual(yield* valueOf(read({ "set-cookie": past })), "deleted")
      assert.strictEqual(yield* valueOf(read({ "x-open-token": "t", "set-cookie": "open-token=; Max-Age=0" })), "t")
    }))

  it.effect("reads the expiry by our clock: header first, then cookie, then nothing", () =>
    Effect.gen(function*() {
      const server = Date.UTC(2026, 0, 1, 12)
      const date = new Date(server).toUTCString()
      yield* TestClock.setTime(server - 3_600_000)
      const cookie = "open-token=t; Expires=Thu, 01 Jan 2026 14:00:00 GMT"
      const header = { "x-open-token": "t", date, "valid-till": String((server + 1_800_000) / 1_000) }
      const expiry = (headers: HeadersInit) => Effect.map(read(headers), (grant) => grant.expiresAt)
      assert.strictEqual(yield* expiry({ ...header, "set-cookie": cookie }), server - 1_800_000)
      assert.strictEqual(yield* expiry({ date, "set-cookie": cookie }), server + 3_600_000)
      assert.strictEqual(yield* expiry({ date, "set-cookie": "open-token=t; Max-Age=60" }), server - 3_540_000)
      assert.strictEqual(yield* expiry({ "x-open-token": "t", "valid-till": "soon" }), undefined)
    }))
})

describe("TokenSource.login", () => {
  const source = (status: number, credentials = Effect.succeed("s3cr3t-key")) => {
    const { client, requests } = respondingWith(() =>
      Response.json({ message: "no, not with s3cr3t-key" }, { status, headers: { "x-token": "t" } })
    )
    const mapped = ErrorMapping.mapErrors(client)
    return {
      requests,
      source: TokenSource.login({
        credentials,
        identity: (key) => ["https://login.example.com", Redacted.make(key)],
        login: (key) =>
          mapped.post("https://login.example.com/", { body: HttpBody.text(key) }).pipe(
            Effect.tap(
              Effect.flatMap(Operation.Current, (operation) => Effect.sync(() => operations.push(operation)))
            ),
            Effect.flatMap(Grant.fromResponse({ headers: ["x-token"] }))
          )
      })
    }
  }
  const operations: Array<Operation.Operation | undefined> = []

  for (
    const [status, reason] of [
      [400, "Rejected"],
      [401, "Rejected"],
      [403, "Rejected"],
      [404, "Unavailable"],
      [429, "Unavailable"],
      [500, "Unavailable"],
      [503, "Unavailable"]
    ] as const
  ) {
    it.effect(`takes ${status} for ${reason}, and repeats no secret that the server echoes`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(source(status).source.acquire(undefined)).pipe(
          Effect.provideService(Scrubber.Current, Scrubber.make())
        )
        assert.strictEqual(error.reason._tag, reason)
        assert.include(error.message, "not with <redacted>")
        assert.notInclude(JSON.stringify(error), "s3cr3t")
      }))
  }

  it.effect("is an operation of its own, and reads the credentials each time", () =>
    Effect.gen(function*() {
      let key = "key-1"
      const { requests, source: rotating } = source(200, Effect.sync(() => key))
      yield* rotating.acquire(undefined)
      key = "key-2"
      yield* rotating.acquire(undefined)
      const bodies = requests.map(({ body }) => body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : "")
      assert.deepStrictEqual(bodies, ["key-1", "key-2"])
      const logIn = { name: "log in", endpoint: "{login}", idempotent: true }
      assert.deepStrictEqual(operations, [logIn, logIn])
    }))
})

describe("TokenSource.fromConfig", () => {
  const source = TokenSource.fromConfig(Config.Redacted("API_TOKEN"))
  const withEnv = (env: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromEnv({ env }))

  it.effect("reads the environment, and names the variable that is missing", () =>
    Effect.gen(function*() {
      const acquired = source.acquire(undefined)
      assert.strictEqual(yield* Effect.provide(valueOf(acquired), withEnv({ API_TOKEN: "t" })), "t")
      const error = yield* Effect.flip(Effect.provide(acquired, withEnv({})))
      assert.strictEqual(error.reason._tag, "NotConfigured")
      assert.include(error.message, "API_TOKEN")
    }))

  it.effect("does not offer a rejected token again, until there is another", () =>
    Effect.gen(function*() {
      const again = source.acquire(Redacted.make("t"))
      const error = yield* Effect.flip(Effect.provide(again, withEnv({ API_TOKEN: "t" })))
      assert.strictEqual(error.reason._tag, "StillUnauthorized")
      assert.include(error.message, "the configured token was rejected, and there is no other")
      assert.strictEqual(yield* Effect.provide(valueOf(again), withEnv({ API_TOKEN: "u" })), "u")
    }))

  it.effect("tries the same token for the next call, since a rejection may pass", () =>
    Effect.gen(function*() {
      const cache = yield* TokenCache.make(TokenSource.constant(Redacted.make("t")))
      const token = yield* cache.get
      assert.strictEqual(token.expiresAt, Number.POSITIVE_INFINITY)
      yield* cache.invalidate(token)
      assert.strictEqual(yield* reasonOf(cache.get), "StillUnauthorized")
      assert.strictEqual((yield* cache.get).generation, 2)
    }))
})

describe("TokenSource.command", () => {
  const command = (script: string) =>
    Effect.flatMap(
      TokenSource.command(ChildProcess.make(process.execPath, ["-e", script]), { identity: ["command"] }),
      (source) => source.acquire(undefined)
    ).pipe(Effect.provide(NodeServices.layer))

  it.live("takes what the command prints", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* valueOf(command(`console.error("hello"); console.log(" t-1 ")`)), "t-1")
    }))

  it.live("distinguishes a command that prints nothing from one that fails", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* reasonOf(command("")), "NoToken")
      const failed = yield* Effect.flip(command(`console.log("s3cr3t"); process.exit(3)`))
      assert.strictEqual(failed.message, "Could not log in: the command ended with status 3.")
      const missing = TokenSource.command(ChildProcess.make("/no/such/command", []), { identity: [] }).pipe(
        Effect.flatMap((source) => source.acquire(undefined)),
        Effect.provide(NodeServices.layer)
      )
      assert.strictEqual(yield* reasonOf(missing), "NotConfigured")
    }))

  it.live("stops a command that does not stop printing", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(command(`setInterval(() => process.stdout.write("t".repeat(100_000)), 1)`))
      assert.strictEqual(error.message, "Could not log in: the command printed more than 1048576 bytes.")
    }))

  it.effect("finds no token where its reader throws, and repeats none of the output", () =>
    Effect.gen(function*() {
      const source = yield* TokenSource.command(ChildProcess.make(process.execPath, ["-e", `console.log("s3cr3t")`]), {
        identity: [],
        read: (text) => JSON.parse(text)
      }).pipe(Effect.provide(NodeServices.layer))
      const exit = yield* Effect.exit(source.acquire(undefined))
      assert.notInclude(JSON.stringify(exit), "s3cr3t")
      assert.strictEqual(yield* reasonOf(source.acquire(undefined)), "NoToken")
    }))
})

describe("TokenSource.chain", () => {
  const failing = (reason: AuthError.Reason, identity: () => string = () => "failing") => {
    const record = { asked: 0 }
    const source: TokenSource.TokenSource = {
      identity: Effect.sync(() => [identity()]),
      acquire: () =>
        Effect.suspend(() => {
          record.asked += 1
          return Effect.fail(new AuthError.AuthError({ reason }))
        })
    }
    return { record, source }
  }
  const rejected = new AuthError.Rejected({})

  it.effect("asks the next where credentials are rejected, and the rejected one no more until they change", () =>
    Effect.gen(function*() {
      let key = "old"
      const old = failing(rejected, () => key)
      const source = TokenSource.chain([old.source, granting("new")])
      assert.strictEqual(yield* valueOf(source.acquire(undefined)), "new")
      assert.strictEqual(yield* valueOf(source.acquire(undefined)), "new")
      assert.strictEqual(old.record.asked, 1)
      const before = yield* source.identity
      key = "newer"
      assert.notDeepEqual(yield* source.identity, before)
    }))

  it.effect("stays with the source that worked", () =>
    Effect.gen(function*() {
      const missing = failing(new AuthError.NotConfigured({ detail: "no key" }))
      const source = TokenSource.chain([missing.source, granting("b")])
      yield* source.acquire(undefined)
      yield* source.acquire(undefined)
      assert.strictEqual(missing.record.asked, 1)
    }))

  it.effect("does not pass an outage on to the next source", () =>
    Effect.gen(function*() {
      const down = failing(new AuthError.Unavailable({ detail: "503", recovery: { _tag: "GiveUp" } }))
      const source = TokenSource.chain([down.source, granting("b")])
      assert.strictEqual(yield* reasonOf(source.acquire(undefined)), "Unavailable")
    }))

  it.effect("moves on from a constant token that was rejected", () =>
    Effect.gen(function*() {
      const source = TokenSource.chain([
        TokenSource.constant(Redacted.make("a")),
        TokenSource.constant(Redacted.make("b"))
      ])
      const first = yield* source.acquire(undefined)
      assert.strictEqual(yield* valueOf(source.acquire(first.value)), "b")
    }))

  it.effect("fails with the last rejection where all reject", () =>
    Effect.gen(function*() {
      const source = TokenSource.chain([failing(rejected).source, failing(rejected, () => "b").source])
      assert.strictEqual(yield* reasonOf(source.acquire(undefined)), "Rejected")
    }))
})

describe("OAuth2.clientCredentials", () => {
  const credentials = Effect.succeed({ clientId: "my app", clientSecret: Redacted.make("s:3/cr%t") })
  const tokenUrl = "https://login.example.com/token"
  const formOf = (request: HttpClientRequest.HttpClientRequest | undefined) =>
    Object.fromEntries(
      new URLSearchParams(request?.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : "")
    )

  it.effect("authenticates with the header, both halves form-encoded", () =>
    Effect.gen(function*() {
      const { client, requests } = respondingWith(() =>
        Response.json({ access_token: "t", token_type: "bearer", expires_in: 600, scope: "a b" })
      )
      yield* TestClock.setTime(1_000)
      const source = yield* OAuth2.clientCredentials(client, {
        tokenUrl,
        credentials,
        scope: "a b",
        parameters: { audience: "tables" }
      })
      const grant = yield* source.acquire(undefined)
      assert.strictEqual(Redacted.value(grant.value), "t")
      assert.strictEqual(grant.expiresAt, 601_000)
      assert.deepStrictEqual(grant.attributes, { scope: "a b" })
      const [request] = requests
      assert.strictEqual(request?.headers["authorization"], `Basic ${btoa("my+app:s%3A3%2Fcr%25t")}`)
      assert.deepStrictEqual(formOf(request), {
        audience: "tables",
        grant_type: "client_credentials",
        scope: "a b"
      })
    }))

  it.effect("authenticates in the form where asked to, and reads a lifetime that is text", () =>
    Effect.gen(function*() {
      const { client, requests } = respondingWith(() =>
        Response.json({ access_token: "t", token_type: "Bearer", expires_in: "600" })
      )
      const source = yield* OAuth2.clientCredentials(client, { tokenUrl, credentials, authentication: "form" })
      assert.strictEqual((yield* source.acquire(undefined)).expiresAt, 600_000)
      assert.strictEqual(requests[0]?.headers["authorization"], undefined)
      assert.deepStrictEqual(formOf(requests[0]), {
        grant_type: "client_credentials",
        client_id: "my app",
        client_secret: "s:3/cr%t"
      })
    }))

  for (
    const [name, response, reason] of [
      ["invalid_client", () => Response.json({ error: "invalid_client" }, { status: 401 }), "Rejected"],
      ["invalid_scope", () => Response.json({ error: "invalid_scope" }, { status: 400 }), "Rejected"],
      ["an outage", () => new Response("", { status: 503 }), "Unavailable"],
      ["another token type", () => Response.json({ access_token: "t", token_type: "mac" }), "Unavailable"],
      ["an empty token", () => Response.json({ access_token: "", token_type: "Bearer" }), "Unavailable"],
      ["a login page", () => new Response("<html>", { headers: { "content-type": "text/html" } }), "Unavailable"]
    ] as const
  ) {
    it.effect(`takes ${name} for ${reason}`, () =>
      Effect.gen(function*() {
        const source = yield* OAuth2.clientCredentials(respondingWith(response).client, { tokenUrl, credentials })
        assert.strictEqual(yield* reasonOf(source.acquire(undefined)), reason)
      }))
  }

  it.effect("rejects a token endpoint that must not get credentials", () =>
    Effect.gen(function*() {
      const { client } = respondingWith(() => new Response())
      const error = yield* Effect.flip(
        OAuth2.clientCredentials(client, { tokenUrl: "http://login.example.com/token", credentials })
      )
      assert.strictEqual(error._tag, "OriginError")
    }))

  it.effect("retries an outage as an idempotent operation", () =>
    Effect.gen(function*() {
      let calls = 0
      const { client } = respondingWith(() =>
        ++calls < 3 ? new Response("", { status: 500 }) : Response.json({ access_token: "t", token_type: "Bearer" })
      )
      const cache = yield* TokenCache.make(yield* OAuth2.clientCredentials(client, { tokenUrl, credentials }))
      const call = yield* Effect.forkChild(cache.get)
      for (let step = 0; step < 20; step++) {
        yield* Effect.promise(() => new Promise((done) => setImmediate(done)))
        yield* TestClock.adjust(Duration.seconds(1))
      }
      assert.strictEqual((yield* Fiber.join(call)).generation, 1)
      assert.strictEqual(calls, 3)
    }))
})
