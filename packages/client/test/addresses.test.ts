import type { AuthError } from "@effect-resilience/auth"
import { SpanRecorder } from "@effect-resilience/chaos"
import { Parts, ResilientClient } from "@effect-resilience/client"
import { AccessLog, Operation } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"

interface Sent {
  readonly url: string
  readonly headers: { readonly [name: string]: string | undefined }
}

const listening = (respond: (url: URL) => Response = () => new Response("{}")) => {
  const sent: Array<Sent> = []
  const client = HttpClient.make((request, url) =>
    Effect.sync(() => {
      sent.push({ url: url.href, headers: request.headers })
      return HttpClientResponse.fromWeb(request, respond(url))
    })
  )
  return { sent, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

// Does not look at the origin: the client must.
const secret = "s3cret-t0ken"
const careless: ResilientClient.Authenticate = (client) =>
  HttpClient.mapRequestEffect(
    client,
    (request): Effect.Effect<HttpClientRequest.HttpClientRequest, AuthError.AuthError> =>
      Effect.succeed(HttpClientRequest.bearerToken(request, secret))
  )

const base = "https://ledger.example.com/v1"

const ledger = { name: "ledger", baseUrl: base, auth: careless, pipeline: {} } satisfies ResilientClient.Description

describe("addresses of a client", () => {
  const below: ReadonlyArray<readonly [string, string]> = [
    ["", base],
    ["/", `${base}/`],
    ["accounts", `${base}/accounts`],
    ["/accounts/17?x=..&y=/../z", `${base}/accounts/17?x=..&y=/../z`],
    ["?page=2", `${base}?page=2`],
    ["/files/a..b/.hidden/c.", `${base}/files/a..b/.hidden/c.`],
    ["@evil.test/x", `${base}/@evil.test/x`],
    [".evil.test/x", `${base}/.evil.test/x`],
    ["/\t/evil.test/x", `${base}//evil.test/x`],
    ["\thttps://evil.test/x", `${base}/https://evil.test/x`],
    [" //evil.test/x", `${base}/%20//evil.test/x`],
    [`${base}/accounts`, `${base}/accounts`],
    ["HTTPS://LEDGER.example.com:443/v1/accounts", `${base}/accounts`],
    ["https://ledger.example.com/v2", "https://ledger.example.com/v2"]
  ]
  for (const [written, expected] of below) {
    it.effect(`${JSON.stringify(written)} goes to the base URL with credentials`, () =>
      Effect.gen(function*() {
        const { layer, sent } = listening()
        const client = yield* Effect.provide(ResilientClient.make(ledger), layer)
        yield* client.get(written)
        assert.deepStrictEqual(sent.map(({ headers, url }) => [url, headers["authorization"]]), [
          [expected, `Bearer ${secret}`]
        ])
      }))
  }

  const rejected = [
    "https://evil.test/x",
    "http://ledger.example.com/v1/accounts",
    "https://ledger.example.com:8443/v1/accounts",
    "https://ledger.example.com.evil.test/v1",
    "https://ledger.example.com@evil.test/v1",
    "https://user:pass@ledger.example.com/v1",
    "https:evil.test",
    "https:\\\\evil.test",
    "//evil.test/x",
    "\\\\evil.test/x",
    "/\\evil.test/x",
    "https://lеdger.example.com/v1",
    "h\nttps://evil.test/\n/..",
    "blob:https://ledger.example.com/6a4b",
    "javascript:alert(1)",
    "data:text/plain,x",
    "file:///etc/passwd",
    "https://[",
    // As names of things: `/tables/${encodeURIComponent("..")}/rows`.
    "/tables/../rows",
    "/tables/..",
    "..",
    "../admin",
    "/tables/%2e%2E/rows",
    "/tables/.%2e/rows",
    "/tables/./rows",
    "/tables/%2e",
    "/tables\\..\\rows",
    "/tables/.\t./rows",
    "/tables/..\n",
    "/tables/.. ",
    `${base}/../admin`
  ]
  for (const written of rejected) {
    it.effect(`${JSON.stringify(written)} is not sent, nor told`, () =>
      Effect.gen(function*() {
        const { layer, sent } = listening()
        const client = yield* Effect.provide(ResilientClient.make(ledger), layer)
        const error = yield* Effect.flip(client.get(`${written}#s3cret`))
        assert.strictEqual(error._tag, "ForeignUrl")
        assert.notInclude(JSON.stringify([error, error.message, String(error)]), "s3cret")
        assert.deepStrictEqual(sent, [])
      }))
  }

  for (
    const [url, told] of [
      ["/tables/../s3cret", "a path with segments of dots"],
      ["https://evil.example.com/s3cret", "https://evil.example.com"],
      ["s3cret:x", "another address"],
      ["https://", "another address"]
    ] as const
  ) {
    it.effect(`${JSON.stringify(url)} is told as ${told}`, () =>
      Effect.gen(function*() {
        const { layer } = listening()
        const client = yield* Effect.provide(ResilientClient.make(ledger), layer)
        const { message } = yield* Effect.flip(client.get(url))
        const advice = told.endsWith("dots") ? "Write it without them." : "Use a path below its base URL"
        assert.include(message, ` only, not to ${told}. ${advice}`)
      }))
  }

  it.effect("what is not sent leaves a line and a span, without its address", () =>
    Effect.gen(function*() {
      const { record, spans } = SpanRecorder.make()
      const { layer } = listening()
      const client = yield* Effect.provide(ResilientClient.make(ledger), layer)
      yield* Effect.flip(client.get("https://evil.example.com/s3cret")).pipe(
        Operation.within({ name: "read table", endpoint: "/tables/{table}" }),
        record
      )
      yield* Effect.flip(client.get("../s3cret"))
      const { entries } = yield* AccessLog.Memory
      const told = yield* entries
      assert.deepStrictEqual(
        told.map(({ attempt, error, kind, operation, outcome }) => [kind, attempt, operation, outcome, error?.reason]),
        [["call", 0, "read table", "failure", "ForeignUrl"], ["call", 0, undefined, "failure", "ForeignUrl"]]
      )
      assert.deepStrictEqual(spans.map((span) => span.attributes.get("error.type")), ["ForeignUrl"])
      assert.notInclude(JSON.stringify([told, spans.map((span) => [span.name, ...span.attributes])]), "s3cret")
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("an origin that begins like a base URL is another one: no credentials, and its own host", () =>
    Effect.gen(function*() {
      const { layer, sent } = listening()
      const client = yield* Effect.provide(
        ResilientClient.make({
          name: "ledger",
          baseUrl: ["https://a.com", "https://b.com"],
          origins: ["https://a.company.com"],
          auth: careless,
          pipeline: {}
        }, { parts: Parts }),
        layer
      )
      for (let n = 0; n < 8; n++) yield* client.get("https://a.company.com/x")
      assert.deepStrictEqual(new Set(sent.map(({ url }) => url)), new Set(["https://a.company.com/x"]))
      assert.isTrue(sent.every(({ headers }) => headers["authorization"] === undefined))
    }))

  it.effect("every base URL gets credentials, also where an absolute URL names it", () =>
    Effect.gen(function*() {
      const { layer, sent } = listening()
      const baseUrl = ["https://a.example/v1", "https://b.example/v1"]
      const client = yield* Effect.provide(
        ResilientClient.make({ name: "ledger", baseUrl, auth: careless, pipeline: {} }, { parts: Parts }),
        layer
      )
      for (let n = 0; n < 8; n++) yield* client.get("/x")
      yield* client.get("https://b.example/v1/next?page=2")
      assert.deepStrictEqual(
        new Set(sent.map(({ url }) => url)),
        new Set(["https://a.example/v1/x", "https://b.example/v1/x", "https://b.example/v1/next?page=2"])
      )
      assert.isTrue(sent.every(({ headers }) => headers["authorization"] === `Bearer ${secret}`))
    }))

  it.effect("plain http within a cluster works without auth, and is rejected with it when the client is made", () =>
    Effect.gen(function*() {
      const { layer, sent } = listening()
      const plain = { name: "ledger", baseUrl: "http://ledger:8080", pipeline: {} }
      const client = yield* Effect.provide(ResilientClient.make(plain), layer)
      yield* client.get("/x")
      assert.deepStrictEqual(sent.map(({ url }) => url), ["http://ledger:8080/x"])
      assert.throws(() => ResilientClient.make({ ...plain, auth: careless }), /ResilientClient\.baseUrl must be https/)
      assert.throws(
        () => ResilientClient.make({ ...ledger, baseUrl: [base, "http://ledger:8080"] }, { parts: Parts }),
        /ResilientClient\.baseUrl/
      )
      ResilientClient.make({ ...ledger, baseUrl: "http://127.0.0.1:8080" })
    }))

  for (
    const origin of [
      "https://files.example.com/",
      "files.example.com",
      "https://*.example.com/x",
      "null",
      "HTTPS://A.B"
    ]
  ) {
    it(`${origin} is no origin, and would never match`, () => {
      assert.throws(() => ResilientClient.make({ ...ledger, origins: origin }), /ResilientClient\.origins must be/)
      assert.throws(
        () => ResilientClient.make({ ...ledger, redirects: { origins: [origin] } }),
        /ResilientClient\.redirects\.origins must be/
      )
    })
  }

  it.effect("another origin gets neither credentials nor what the caller put on, when a redirect leads there", () =>
    Effect.gen(function*() {
      const { layer, sent } = listening((url) =>
        url.host === "ledger.example.com"
          ? new Response(null, { status: 307, headers: { location: `https://${url.pathname.slice(4)}/x?y#z` } })
          : new Response("{}")
      )
      const client = yield* Effect.provide(
        ResilientClient.make({ ...ledger, redirects: { origins: ["https://files.example.com"] } }),
        layer
      )
      const headers = { host: "ledger.example.com", tracestate: "a=b", b3: "1-2-1", cookie: "id=s3cret", accept: "x/y" }
      yield* Effect.withSpan(client.get("/files.example.com", { headers }), "test")
      assert.deepStrictEqual(sent.map(({ url }) => url), [`${base}/files.example.com`, "https://files.example.com/x?y"])
      assert.deepStrictEqual(Object.keys(sent[1]?.headers ?? {}).sort(), ["accept", "traceparent"])
      const error = yield* Effect.flip(client.get("/evil.test", { headers }))
      assert.strictEqual(error._tag, "ApiError")
      assert.deepStrictEqual(sent.length, 3)
    }))

  it.effect("origins that are named get the deadline and the trace, as said, and no credentials", () =>
    Effect.gen(function*() {
      const { layer, sent } = listening()
      const described = { ...ledger, origins: "https://files.example.com" }
      const client = yield* Effect.provide(ResilientClient.make(described), layer)
      yield* Effect.withSpan(client.get("https://files.example.com/x"), "outer")
      yield* client.reload({ ...described, propagation: { deadline: false, trace: false } })
      yield* Effect.withSpan(client.get("https://files.example.com/x"), "outer")
      assert.deepStrictEqual(sent.map(({ headers }) => Object.keys(headers).sort().length), [3, 0])
      assert.isTrue(sent.every(({ headers }) => headers["authorization"] === undefined))
    }))

  it.effect("a call keeps the address and the credentials that it began with, though the client is reloaded meanwhile", () =>
    Effect.gen(function*() {
      let reload = Effect.void
      const { layer, sent } = listening((url) => {
        if (url.host === "old.example" && sent.length === 1) {
          Effect.runSync(reload)
          return new Response(null, { status: 503 })
        }
        return new Response("{}")
      })
      const client = yield* Effect.provide(
        ResilientClient.make({
          name: "ledger",
          baseUrl: "https://old.example",
          auth: careless,
          pipeline: { retry: { times: 1, backoff: { base: 0 } } }
        }),
        layer
      )
      reload = client.reload({ name: "ledger", baseUrl: "https://new.example", pipeline: {} })
      const result = yield* Effect.result(client.get("/x"))
      assert.isTrue(Result.isSuccess(result))
      yield* client.get("/x")
      assert.deepStrictEqual(sent.map(({ headers, url }) => [url, headers["authorization"]]), [
        ["https://old.example/x", `Bearer ${secret}`],
        ["https://old.example/x", `Bearer ${secret}`],
        ["https://new.example/x", undefined]
      ])
    }))
})
