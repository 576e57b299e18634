import { ResilientClient } from "@effect-resilience/client"
import { AccessLog, Operation } from "@effect-resilience/http"
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
  // Only a segment of dots alone leads elsewhere.
  ["GET /files/v1..", "GET", "/files/v1..", true],
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

/** The operation of which a transport, and that of a client inside the authentication, sees a request. */
const seen = (
  description: Partial<ResilientClient.Description>,
  request: HttpClientRequest.HttpClientRequest,
  { inner, outer }: {
    readonly inner?: Operation.Operation | undefined
    readonly outer?: Operation.Operation | undefined
  } = {}
) =>
  Effect.gen(function*() {
    const operations: Array<Operation.Operation | undefined> = []
    const transport = HttpClient.make((request) =>
      Effect.map(Operation.Current, (operation) => {
        operations.push(operation)
        return HttpClientResponse.fromWeb(request, new Response("{}"))
      })
    )
    const signing = yield* ResilientClient.make({ name: "iam", baseUrl: "https://iam.example.com", pipeline: {} }).pipe(
      Effect.provideService(HttpClient.HttpClient, transport)
    )
    const sign = inner === undefined ? signing.get("/sign") : Operation.within(signing.get("/sign"), inner)
    const client = yield* ResilientClient.make<ResilientClient.Description>({
      name: "ledger",
      baseUrl: base,
      pipeline: {},
      auth: (client) => HttpClient.mapRequestEffect(client, (request) => Effect.as(Effect.orDie(sign), request)),
      ...description
    }).pipe(Effect.provideService(HttpClient.HttpClient, transport))
    const call = client.execute(request)
    yield* outer === undefined ? call : Operation.within(call, outer)
    return operations
  })

describe("the operation that a transport sees", () => {
  const unnamed = { name: "unnamed", endpoint: "{unnamed endpoint}" }
  const read = { name: "read", endpoint: "/orders/{id}" }
  const get = HttpClientRequest.get("/orders/17")
  const post = HttpClientRequest.post("/orders/17")

  it.effect("is none for a call that has none, and one without a name for a call within it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* seen({ auth: undefined }, get), [undefined])
      assert.deepStrictEqual(yield* seen({}, get), [unnamed, undefined])
      assert.deepStrictEqual(yield* seen({}, get, { outer: read }), [unnamed, read])
      const inner = { name: "sign", endpoint: "/sign" }
      assert.deepStrictEqual(yield* seen({}, get, { inner }), [inner, undefined])
      assert.deepStrictEqual(yield* seen({}, get, { inner, outer: read }), [inner, read])
    }))

  for (
    const [name, description, request, outer, expected] of [
      [
        "what its template says",
        { operations: { store: { endpoint: "POST /orders/{id}", appliedWhenWhole: true } } },
        post,
        undefined,
        { name: "store", endpoint: "/orders/{id}", idempotent: undefined, appliedWhenWhole: true }
      ],
      [
        "what the description says of its name",
        { operations: { read: { idempotent: true } } },
        post,
        read,
        { ...read, idempotent: true, appliedWhenWhole: undefined }
      ],
      [
        "what the call says, before the description",
        { operations: { read: { idempotent: true } }, idempotency: { methods: "POST" } },
        post,
        { ...read, idempotent: false },
        { ...read, idempotent: false }
      ],
      [
        "what the description says of its method",
        { idempotency: { methods: "POST" } },
        post,
        undefined,
        { ...unnamed, idempotent: true, appliedWhenWhole: undefined }
      ]
    ] as const
  ) {
    it.effect(`has ${name}`, () =>
      Effect.map(
        seen({ auth: undefined, ...description }, request, { outer }),
        (operations) => assert.deepStrictEqual(operations, [expected])
      ))
  }

  it.effect("names its own policies after itself and its client", () =>
    Effect.gen(function*() {
      const circuitBreaker = { tripPolicy: { consecutive: 1 }, openDuration: "1 minute" } as const
      const client = yield* ResilientClient.make<ResilientClient.Description>({
        name: "ledger",
        baseUrl: base,
        pipeline: { circuitBreaker },
        operations: { "read order": { endpoint: "GET /orders/{id}", pipeline: { circuitBreaker } } }
      }).pipe(Effect.provide(ResilientClient.layerScript(() => new Response("", { status: 503 }))))
      const policies: Array<unknown> = []
      for (const path of ["/orders/17", "/accounts"]) {
        yield* Effect.flip(client.get(path))
        const error = yield* Effect.flip(client.get(path))
        policies.push("policy" in error ? error.policy : error._tag)
      }
      assert.deepStrictEqual(policies, ["ledger: read order", "ledger"])
    }))
})
