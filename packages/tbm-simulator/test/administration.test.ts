import { Simulator, SimulatorState } from "@effect-resilience/tbm-simulator"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { call, logIn, login, upload } from "./client.ts"

const simulated = <A, E>(
  options: Simulator.Options,
  test: (url: string, state: Simulator.Simulator["Service"]["state"]) => Effect.Effect<A, E>
) =>
  Effect.provide(
    Effect.flatMap(Simulator.Simulator, ({ state, url }) => test(url, state)),
    Simulator.layer(options)
  )

const post = (url: string, body: unknown) =>
  call(url, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) })

const nothing = {
  logins: 0,
  environmentLookups: 0,
  requests: 0,
  uploads: [],
  tables: {},
  uploader: { sessions: [], processes: [] },
  tokens: { issued: 0, expired: 0 }
}

describe("/__simulator", () => {
  it.effect("state returns the record as the schema describes it, and is not counted", () =>
    simulated({}, (url, state) =>
      Effect.gen(function*() {
        assert.deepStrictEqual((yield* call(`${url}/__simulator/state`)).json, nothing)
        yield* upload(yield* logIn(url))
        const { json } = yield* call(`${url}/__simulator/state`)
        assert.deepStrictEqual(json, yield* state)
        const decode = Schema.decodeUnknownEffect(SimulatorState.SimulatorState, { onExcessProperty: "error" })
        const decoded = yield* Effect.orDie(decode(json))
        assert.deepStrictEqual([decoded.logins, decoded.environmentLookups, decoded.requests], [1, 1, 3])
      })))

  it.effect("faults are appended and removed together", () =>
    simulated({}, (url) =>
      Effect.gen(function*() {
        const path = `${url}/__simulator/faults`
        const status = (status: number) => [{ times: 1, fault: { type: "status", status } }]
        assert.deepStrictEqual((yield* post(path, status(500))).json, { added: 1 })
        assert.strictEqual((yield* post(path, [...status(501), ...status(502)])).status, 200)
        assert.deepStrictEqual([(yield* login(url)).status, (yield* login(url)).status], [500, 501])
        assert.strictEqual((yield* call(path, { method: "DELETE" })).status, 200)
        assert.strictEqual((yield* login(url)).status, 200)
      })))

  it.effect.each(
    [
      ["{", "not JSON"],
      [{}, "Expected array"],
      [[{}], "Missing key at [0][\"fault\"]"],
      [[{ fault: { type: "explode" } }], "\"echoSecrets\" at [0][\"fault\"][\"type\"]"],
      [[{ fault: { type: "hang" } }, { fault: { type: "delay" } }], "at [1][\"fault\"][\"ms\"]"],
      [[{ fault: { type: "status", status: 99 } }], "between 200 and 599 at [0][\"fault\"][\"status\"]"],
      [[{ fault: { type: "status", status: 500, headers: { "a b": "" } } }], "at [0][\"fault\"][\"headers\"][\"a b\"]"],
      [[{ fault: { type: "redirect", location: "a\r\nb" } }], "a header value"],
      [[{ fault: { type: "reset", at: "never" } }], "at [0][\"fault\"][\"at\"]"],
      [[{ fault: { type: "slow", bytesPerSecond: 0 } }], "greater than 0"],
      [
        [{ fault: { type: "hang" }, tims: 3, probability: 2 }],
        "no excess property at [0][\"tims\"]; Expected a value between 0 and 1"
      ],
      [[{ fault: { type: "hang" }, match: { operation: "logout" } }], "at [0][\"match\"][\"operation\"]"],
      [[{ fault: { type: "hang" }, after: 1.5 }], "Expected an integer"]
    ] satisfies ReadonlyArray<[unknown, string]>
  )("faults reject %j", ([body, expected]) =>
    simulated({}, (url) =>
      Effect.gen(function*() {
        const { json, status } = yield* post(`${url}/__simulator/faults`, body)
        assert.strictEqual(status, 400)
        assert.include(Object(json).message, expected)
        assert.notInclude(Object(json).message, "\n")
        assert.strictEqual((yield* login(url)).status, 200)
      })))

  it.effect("reset restores the state at the start", () =>
    simulated(
      { faults: [{ after: 3, times: 1, fault: { type: "status", status: 503 } }] },
      (url) =>
        Effect.gen(function*() {
          const session = yield* logIn(url)
          yield* upload(session)
          yield* post(`${url}/__simulator/faults`, [{ fault: { type: "status", status: 500 } }])
          assert.strictEqual((yield* login(url)).status, 503)
          assert.strictEqual((yield* post(`${url}/__simulator/reset`, "")).status, 200)
          assert.deepStrictEqual((yield* call(`${url}/__simulator/state`)).json, nothing)
          assert.strictEqual((yield* upload(session)).status, 401)
          assert.strictEqual((yield* upload(yield* logIn(url))).status, 503)
        })
    ))

  it.effect("tokens/expire expires all tokens", () =>
    simulated({}, (url) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        assert.deepStrictEqual((yield* post(`${url}/__simulator/tokens/expire`, "")).json, { expired: 1 })
        assert.strictEqual((yield* upload(session)).status, 401)
      })))

  it.effect("knows its paths and methods", () =>
    simulated({}, (url, state) =>
      Effect.gen(function*() {
        assert.strictEqual((yield* call(`${url}/__simulator`)).status, 404)
        assert.strictEqual((yield* call(`${url}/__simulator/stat`)).status, 404)
        const { headers, status } = yield* call(`${url}/__simulator/faults`)
        assert.deepStrictEqual([status, headers.allow], [405, "POST, DELETE"])
        assert.strictEqual((yield* call(`${url}/__simulator/reset`)).status, 405)
        assert.strictEqual((yield* state).requests, 0)
      })))

  const rule = JSON.stringify([{ fault: { type: "status", status: 503 } }])
  it.effect.each(
    [
      ["a page, by a simple request", { origin: "https://evil.example", "content-type": "text/plain" }],
      ["a page of another port", { origin: "http://127.0.0.1:1" }],
      ["a page without an origin", { origin: "null" }],
      ["a page's image or form", { "sec-fetch-site": "cross-site" }],
      ["a page of a neighbour", { "sec-fetch-site": "same-site" }],
      ["a page whose name resolves to this machine", { host: "evil.example" }],
      ["the same, with a port", { host: "evil.example:8080" }],
      ["the same, with its own origin", {
        host: "evil.example",
        origin: "http://evil.example",
        "sec-fetch-site": "same-origin"
      }],
      ["a name that looks like an address", { host: "127.0.0.1.evil.example" }],
      ["a name below localhost", { host: "evil.localhost" }]
    ] satisfies ReadonlyArray<[string, Record<string, string>]>
  )("rejects web pages: %s", ([, headers]) =>
    simulated({}, (url, state) =>
      Effect.gen(function*() {
        yield* upload(yield* logIn(url))
        const before = yield* state
        const calls = [["GET", "state"], ["POST", "faults"], ["DELETE", "faults"], ["POST", "reset"], [
          "POST",
          "tokens/expire"
        ]] as const
        for (const [method, path] of calls) {
          const reply = yield* call(`${url}/__simulator/${path}`, {
            method,
            headers,
            body: method === "POST" ? rule : ""
          })
          assert.strictEqual(reply.status, 403, `${method} ${path}`)
          assert.notInclude(reply.body, "uploads")
          assert.isUndefined(reply.headers["access-control-allow-origin"])
        }
        assert.deepStrictEqual(yield* state, before)
        assert.strictEqual((yield* login(url)).status, 200)
      })))

  it.effect.each(["localhost", "localhost:8080", "[::1]:8080", "192.0.2.1", "simulator", "Host.Docker.Internal:80"])(
    "serves programs that call it %s",
    (host) =>
      simulated({ allowedHosts: ["host.docker.internal"] }, (url) =>
        Effect.gen(function*() {
          const own = { host, origin: `http://${host}`, "sec-fetch-site": "same-origin" }
          for (const headers of [{ host }, own]) {
            assert.strictEqual((yield* call(`${url}/__simulator/state`, { headers })).status, 200)
          }
        }))
  )

  it.effect("keeps at most 10,000 rules that can still fire", () =>
    simulated({}, (url) =>
      Effect.gen(function*() {
        const path = `${url}/__simulator/faults`
        const rules = (count: number, times: number) =>
          Array.from({ length: count }, () => ({ times, fault: { type: "status", status: 503 } }))
        assert.strictEqual((yield* post(path, rules(10_000, 1))).status, 200)
        assert.strictEqual((yield* post(path, rules(1, 1))).status, 409)
        assert.strictEqual((yield* login(url)).status, 503)
        assert.strictEqual((yield* post(path, rules(1, 1))).status, 200)
        assert.strictEqual((yield* post(path, rules(1, 1))).status, 409)
        assert.strictEqual((yield* call(path, { method: "DELETE" })).status, 200)
        assert.deepStrictEqual((yield* post(path, rules(10_001, 1))).status, 400)
        assert.strictEqual((yield* login(url)).status, 200)
      })))
})
