import { Telemetry } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import * as OtelTracer from "@effect/opentelemetry/OtelTracer"
import { assert, describe, it } from "@effect/vitest"
import { context, propagation, SpanKind, trace } from "@opentelemetry/api"
import { UndiciInstrumentation } from "@opentelemetry/instrumentation-undici"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node"
import { Effect, Layer, Stream } from "effect"
import { HttpBody, HttpClient } from "effect/http"
import * as Http from "node:http"

/** An application with OpenTelemetry's SDK and its instrumentation of undici, and a server that notes what it gets. */
const instrumented = Effect.gen(function*() {
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      provider.register()
      const instrumentation = new UndiciInstrumentation()
      instrumentation.setTracerProvider(provider)
      return instrumentation
    }),
    (instrumentation) =>
      Effect.sync(() => {
        instrumentation.disable()
        trace.disable()
        context.disable()
        propagation.disable()
      })
  )
  const parents: Array<string> = []
  const server = Http.createServer((request, response) => {
    const [parent, ...others] = request.headersDistinct["traceparent"] ?? []
    if (parent !== undefined && others.length === 0) parents.push(parent)
    request.on("data", () => undefined).on("end", () => {
      response.write("o")
      setTimeout(() => response.end("k"), 10)
    })
  })
  const port = yield* Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () => Effect.sync(() => server.close())
  )
  const clientSpans = () => exporter.getFinishedSpans().filter(({ kind }) => kind === SpanKind.CLIENT)
  const effectExports = Layer.provide(
    OtelTracer.layerWithoutOtelTracer,
    Layer.succeed(OtelTracer.OtelTracer, provider.getTracer("effect"))
  )
  return { url: `http://127.0.0.1:${port}`, parents, exporter, provider, clientSpans, effectExports }
})

const calls = (url: string, times: number) =>
  Effect.forEach(
    Array.from({ length: times }),
    () => Effect.flatMap(HttpClient.get(url), ({ text }) => text),
    { concurrency: "unbounded" }
  )

describe("beside OpenTelemetry's instrumentation of undici", () => {
  for (
    const [name, stack] of [["Effect's client", (client: HttpClient.HttpClient) => client], [
      "observeAttempts",
      Telemetry.observeAttempts
    ]] as const
  ) {
    it.live(`a request has one client span if Effect exports them, also one that waits for a connection (${name})`, () =>
      Effect.gen(function*() {
        const { clientSpans, effectExports, parents, url } = yield* instrumented
        const client = stack(yield* HttpClient.HttpClient)
        yield* calls(url, 6).pipe(
          Effect.provideService(HttpClient.HttpClient, client),
          Effect.withSpan("caller"),
          Effect.provide(effectExports)
        )
        const spans = clientSpans()
        assert.lengthOf(spans, 6)
        const sent = spans.map((span) => `00-${span.spanContext().traceId}-${span.spanContext().spanId}-01`)
        assert.sameMembers(parents, sent)
      }).pipe(Effect.provide(Connections.layer({ connections: 2 })), Effect.scoped))
  }

  it.live("a request has the instrumentation's span if Effect's spans go nowhere", () =>
    Effect.gen(function*() {
      const { clientSpans, parents, url } = yield* instrumented
      yield* Effect.withSpan(calls(url, 3), "caller")
      const sent = clientSpans().map((span) => `00-${span.spanContext().traceId}-${span.spanContext().spanId}-01`)
      assert.lengthOf(sent, 3)
      assert.sameMembers(parents, sent)
    }).pipe(Effect.provide(Connections.layer()), Effect.scoped))

  it.live("a request that waits behind another has a span by its own rule", () =>
    Effect.gen(function*() {
      const { clientSpans, effectExports, url } = yield* instrumented
      yield* calls(url, 1).pipe(Effect.withSpan("mine"), Effect.provide(effectExports))
      yield* calls(url, 3)
      assert.lengthOf(clientSpans(), 4)
    }).pipe(Effect.provide(Connections.layer({ connections: 1 })), Effect.scoped))

  it.live("what runs after a request, or gives it its body, is instrumented as ever", () =>
    Effect.gen(function*() {
      const { effectExports, exporter, provider, url } = yield* instrumented
      const tracer = provider.getTracer("another library")
      const other = (name: string) => Effect.sync(() => tracer.startSpan(name).end())
      const body = HttpBody.stream(
        Stream.fromEffect(Effect.as(other("in the body"), new Uint8Array(3))),
        "text/plain",
        3
      )
      yield* Effect.gen(function*() {
        for (let i = 0; i < 3; i++) {
          const response = yield* HttpClient.post(url, { body })
          yield* other("after the headers")
          yield* Stream.runForEach(response.stream, () => other("with the response"))
          // The connection is idle now, so the next request begins at once.
          yield* Effect.sleep("5 millis")
        }
      }).pipe(Effect.withSpan("caller"), Effect.provide(effectExports))
      const names = exporter.getFinishedSpans().map(({ name }) => name)
      const count = (name: string) => names.filter((other) => other === name).length
      assert.deepStrictEqual(
        { body: count("in the body"), headers: count("after the headers"), pieces: count("with the response") },
        { body: 3, headers: 3, pieces: 6 }
      )
    }).pipe(Effect.provide(Connections.layer({ connections: 1 })), Effect.scoped))
})
