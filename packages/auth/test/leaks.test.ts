import { Authenticated, AuthError, Grant, OAuth2, Origin, TokenCache, TokenSource } from "@effect-resilience/auth"
import { SpanRecorder } from "@effect-resilience/chaos"
import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ErrorMapping, Scrubber } from "@effect-resilience/http"
import { RetryPolicy } from "@effect-resilience/retry"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Logger, Redacted, References } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { spawnSync } from "node:child_process"
import type { ServerResponse } from "node:http"
import { fileURLToPath } from "node:url"
import { inspect } from "node:util"

const key = "PLANTED-KEY/+\"1"
const secret = "PLANTED-SECRET/+\"2"
const token = "PLANTED-TOKEN/+=3"
const planted = [key, secret, token]

/** Every spelling of a planted value. */
const spellings = planted.flatMap((value) => [
  value,
  encodeURIComponent(value),
  encodeURIComponent(value).toLowerCase(),
  new URLSearchParams([["", value]]).toString().slice(1),
  JSON.stringify(value).slice(1, -1),
  Buffer.from(value).toString("hex"),
  ...[0, 1, 2].map((offset) => Buffer.from("x".repeat(offset) + value).toString("base64").slice(offset + 1, -4)),
  ...[0, 1, 2].map((offset) => Buffer.from("x".repeat(offset) + value).toString("base64url").slice(offset + 1, -4))
])

const assertClean = (text: string, where: string) => {
  for (const spelling of spellings) {
    assert.isFalse(text.includes(spelling), `${spelling} in ${where}: ${text.slice(0, 400)}`)
  }
}

const everythingOf = (error: unknown): string =>
  [
    String(error),
    inspect(error, { depth: 20, showHidden: true }),
    inspect(error, { depth: 20, showHidden: true, customInspect: false }),
    JSON.stringify(error),
    error instanceof Error ? `${error.message} ${error.stack}` : "",
    Cause.pretty(Cause.fail(error))
  ].join("\n")

type Login = (response: ServerResponse) => void
const echo = (status: number): Login => (response) =>
  response.writeHead(status, { "x-request-id": `for ${secret}` }).end(
    JSON.stringify({ message: `${key} and ${secret}: no. ${btoa(secret)} ${encodeURIComponent(key)}` })
  )

const logins: Record<string, Login> = {
  "is rejected, echoing": echo(401),
  "is down, echoing": echo(503),
  "is forbidden, echoing": echo(403),
  "responds with a page": (response) =>
    response.writeHead(200, { "content-type": "text/html" }).end(`<html>${secret}</html>`),
  "gives two tokens": (response) =>
    response.writeHead(200, { "x-open-token": token, "set-cookie": `open-token=${encodeURIComponent(token)}other` })
      .end(),
  "cuts the connection": (response) => response.socket?.destroy(),
  "gives a token that the API rejects": (response) => response.writeHead(200, { "x-open-token": token }).end("{}")
}

const serve = (login: Login) =>
  LocalServer.http((request, response) => {
    request.resume().on("end", () => {
      if (request.url === "/login") return login(response)
      response.writeHead(401).end(JSON.stringify({ message: `bad token ${request.headers["x-open-token"]}` }))
    })
  })

describe("secrecy", () => {
  for (const [name, login] of Object.entries(logins)) {
    it.live(`shows nothing at the most verbose level when the login ${name}`, () => {
      const written: Array<string> = []
      const logger = Logger.make((options) => {
        written.push(inspect(options.message, { depth: 20, customInspect: false }), Cause.pretty(options.cause))
      })
      const { ended, record } = SpanRecorder.make()
      return Effect.gen(function*() {
        const { url } = yield* serve(login)
        const http = ErrorMapping.mapErrors(yield* HttpClient.HttpClient, {})
        const source = TokenSource.login({
          credentials: Effect.succeed({ key: Redacted.make(key), secret: Redacted.make(secret) }),
          identity: ({ key, secret }) => [url, key, secret],
          login: ({ key, secret }) =>
            HttpClientRequest.post(`${url}/login`).pipe(
              HttpClientRequest.bodyJsonUnsafe({ key: Redacted.value(key), secret: Redacted.value(secret) }),
              http.execute,
              Effect.flatMap(Grant.fromResponse({ headers: ["x-open-token"], cookies: ["open-token"] }))
            )
        })
        const oauth = yield* OAuth2.clientCredentials(yield* HttpClient.HttpClient, {
          tokenUrl: `${url}/login`,
          credentials: Effect.succeed({ clientId: "app", clientSecret: Redacted.make(secret) })
        })
        for (const each of [source, oauth]) {
          const cache = yield* TokenCache.make(each, { retry: RetryPolicy.noop })
          const client = Authenticated.withTokens(http, cache, {
            origin: Origin.make(url),
            attach: Authenticated.header("X-Open-Token")
          })
          const error = yield* Effect.flip(client.get(`${url}/tables`)).pipe(
            Effect.tapError((error) => Effect.logTrace("unexpected", error)),
            Effect.tap((error) => Effect.logTrace("failed", error)),
            Effect.withSpan("call")
          )
          assert.instanceOf(error, AuthError.AuthError)
          written.push(
            everythingOf(error),
            everythingOf(cache),
            JSON.stringify(yield* cache.status),
            everythingOf(each)
          )
        }
        for (const { attributes, events, status } of ended) {
          written.push(inspect([...attributes], { depth: 20 }), inspect(events, { depth: 20 }))
          if (status._tag === "Ended" && Exit.isFailure(status.exit)) written.push(Cause.pretty(status.exit.cause))
        }
        assert.isAbove(written.length, 8)
        for (const text of written) assertClean(text, name)
      }).pipe(
        Effect.scoped,
        record,
        Effect.provideService(References.MinimumLogLevel, "All"),
        Effect.provideService(Scrubber.Current, Scrubber.make()),
        Effect.provide([NodeHttpClient.layerUndici, Logger.layer([logger])])
      )
    })
  }

  it("shows nothing in the output of a crash", () => {
    const crash = spawnSync(
      process.execPath,
      ["--conditions=@effect-resilience/source", fileURLToPath(new URL("./crash.ts", import.meta.url)), ...planted],
      { encoding: "utf8" }
    )
    assert.notStrictEqual(crash.status, 0)
    assert.include(crash.stderr, "StillUnauthorized")
    assertClean(crash.stdout + crash.stderr, "the crash")
  })
})
