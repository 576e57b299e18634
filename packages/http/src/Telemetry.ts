/**
 * Spans and metrics by OpenTelemetry's conventions for HTTP clients (1.44).
 *
 * **Details**
 *
 * `observeCall` makes one span for a call and counts it. `observeAttempts` makes one client span for each request, records
 * how often the request had been sent before (`http.request.resend_count`: absent, 1, 2 …), names the endpoint by its
 * template (`url.template`) and propagates the trace (`traceparent`). Both take their names from `Operation`, so that a
 * thousand tables make one series.
 *
 * Durations are histograms in seconds with buckets from 5 millis to 10 minutes, fit for a look-up and for an upload.
 * Effect's own layers decide where they go: `Otlp.layerJson`, `PrometheusMetrics.layerHttp`.
 *
 * Without a tracer, which is what exports spans, no spans are made, since none would be exported. The trace of a surrounding span is
 * propagated all the same.
 *
 * **Gotchas**
 *
 * `observeAttempts` belongs around `ErrorMapping`, inside retries. It replaces the client span that Effect's `HttpClient`
 * makes itself. That span knows neither attempt nor template, and its exception event can contain a raw URL.
 *
 * Spans contain addresses without user info, fragment and query values that `Redaction` does not allow, scrubbed of
 * registered secrets. Errors that carry no `Recovery` appear by their tag only.
 *
 * **Example** (How often a request was sent)
 *
 * ```ts import.meta.vitest
 * import { ErrorMapping, Operation, Telemetry } from "@effect-resilience/http"
 * import { Backoff, RetryPolicy } from "@effect-resilience/retry"
 * import { Effect, Metric } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * let requests = 0
 * const flaky = HttpClient.make((request) =>
 *   Effect.sync(() =>
 *     HttpClientResponse.fromWeb(request, new Response(null, { status: ++requests < 3 ? 503 : 200 }))
 *   )
 * )
 * const client = flaky.pipe(
 *   ErrorMapping.mapErrors(),
 *   Telemetry.observeAttempts,
 *   HttpClient.transformResponse(RetryPolicy.retry(RetryPolicy.make({ backoff: Backoff.immediate }))),
 *   HttpClient.transformResponse(Telemetry.observeCall)
 * )
 *
 * const program = client.get("https://api.example.com/tables/GL").pipe(
 *   Operation.within({ name: "read table", endpoint: "/tables/{table}" }),
 *   Effect.andThen(Metric.snapshot),
 *   Effect.map((series) =>
 *     series.filter(({ id }) => id === "http.client.request.duration").map(({ attributes }) => attributes?.["error.type"])
 *   ),
 *   Effect.provideService(Metric.MetricRegistry, new Map())
 * )
 * await Effect.runPromise(program) // => ["503", undefined]
 * ```
 *
 * @since 0.1.0
 */
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Time from "@effect-resilience/kernel/Time"
import * as RetryEvent from "@effect-resilience/retry/RetryEvent"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { addressOf } from "./internal/address.ts"
import { withinAttempt, withinCall } from "./internal/call.ts"
import { failureOf, reasonTag } from "./internal/failure.ts"
import * as Scrubber from "./internal/scrub/current.ts"
import { Series } from "./internal/series.ts"
import * as Operation from "./Operation.ts"
import * as Redaction from "./Redaction.ts"

/**
 * The upper bounds of the buckets of durations, in seconds: those that OpenTelemetry advises for HTTP, and more up to 10
 * minutes, for uploads.
 *
 * @category constants
 * @since 0.1.0
 */
export const durationBoundaries: ReadonlyArray<number> = [
  0.005,
  0.01,
  0.025,
  0.05,
  0.075,
  0.1,
  0.25,
  0.5,
  0.75,
  1,
  2.5,
  5,
  7.5,
  10,
  30,
  60,
  120,
  300,
  600
]

const seriesOf = (metric: Metric.Metric<number, unknown>): Series =>
  new Series((attributes) => Metric.withAttributes(metric, attributes))

/**
 * The duration of each request. Attributes: `http.request.method`, `server.address`, `server.port`, `url.template`,
 * `http.response.status_code`, and `error.type` if it failed.
 *
 * @category metrics
 * @since 0.1.0
 */
