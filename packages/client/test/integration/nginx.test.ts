import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { nginx } from "../../../node/test/integration/nginx/nginx.ts"
import { brief } from "../misbehavior/faults.ts"
import {
  assertSound,
  makeClient,
  type Method,
  observed,
  request,
  secrets,
  type Transport
} from "../misbehavior/observe.ts"

interface Row {
  readonly path: string
  readonly got: string
  readonly post?: string
  readonly port?: "http" | "good" | "expired" | "other" | "dead"
  readonly judged?: false
  readonly description?: typeof brief
  readonly body?: string
}

const unavailable = "TransportFailure reset -> Retry x2"

const rows: ReadonlyArray<Row> = [
  { path: "/ok", got: `ok {"id":"7"} x1` },
  {
    path: "/html",
    got: "UndecodableAnswer -> GiveUp x1",
    post: "unknown: UndecodableAnswer -> Verify x1",
    judged: false
  },
  { path: "/nowhere", got: "NotFound -> Correct x1" },
  { path: "/reset", got: unavailable, post: "unknown: TransportFailure reset -> Verify x1" },
  { path: "/truncated", got: unavailable, post: "unknown: TransportFailure reset -> Verify x1" },
  { path: "/dead", got: "BadGateway -> Retry x2", post: "unknown: BadGateway -> Verify x1" },
  { path: `/echo?key=${secrets.token}-1`, got: "BadRequest -> Correct x1" },
  {
    path: `/away?key=${secrets.token}-1`,
    got: "UnexpectedStatus -> Correct x1",
    description: { ...brief, redirects: {} }
  },
  { path: "/near", got: `ok {"id":"7"} x1`, description: { ...brief, redirects: {} } },
  { path: "/", port: "expired", got: "TransportFailure tls -> GiveUp x1" },
  { path: "/", port: "other", got: "TransportFailure tls -> GiveUp x1" },
  { path: "/", port: "dead", got: "TransportFailure refused -> Retry x2" }
]

describe("nginx, through the one-line client", () => {
  it.live("gives the right outcome, a line and a span for each call and attempt, and no secret", () =>
    Effect.gen(function*() {
      const server = yield* nginx
      const seen: Array<string> = []
      const expected: Array<string> = []
      for (const transport of ["node", "fetch"] satisfies ReadonlyArray<Transport>) {
        for (const { description = brief, got, judged, path, port = "http", post = got } of rows) {
          for (const method of ["GET", "POST"] satisfies ReadonlyArray<Method>) {
            const scheme = port === "http" || port === "dead" ? "http" : "https"
            const client = yield* makeClient(`${scheme}://127.0.0.1:${server.ports[port]}`, transport, description)
            const found = yield* observed(client, request(method, path, undefined))
            const name = `${transport} ${method} ${port} ${path}: `
            seen.push(`${name}${found.outcome} x${found.entries.length - 1}`)
            expected.push(`${name}${method === "POST" ? post : got}`)
            assertSound(found, method, judged)
          }
        }
      }
      assert.deepStrictEqual(seen, expected)
      assert.strictEqual(server.seen(), "", "what stands elsewhere gets nothing")
    }).pipe(Effect.scoped))

  it.live("over HTTP/2, where each connection ends after 25 requests, applies each POST at most once", () =>
    Effect.gen(function*() {
      const server = yield* nginx
      const trusting = Connections.layer({ ca: [server.pem.ca], http2: true })
      const client = yield* makeClient(`https://127.0.0.1:${server.ports.http2}`, trusting)
      const outcomes = yield* Effect.forEach(
        Array.from({ length: 400 }, (_, n) => n),
        (n) => Effect.result(client.post(`/append/${n}`)),
        { concurrency: 16 }
      )
      const applied = server.appended()
      assert.strictEqual(new Set(applied).size, applied.length)
      const done = outcomes.filter(({ _tag }) => _tag === "Success").length
      assert.isAtMost(done, applied.length)
      assert.isAbove(done, 350)
    }).pipe(Effect.scoped))
})
