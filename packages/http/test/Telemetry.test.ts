import { SpanRecorder } from "@effect-resilience/chaos"
import { Recovery } from "@effect-resilience/errors"
import { ErrorMapping, Operation, Scrubber, Telemetry } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Data, Effect, Exit, Fiber, Metric, Redacted, Tracer } from "effect"
import { HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

const read: Operation.Operation = { name: "read table", endpoint: "/tables/{table}" }

const responding = (...statuses: ReadonlyArray<number>) => {
  let n = 0
  const requests: Array<HttpClientRequest.HttpClientRequest> = []
  const client = HttpClient.make((request) =>
    Effect.sync(() => {
      requests.push(request)
      const status = statuses[Math.min(n++, statuses.length - 1)] ?? 200
      return HttpClientResponse.fromWeb(request, new Response(null, { status }))
    })
  )
  return { client, requests }
}

const observed = (client: HttpClient.HttpClient) =>
  client.pipe(
    ErrorMapping.mapErrors(),
    Telemetry.observeAttempts,
    HttpClient.transformResponse(RetryPolicy.retry(RetryPolicy.make({ times: 2, backoff: Backoff.immediate }))),
    HttpClient.transformResponse(Telemetry.observeCall)
  )

/** Runs an effect and returns the spans and series it made. */
const recorded = Effect.fnUntraced(function*<A, E, R>(effect: Effect.Effect<A, E, R>) {
  const { record, spans } = SpanRecorder.make()
  const registry: typeof Metric.MetricRegistry.Service = new Map()
  const exit = yield* Effect.exit(effect).pipe(
    record,
    Effect.provideService(Metric.MetricRegistry, registry)
  )
  const series = yield* Effect.provideService(Metric.snapshot, Metric.MetricRegistry, registry)
  return { exit, spans, series }
})

const attributes = (span: Tracer.Span | undefined) => Object.fromEntries(span?.attributes ?? [])
const endOf = (span: Tracer.Span | undefined) => span?.status._tag === "Ended" ? span.status.exit : undefined

describe("Telemetry", () => {
  it.effect("makes a client span for each attempt under one span for the call", () =>
    Effect.gen(function*() {
      const { client, requests } = responding(503, 429, 200)
      const { spans } = yield* recorded(
        Operation.within(observed(client).get("https://api.example.com:8443/tables/GL?token=t0ken"), read)
      )
      assert.deepStrictEqual(spans.map((span) => [span.kind, span.name]), [
        ["internal", "read table"],
        ["client", "GET /tables/{table}"],
        ["client", "GET /tables/{table}"],
        ["client", "GET /tables/{table}"]
      ])
      const [call, ...attempts] = spans
      for (const span of attempts) {
        assert.strictEqual(span.parent._tag === "Some" ? span.parent.value.spanId : undefined, call?.spanId)
      }
      const common = {
        "http.request.method": "GET",
        "server.address": "api.example.com",
        "server.port": 8443,
        "url.template": "/tables/{table}",
        "url.full": "https://api.example.com:8443/tables/GL?token=REDACTED"
      }
      assert.deepStrictEqual(attempts.map(attributes), [
        { ...common, "http.response.status_code": 503, "error.type": "503" },
        { ...common, "http.response.status_code": 429, "error.type": "429", "http.request.resend_count": 1 },
        { ...common, "http.response.status_code": 200, "http.request.resend_count": 2 }
      ])
      assert.deepStrictEqual(attributes(call), { "resilience.operation": "read table", "resilience.attempts": 3 })
      assert.deepStrictEqual(
        requests.map((request) => request.headers["traceparent"]),
        attempts.map((span) => `00-${span.traceId}-${span.spanId}-01`)
      )
    }))

  it.effect("measures each attempt in seconds", () =>
    Effect.gen(function*() {
      const slow = HttpClient.transformResponse(responding(503, 200).client, Effect.delay("2 seconds"))
      const fiber = yield* Effect.forkChild(recorded(Operation.within(observed(slow).get("https://a.example/"), read)))
      yield* TestClock.adjust("4 seconds")
      const { series } = yield* Fiber.join(fiber)
      const durations = series.filter(({ id }) => id === "http.client.request.duration")
      const common = {
        unit: "s",
        "http.request.method": "GET",
        "server.address": "a.example",
        "server.port": "443",
        "url.template": "/tables/{table}"
      }
      assert.deepStrictEqual(durations.map((metric) => metric.attributes), [
        { ...common, "http.response.status_code": "503", "error.type": "503" },
        { ...common, "http.response.status_code": "200" }
      ])
      for (const { state } of durations) assert.deepInclude(state, { count: 1, sum: 2 })
      const total = series.find(({ id }) => id === "resilience.call.duration")
      assert.deepInclude(total?.state, { count: 1, sum: 4 })
      assert.deepInclude(series.find(({ id }) => id === "resilience.call.attempts")?.state, { count: 1, sum: 2 })
      const retries = series.find(({ id }) => id === "resilience.retries")
      assert.deepStrictEqual(retries?.attributes, { "resilience.operation": "read table", "error.type": "503" })
    }))

  it.effect("adds no series for a thousand tables", () =>
    Effect.gen(function*() {
      const seriesOf = Effect.fnUntraced(function*(tables: number) {
        const client = observed(responding(503, 200).client)
        const { series } = yield* recorded(
          Effect.forEach(
            Array.from({ length: tables }, (_, i) => i),
            (i) => Operation.within(Effect.ignore(client.get(`https://a.example/tables/table-${i}`)), read)
          )
        )
        return series
      })
      const one = (yield* seriesOf(2)).length
      const many = yield* seriesOf(1_000)
      assert.strictEqual(many.length, one)
      assert.notInclude(JSON.stringify(many.map((metric) => metric.attributes)), "table-")
    }))

  it.effect("names failures by status, code or tag", () =>
    Effect.gen(function*() {
      const failing = (cause: unknown) =>
        HttpClient.make((request) =>
          Effect.fail(
            new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
          )
        )
      const typeOf = Effect.fnUntraced(function*(client: HttpClient.HttpClient, mapped = true) {
        const { spans } = yield* recorded<unknown, unknown, never>(
          mapped
            ? Telemetry.observeAttempts(ErrorMapping.mapErrors(client)).get("https://a.example/")
            : Telemetry.observeAttempts(client).get("https://a.example/")
        )
        return attributes(spans[0])["error.type"]
      })
      assert.strictEqual(yield* typeOf(responding(404).client), "404")
      assert.strictEqual(yield* typeOf(responding(404).client, false), "404")
      assert.strictEqual(yield* typeOf(responding(302).client), "302")
      assert.strictEqual(yield* typeOf(failing({ code: "ECONNRESET" })), "ECONNRESET")
      assert.strictEqual(yield* typeOf(failing(new Error("?"))), "unknown")
      assert.strictEqual(yield* typeOf(failing(new Error("?")), false), "TransportError")
      assert.strictEqual(yield* typeOf(HttpClient.make(() => Effect.die(new Error("bug")))), "Defect")
      assert.strictEqual(yield* typeOf(responding(200).client), undefined)
    }))

  it.effect("counts rejections and retries that stopped by their reason", () =>
    Effect.gen(function*() {
      class CircuitOpen extends Data.TaggedError("CircuitOpen") {}
      const { series } = yield* recorded(
        Effect.andThen(
          Effect.ignore(Telemetry.observeCall(Effect.fail(new CircuitOpen()))),
          Effect.ignore(observed(responding(500).client).get("https://a.example/"))
        )
      )
      const counted = series.filter(({ type }) => type === "Counter").map((
        { attributes, id, state }
      ) => [id, attributes, state])
      assert.deepStrictEqual(JSON.parse(JSON.stringify(counted, (_, v) => typeof v === "bigint" ? Number(v) : v)), [
        ["resilience.rejections", { "resilience.operation": "unnamed", "resilience.reason": "CircuitOpen" }, {
          count: 1,
          incremental: true
        }],
        ["resilience.retries", { "resilience.operation": "unnamed", "error.type": "500" }, {
          count: 2,
          incremental: true
        }],
        ["resilience.retries.stopped", { "resilience.operation": "unnamed", "resilience.reason": "TimesUsedUp" }, {
          count: 1,
          incremental: true
        }]
      ])
    }))

  it.effect("ends the spans of an interrupted call", () =>
    Effect.gen(function*() {
      const client = observed(HttpClient.make(() => Effect.never))
      const { spans } = yield* recorded(
        Effect.timeoutOption(client.get("https://a.example/"), "1 second").pipe(
          Effect.forkChild,
          Effect.tap(() => TestClock.adjust("1 second")),
          Effect.flatMap(Fiber.join)
        )
      )
      assert.lengthOf(spans, 2)
      for (const span of spans) {
        const exit = endOf(span)
        assert.isTrue(exit !== undefined && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      }
    }))

  it.effect("contains no secret, wherever it came from", () =>
    Effect.gen(function*() {
      const secret = "s3cr3t-t0ken"
      const scrubber = Scrubber.make()
      scrubber.register(Redacted.make(secret))
      const raw = HttpClient.make((request) =>
        Effect.fail(
          new HttpClientError.HttpClientError({
            reason: new HttpClientError.TransportError({ request, cause: new Error(secret) })
          })
        )
      )
      const echo = HttpClient.make((request) =>
        Effect.succeed(
          HttpClientResponse.fromWeb(request, new Response(`{"message":"bad ${secret}"}`, { status: 400 }))
        )
      )
      const url = `https://user:${secret}@a.example/${secret}?key=${secret}#${secret}`
      const headers = { "acme-token": secret }
      const { spans } = yield* recorded(
        Effect.all([
          Effect.ignore(Telemetry.observeCall(Telemetry.observeAttempts(raw).get(url, { headers }))),
          Effect.ignore(
            Telemetry.observeCall(Telemetry.observeAttempts(ErrorMapping.mapErrors(echo)).get(url, { headers }))
          )
        ])
      ).pipe(Effect.provideService(Scrubber.Current, scrubber))
      const printed = spans.map((span) => {
        const exit = endOf(span)
        const cause = exit !== undefined && Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
        return span.name + JSON.stringify([...span.attributes]) + cause
      }).join("\n")
      assert.lengthOf(spans, 4)
      assert.notInclude(printed, secret)
      assert.include(printed, "bad <redacted>")
    }))

  it.effect("makes no spans without a tracer, and propagates the trace of the surrounding one", () =>
    Effect.gen(function*() {
      const { client, requests } = responding(200)
      const inside: Array<Tracer.AnySpan | undefined> = []
      const call = Effect.andThen(
        Effect.asVoid(observed(client).get("https://a.example/")),
        Telemetry.observeCall(
          Effect.sync(() => Fiber.getCurrent()?.context).pipe(
            Effect.map((context) => inside.push(context && Context.getOrUndefined(context, Tracer.ParentSpan)))
          )
        )
      )
      const parent = Tracer.externalSpan({ traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" })
      yield* call
      yield* Effect.withParentSpan(call, parent)
      assert.deepStrictEqual(inside, [undefined, parent])
      assert.deepStrictEqual(requests.map(({ headers }) => headers["traceparent"]), [
        undefined,
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      ])
      assert.lengthOf((yield* recorded(Effect.withTracerEnabled(Effect.withParentSpan(call, parent), false))).spans, 0)
      assert.isUndefined(requests[2]?.headers["traceparent"])
    }))

  it.effect("propagates no trace if that is switched off", () =>
    Effect.gen(function*() {
      const { client, requests } = responding(200)
      yield* recorded(
        Effect.provideService(
          Telemetry.observeAttempts(client).get("https://a.example/"),
          HttpClient.TracerPropagationEnabled,
          false
        )
      )
      assert.isUndefined(requests[0]?.headers["traceparent"])
    }))

  it("keeps the boundaries in order", () => {
    assert.deepStrictEqual([...Telemetry.durationBoundaries].sort((a, b) => a - b), Telemetry.durationBoundaries)
  })

  it.effect("knows the recovery in the error of a span", () =>
    Effect.gen(function*() {
      const { spans } = yield* recorded(observed(responding(403).client).get("https://a.example/"))
      const exit = endOf(spans[1])
      const error = exit !== undefined && Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.deepStrictEqual(Recovery.of(error), Recovery.authorize)
    }))
})