export const requestDuration: Metric.Histogram<number> = /* @__PURE__ */ Metric.histogram(
  "http.client.request.duration",
  {
    description: "Duration of HTTP client requests",
    attributes: { unit: "s" },
    boundaries: durationBoundaries
  }
)

const requestDurations = /* @__PURE__ */ seriesOf(requestDuration)

/**
 * The duration of each call, from its first attempt to what the caller gets. Attributes: `resilience.operation`,
 * `resilience.outcome` (`success`, `failure`, `interrupted`), and `error.type` if it failed.
 *
 * @category metrics
 * @since 0.1.0
 */
export const callDuration: Metric.Histogram<number> = /* @__PURE__ */ Metric.histogram("resilience.call.duration", {
  description: "Duration of calls, with all their attempts and waits",
  attributes: { unit: "s" },
  boundaries: durationBoundaries
})

const callDurations = /* @__PURE__ */ seriesOf(callDuration)

/**
 * How many requests a call took; 0 if a policy rejected it. Attribute: `resilience.operation`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const callAttempts: Metric.Histogram<number> = /* @__PURE__ */ Metric.histogram("resilience.call.attempts", {
  description: "Requests per call",
  boundaries: [0, 1, 2, 3, 4, 5, 10]
})

const callAttemptCounts = /* @__PURE__ */ seriesOf(callAttempts)

/**
 * Retries. Attributes: `resilience.operation` and `error.type`, that of the previous failure.
 *
 * @category metrics
 * @since 0.1.0
 */
export const retries: Metric.Counter<number> = /* @__PURE__ */ Metric.counter("resilience.retries", {
  description: "Attempts after the first",
  incremental: true
})

/**
 * Failures after which a retry did not try again. Attributes: `resilience.operation` and `resilience.reason`, for example
 * `TimesUsedUp` or `BudgetExhausted`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const retriesStopped: Metric.Counter<number> = /* @__PURE__ */ Metric.counter("resilience.retries.stopped", {
  description: "Failures that were not tried again",
  incremental: true
})

/**
 * Calls that ended without a request, since a policy rejected them. Attributes: `resilience.operation` and
 * `resilience.reason`, the tag of the rejection.
 *
 * @category metrics
 * @since 0.1.0
 */
export const rejections: Metric.Counter<number> = /* @__PURE__ */ Metric.counter("resilience.rejections", {
  description: "Calls that a policy rejected before anything was sent",
  incremental: true
})

/**
 * Makes a client span for each request that a client sends, and measures it.
 *
 * @category middleware
 * @since 0.1.0
 */
