import { TokenCache, TokenSource } from "@effect-resilience/auth"
import { Parts, ResilientClient } from "@effect-resilience/client"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Redacted, Schema } from "effect"
import { TestClock } from "effect/testing"
import { assertHidden, observed, request, secrets } from "./misbehavior/observe.ts"

const telling = Schema.Struct({ calls: Schema.Boolean, attempts: Schema.Boolean })

const url = `https://ledger.example.com/entries?key=${secrets.query}`

const cases = {
  good: () => Response.json({ id: 7 }),
  unwell: () => new Response(`{"trace":"${secrets.response}"}`, { status: 503 }),
  wrong: () => Response.json({ message: "no such account", trace: secrets.response }, { status: 400 }),
  noJson: () => new Response(secrets.response, { headers: { "content-type": "application/json" } }),
  moved: () => new Response(null, { status: 307, headers: { location: `${url}&again=${secrets.query}` } }),
  expired: () =>
    new Response(null, { status: 401, headers: { "www-authenticate": `Bearer realm="${secrets.token}"` } }),
  broken: () => Object.assign(new Error(`${url}: read ECONNRESET`), { code: "ECONNRESET" })
}

describe("what a client tells, whatever its description says and the server does", () => {
  it.effect.prop(
    "is what the description says, without a secret",
    {
      accessLog: telling,
      telemetry: telling,
      propagation: Schema.Struct({ trace: Schema.Boolean, deadline: Schema.Boolean }),
      follows: Schema.Boolean,
      body: Schema.Literals(["json", "whole", "stream"]),
      method: Schema.Literals(["GET", "PUT", "POST"]),
      script: Schema.Array(Schema.Literals(Object.keys(cases) as Array<keyof typeof cases>)).check(
        Schema.isMinLength(1),
        Schema.isMaxLength(4)
      )
    },
    ({ accessLog, body, follows, method, propagation, script, telemetry }) =>
      Effect.gen(function*() {
        const cache = yield* TokenCache.make(
          TokenSource.fromEffect(Effect.succeed({ value: Redacted.make(secrets.token) }), { identity: ["test"] })
        )
        const services = yield* Layer.build(ResilientClient.layerTest(
          {
            name: "ledger",
            baseUrl: "https://ledger.example.com",
            auth: ResilientClient.tokens(cache),
            accessLog,
            telemetry,
            propagation,
            body,
            ...follows && { redirects: {} }
          },
          [...script, ...Array.from({ length: 9 }, () => "good" as const)].map((name) => cases[name]()),
          { parts: Parts }
        ))
        const client = Context.get(services, ResilientClient.ResilientClient)
        const server = Context.get(services, ResilientClient.TestServer)
        const call = yield* Effect.forkChild(observed(client, request(method, "/entries", undefined)))
        yield* TestClock.adjust("1 minute")
        const { entries, series, spans, text } = yield* Fiber.join(call)
        assertHidden(text)
        const sent = yield* server.sent
        const count = (kind: "call" | "attempt") => entries.filter((entry) => entry.kind === kind).length
        const clients = spans.filter(({ kind }) => kind === "client")
        assert.strictEqual(count("call"), accessLog.calls ? 1 : 0)
        assert.strictEqual(count("attempt") > 0, accessLog.attempts)
        assert.strictEqual(spans.some(({ name }) => name === "book"), telemetry.calls)
        assert.strictEqual(clients.length > 0, telemetry.attempts)
        assert.strictEqual(series.some(({ id }) => id === "http.client.request.duration"), telemetry.attempts)
        if (accessLog.attempts && telemetry.attempts) assert.strictEqual(clients.length, count("attempt"))
        for (const { headers } of sent) {
          const traced = propagation.trace && (telemetry.calls || telemetry.attempts)
          assert.strictEqual("traceparent" in headers, traced)
        }
      }),
    { arbitrary: { runs: 100, seed: 30 } }
  )
})
