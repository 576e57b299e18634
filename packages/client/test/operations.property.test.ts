import { ResilientClient } from "@effect-resilience/client"
import { AccessLog } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import type { HttpMethod } from "effect/http"

const layer = Layer.succeed(
  HttpClient.HttpClient,
  HttpClient.make((request) => Effect.succeed(HttpClientResponse.fromWeb(request, new Response("{}"))))
)

/** The operation that a client finds for a request; `undefined` for none. */
const found = (endpoints: ReadonlyArray<string>, method: HttpMethod.HttpMethod, path: string, baseUrl: string) =>
  Effect.gen(function*() {
    const operations = Object.fromEntries(endpoints.map((endpoint) => [endpoint, { endpoint }]))
    const client = yield* ResilientClient.make({ name: "ledger", baseUrl, operations })
    yield* client.execute(HttpClientRequest.make(method)(path))
    const [line] = yield* (yield* AccessLog.Memory).entries
    return line?.operation
  }).pipe(Effect.provide([layer, AccessLog.layerMemory]))

const base = "https://ledger.example.com/v1"

const rows: ReadonlyArray<readonly [string, HttpMethod.HttpMethod, string, boolean]> = [
  ["POST /orders/{id}", "POST", "/orders/17", true],
  ["POST /orders/{id}", "GET", "/orders/17", false],
  ["GET /orders/{id}", "HEAD", "/orders/17", false],
  ["GET /orders/{id}", "GET", "orders/17?all=true#top", true],
  ["GET /orders/{id}", "GET", `${base}/orders/17`, true],
  ["GET /orders/{id}", "GET", "/orders/", false],
  ["GET /orders/{id}", "GET", "/orders/17/", false],
  ["GET /orders/{id}/", "GET", "/orders/17/", true],
  ["GET /orders/{id}", "GET", "/orders/17/lines", false],
  ["GET /orders/{id}", "GET", "/Orders/17", false],
  ["GET /orders/{id}", "GET", "/orders/a%2Fb", true],
  ["GET /cafés/{id}", "GET", "/caf%c3%a9s/1", true],
  ["GET /caf%C3%A9s/{id}", "GET", "/cafés/1", true],
  ["GET /", "GET", "", true],
  ["GET /", "GET", "/", true]
]

const words = ["a", "b", "", "%2F", "é"]

const kinds = Schema.Array(Schema.Literals(["text", "parameter"])).check(Schema.isMinLength(3), Schema.isMaxLength(3))

describe("the operation of a request", () => {
  for (const [endpoint, method, path, fits] of rows) {
    it.effect(`${method} ${path === "" ? "of nothing" : path} ${fits ? "fits" : "does not fit"} ${endpoint}`, () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* found([endpoint], method, path, base), fits ? endpoint : undefined)
      }))
  }

  it.effect.prop(
    "is that of the template that says more, from the left, of all that fit",
    {
      path: Schema.Array(Schema.Literals(["a", "b", "é"])).check(Schema.isMinLength(3), Schema.isMaxLength(3)),
      templates: Schema.Array(kinds).check(Schema.isMinLength(1), Schema.isMaxLength(5)),
      baseUrl: Schema.Literals([base, "https://ledger.example.com"])
    },
    ({ baseUrl, path, templates }) =>
      Effect.gen(function*() {
        const endpoints = [
          ...new Set(
            templates.map((kinds) => `GET /${kinds.map((kind, i) => kind === "text" ? path[i] : `{p${i}}`).join("/")}`)
          )
        ]
        // A letter sorts before a brace.
        const [best] = [...endpoints].sort((a, b) => (a.replaceAll("é", "e") < b.replaceAll("é", "e") ? -1 : 1))
        assert.strictEqual(yield* found(endpoints, "GET", `/${path.join("/")}`, baseUrl), best)
        assert.strictEqual(yield* found(endpoints, "POST", `/${path.join("/")}`, baseUrl), undefined)
        assert.strictEqual(yield* found(endpoints, "GET", `/${path.join("/")}/a`, baseUrl), undefined)
      }),
    { arbitrary: { runs: 50, seed: 17 } }
  )

  it.effect.prop(
    "is none where a parameter would be empty or a text differs",
    { segments: Schema.Array(Schema.Literals(words)).check(Schema.isMinLength(2), Schema.isMaxLength(2)) },
    ({ segments: [one = "", two = ""] }) =>
      Effect.gen(function*() {
        const fits = one === "a" && two !== ""
        const endpoint = "GET /x/a/{id}"
        assert.strictEqual(yield* found([endpoint], "GET", `/x/${one}/${two}`, base), fits ? endpoint : undefined)
      }),
    { arbitrary: { runs: 50, seed: 17 } }
  )
})