export const observeAttempts = <E, R>(client: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  HttpClient.makeWith<E, R, E, R>(
    Effect.flatMap((request) =>
      withinAttempt((attempt, fiber) => {
        const template = fiber.getRef(Operation.Current)?.endpoint
        const method = knownMethods.has(request.method) ? request.method : "_OTHER"
        const spanMethod = method === "_OTHER" ? "HTTP" : method
        let span: Tracer.Span | undefined
        let began: number | undefined
        const begin = (made: Tracer.Span | undefined) => {
          const { context } = fiber
          if (made !== undefined) {
            const address = addressOf(request)
            made.attribute("http.request.method", method)
            if (address !== undefined) {
              made.attribute("server.address", address.host)
              made.attribute("server.port", address.port)
              if (made.sampled) made.attribute("url.full", shown(address.url, fiber))
            }
            if (template !== undefined) made.attribute("url.template", template)
            if (attempt.number > 1) made.attribute("http.request.resend_count", attempt.number - 1)
          }
          span = made
          const sent = propagate(request, made ?? Context.getOrUndefined(context, Tracer.ParentSpan), fiber)
          fiber.setContext(Context.add(inSpan(context, made), HttpClient.TracerDisabledWhen, always))
          began = Time.nowUnsafe(context)
          return client.postprocess(Effect.succeed(sent))
        }
        const finish = (exit: Exit.Exit<HttpClientResponse.HttpClientResponse, E>) => {
          if (began === undefined) return undefined
          const status = statusOf(exit)
          const failure = errorType(exit, status)
          if (span !== undefined) {
            if (status !== undefined) span.attribute("http.response.status_code", status)
            if (failure !== undefined) span.attribute("error.type", failure)
            end(span, exit, failure, fiber)
          }
          requestDurations.update(
            (Time.nowUnsafe(fiber.context) - began) / 1_000,
            fiber.context,
            () => {
              const address = addressOf(request)
              return {
                "http.request.method": method,
                ...(address !== undefined &&
                  { "server.address": address.host, "server.port": String(address.port) }),
                ...(template !== undefined && { "url.template": template }),
                ...(status !== undefined && { "http.response.status_code": String(status) }),
                ...(failure !== undefined && { "error.type": failure })
              }
            },
            template ?? "",
            authorityOf(request.url),
            method,
            status,
            failure
          )
          return undefined
        }
        if (!isTraced(fiber)) return { run: Effect.suspend(() => begin(undefined)), onExit: finish }
        const run = withinSpan(
          template === undefined ? spanMethod : `${spanMethod} ${template}`,
          "client",
          begin,
          finish
        )
        return { run, onExit: nothing }
      })
    ),
    client.preprocess
  )

/**
 * Makes a span for a whole call, and counts the call, its attempts, its retries and its rejections. Inside another `observeCall` of
 * the same operation it adds nothing: that one has the whole call.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observeCall = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  withinCall((call, fiber) => {
    if (call.observed) return { run: self, onExit: nothing }
    const name = call.operation?.name ?? "unnamed"
    let span: Tracer.Span | undefined
    let began: number | undefined
    const begin = (made: Tracer.Span | undefined) => {
      span = made
      span?.attribute("resilience.operation", name)
      const outer = fiber.getRef(RetryEvent.CurrentObserver)
      const observer: RetryEvent.Observer = (event) => {
        countRetry(name, event, fiber.context)
        return outer === undefined ? Effect.void : outer(event)
      }
      call.observed = true
      fiber.setContext(Context.add(inSpan(fiber.context, made), RetryEvent.CurrentObserver, observer))
      began = Time.nowUnsafe(fiber.context)
      return self
    }
    const finish = (exit: Exit.Exit<A, E>) => {
      call.observed = false
      if (began === undefined) return undefined
      const failure = errorType(exit, undefined)
      if (span !== undefined) {
        span.attribute("resilience.attempts", call.attempts)
        if (failure !== undefined) span.attribute("error.type", failure)
        end(span, exit, failure, fiber)
      }
      const outcome = failure === undefined ? "success" : failure === "Interrupted" ? "interrupted" : "failure"
      callDurations.update(
        (Time.nowUnsafe(fiber.context) - began) / 1_000,
        fiber.context,
        () => ({
          "resilience.operation": name,
          "resilience.outcome": outcome,
          ...(failure !== undefined && { "error.type": failure })
        }),
        name,
        failure
      )
      callAttemptCounts.update(call.attempts, fiber.context, () => ({ "resilience.operation": name }), name)
      if (outcome === "failure" && call.attempts === 0) {
        Metric.withAttributes(rejections, {
          "resilience.operation": name,
          "resilience.reason": reasonTag(exit) ?? "unknown"
        }).updateUnsafe(1, fiber.context)
      }
      return undefined
    }
    if (!isTraced(fiber)) return { run: Effect.suspend(() => begin(undefined)), onExit: finish }
    return { run: withinSpan(call.operation?.name ?? "call", "internal", begin, finish), onExit: nothing }
  })

const countRetry = (name: string, event: RetryEvent.RetryEvent, context: Context.Context<never>): void =>
  event._tag === "Retrying"
    ? Metric.withAttributes(retries, {
      "resilience.operation": name,
      "error.type": typeOf(event.error, undefined)
    }).updateUnsafe(1, context)
    : Metric.withAttributes(retriesStopped, {
      "resilience.operation": name,
      "resilience.reason": event.why._tag
    }).updateUnsafe(1, context)

// An interruption may come between any two steps. `useSpan` makes a span and enters it in one, and ends it where `finish` does not.
const withinSpan = <A, E, R>(
  name: string,
  kind: Tracer.SpanKind,
  begin: (span: Tracer.Span) => Effect.Effect<A, E, R>,
  finish: (exit: Exit.Exit<A, E>) => undefined
): Effect.Effect<A, E, R> => Effect.useSpan(name, { kind }, (span) => Effect.onExitPrimitive(begin(span), finish))

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** The failure in a span, if the error itself was not made for logs. */
class Hidden extends Data.Error<{ readonly name: string; readonly message: string }> {}

const end = (span: Tracer.Span, exit: Exit.Exit<unknown, unknown>, failure: string | undefined, fiber: AnyFiber) =>
  span.end(fiber.getRef(Clock.Clock).currentTimeNanosUnsafe(), presentable(exit, failure))

// Exporters print the whole cause, so only an error that was made for logs may reach them.
const presentable = (exit: Exit.Exit<unknown, unknown>, failure: string | undefined): Exit.Exit<unknown, unknown> => {
  if (failure === undefined || Exit.isSuccess(exit)) return Exit.void
  if (failure === "Interrupted") return Exit.failCause(Cause.interrupt())
  const error = failureOf(exit)
  return Recovery.isRecoverable(error) ? Exit.fail(error) : Exit.fail(new Hidden({ name: failure, message: failure }))
}

const statusOf = (exit: Exit.Exit<HttpClientResponse.HttpClientResponse, unknown>): number | undefined => {
  if (Exit.isSuccess(exit)) return exit.value.status
  const error = failureOf(exit)
  return error instanceof ApiError.ApiError ? ApiError.statusOf(error.reason) : undefined
}

/** By OpenTelemetry: the status if there is one, otherwise a code of few values; `undefined` for a success. */
const errorType = (exit: Exit.Exit<unknown, unknown>, status: number | undefined): string | undefined => {
  if (Exit.isSuccess(exit)) return status !== undefined && status >= 400 ? String(status) : undefined
  const error = failureOf(exit)
  return error === undefined ? reasonTag(exit) : typeOf(error, exit)
}

const typeOf = (error: unknown, exit: Exit.Exit<unknown, unknown> = Exit.fail(error)): string => {
  if (error instanceof ApiError.ApiError) {
    const reason = ApiError.observed(error.reason)
    if (reason._tag === "TransportFailure") return reason.code ?? reason.kind
    if ("status" in reason && (reason.status < 200 || reason.status > 299)) return String(reason.status)
  }
  return reasonTag(exit) ?? "unknown"
}

// The tracer that is there without one of the program's exports nothing.
const isTraced = (fiber: AnyFiber): boolean =>
  fiber.getRef(Tracer.Tracer) !== Tracer.nativeTracer && fiber.getRef(References.TracerEnabled)

const inSpan = <R>(context: Context.Context<R>, span: Tracer.Span | undefined): Context.Context<R> =>
  span === undefined ? context : Context.add(context, Tracer.ParentSpan, span)

const propagate = (
  request: HttpClientRequest.HttpClientRequest,
  span: Tracer.AnySpan | undefined,
  fiber: AnyFiber
): HttpClientRequest.HttpClientRequest =>
  span !== undefined && fiber.getRef(HttpClient.TracerPropagationEnabled) && fiber.getRef(References.TracerEnabled) &&
    span.spanId !== "noop"
    ? HttpClientRequest.setHeader(
      request,
      "traceparent",
      `00-${span.traceId.padStart(32, "0")}-${span.spanId}-${span.sampled ? "01" : "00"}`
    )
    : request

const shown = (url: URL, fiber: AnyFiber): string =>
  fiber.getRef(Scrubber.Current).scrub(Redaction.url(fiber.getRef(Redaction.Current), url))

// What stands before the path. It has the host and the port, as they were written: parsing costs more than all else here.
const authorityOf = (url: string): string => {
  const path = url.indexOf("/", "https://".length)
  return path === -1 ? url : url.slice(0, path)
}

const always = () => true
const nothing = () => undefined

const knownMethods: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "CONNECT",
  "DELETE",
  "GET",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "POST",
  "PUT",
  "QUERY",
  "TRACE"
])
