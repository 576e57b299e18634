import { ApiError } from "@effect-resilience/errors"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, layer } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Layer, Scope } from "effect"
import { HttpClient } from "effect/http"
import { nginx } from "../../../../node/test/integration/nginx/nginx.ts"
import { brief } from "../../misbehavior/faults.ts"
import {
  assertSound,
  makeClient,
  type Method,
  observed,
  request,
  secrets,
  type Transport
} from "../../misbehavior/observe.ts"
import * as Application from "./application.ts"

class Nginx extends Context.Service<Nginx, Effect.Success<typeof nginx>>()("test/Nginx") {
  static readonly layer = Layer.effect(Nginx, nginx)
}

interface Row {
  readonly path: string
  readonly got: string
  readonly post?: string
  readonly port?: "http" | "good" | "expired" | "other" | "dead"
  readonly judged?: false
  readonly description?: typeof brief
  readonly body?: string
}

const ok = `ok {"id":"7"}`
const unavailable = "TransportFailure reset -> Retry x2"

const rows: ReadonlyArray<Row> = [
  { path: "/ok", got: `${ok} x1` },
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
  { path: "/near", got: `${ok} x1`, description: { ...brief, redirects: {} } },
  { path: "/", port: "expired", got: "TransportFailure tls -> GiveUp x1" },
  { path: "/", port: "other", got: "TransportFailure tls -> GiveUp x1" },
  { path: "/", port: "dead", got: "TransportFailure refused -> Retry x2" }
]

interface Fault {
  readonly path: string
  /** Why it was sent again, and what came of it. */
  readonly get: string
  readonly post: string
  /** What the server asks for before the next attempt, in milliseconds. */
  readonly pause?: number
}

/** What an application behind nginx does with the first request. */
const faults: ReadonlyArray<Fault> = [
  { path: "/429", pause: 990, get: `RateLimited, ${ok}`, post: `RateLimited, ${ok}` },
  { path: "/503", pause: 990, get: `ServiceUnavailable, ${ok}`, post: "unknown: ServiceUnavailable -> Verify" },
  { path: "/silent", get: `GatewayTimeout, ${ok}`, post: "unknown: GatewayTimeout -> Verify" },
  { path: "/reset", get: `BadGateway, ${ok}`, post: "unknown: BadGateway -> Verify" },
  { path: "/truncated", get: `TransportFailure, ${ok}`, post: "unknown: TransportFailure reset -> Verify" },
  { path: "/hung", get: `TransportFailure, ${ok}`, post: "unknown: TransportFailure reset -> Verify" }
]

/** The application got each attempt once, with the deadline of the call and the span of the attempt. */
const assertArrived = (
  { entries, spans }: Effect.Success<ReturnType<typeof observed>>,
  arrivals: ReadonlyArray<Application.Arrival>
) => {
  assert.lengthOf(arrivals, entries.length - 1)
  const parents = spans.filter(({ kind }) => kind === "client").map(({ spanId, traceId }) =>
    `00-${traceId}-${spanId}-01`
  )
  assert.deepStrictEqual(arrivals.map(({ traceparent }) => traceparent), parents)
  assert.isTrue(arrivals.every(({ deadline }) => deadline))
}

layer(Nginx.layer, { excludeTestServices: true, timeout: "30 seconds" })("nginx, through the one-line client", (it) => {
  it.effect("gives the right outcome, a line and a span for each call and attempt, and no secret", () =>
    Effect.gen(function*() {
      const server = yield* Nginx
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
    }))

  it.effect("over HTTP/2, where each connection ends after 25 requests, applies each POST at most once", () =>
    Effect.gen(function*() {
      const server = yield* Nginx
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
    }))

  for (const http2 of [false, true]) {
    const over = http2 ? "HTTP/2" : "HTTP/1.1"
    const connect = (onStatus: (status: number) => Effect.Effect<unknown> = () => Effect.void) =>
      Effect.flatMap(Nginx, ({ pem, ports }) => {
        const tapped = Effect.map(HttpClient.HttpClient, HttpClient.tap(({ status }) => onStatus(status)))
        return makeClient(
          http2 ? `https://127.0.0.1:${ports.http2}` : `http://127.0.0.1:${ports.http}`,
          Layer.provide(Layer.effect(HttpClient.HttpClient, tapped), Connections.layer({ http2, ca: [pem.ca] }))
        )
      })

    for (const { path, get, pause = 0, post } of faults) {
      it.effect(`repeats what may be repeated, when the server says, behind nginx (${path}, ${over})`, () =>
        Effect.forEach(
          [["GET", get], ["POST", post]] satisfies ReadonlyArray<[Method, string]>,
          ([method, expected]) =>
            Effect.scoped(Effect.gen(function*() {
              const { ports } = yield* Nginx
              const arrivals = yield* Application.run(ports.application)
              const found = yield* observed(yield* connect(), request(method, `/application${path}`, undefined))
              const [first, second] = arrivals
              const reasons = found.entries.slice(1, -1).map(({ resendReason }) => `${resendReason}, `)
              assert.strictEqual(`${reasons.join("")}${found.outcome}`, expected)
              assertSound(found, method)
              assertArrived(found, arrivals)
              if (second !== undefined) assert.isAtLeast(second.at - (first?.at ?? 0), pause)
            }))
        ))
    }

    it.effect(`gives up on an application that stays away (${over})`, () =>
      Effect.gen(function*() {
        const found = yield* observed(yield* connect(), request("GET", "/application/ok", undefined))
        assert.strictEqual(found.outcome, "BadGateway -> Retry")
        assert.isAbove(found.entries.length - 1, 1)
        assertSound(found, "GET")
        const error = Exit.isFailure(found.exit) ? Cause.squash(found.exit.cause) : undefined
        assert.match(error instanceof ApiError.ApiError ? String(error.requestId) : "", /^[0-9a-f]{32}$/)
      }))

    it.effect(`survives an application that restarts (${over})`, () =>
      Effect.gen(function*() {
        const { ports } = yield* Nginx
        const scope = yield* Effect.scope
        const begun = yield* Deferred.make<ReadonlyArray<Application.Arrival>>()
        const restart = Deferred.complete(begun, Scope.provide(Application.run(ports.application), scope))
        const client = yield* connect((status) => status === 502 ? restart : Effect.void)
        const found = yield* observed(client, request("GET", "/application/ok", undefined))
        assert.strictEqual(found.outcome, ok)
        assert.deepStrictEqual(found.entries.map(({ resendReason }) => resendReason), [
          undefined,
          "BadGateway",
          undefined
        ])
        assertSound(found, "GET")
        assert.lengthOf(yield* Deferred.await(begun), 1)
      }).pipe(Effect.scoped))
  }
})
