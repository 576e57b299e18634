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
 * @stability stable
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
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpMethod from "effect/http/HttpMethod"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { addressOf } from "./internal/address.ts"
import { attemptsOf, type ObserveAttempt, type ObserveCall, withinAttempts, withinCall } from "./internal/call.ts"
import { failureOf, reasonTag } from "./internal/failure.ts"
import * as Scrubber from "./internal/scrub/current.ts"
import { Series } from "./internal/series.ts"
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

const makeRequestDuration = (): Metric.Histogram<number> =>
  Metric.histogram("http.client.request.duration", {
    description: "Duration of HTTP client requests",
    attributes: { unit: "s" },
    boundaries: durationBoundaries
  })

const makeCallDuration = (): Metric.Histogram<number> =>
  Metric.histogram("resilience.call.duration", {
    description: "Duration of calls, with all their attempts and waits",
    attributes: { unit: "s" },
    boundaries: durationBoundaries
  })

const makeCallAttempts = (): Metric.Histogram<number> =>
  Metric.histogram("resilience.call.attempts", {
    description: "Requests per call",
    boundaries: [0, 1, 2, 3, 4, 5, 10]
  })

/**
 * The duration of each request. Attributes: `http.request.method`, `server.address`, `server.port`, `url.template`,
 * `http.response.status_code`, and `error.type` if it failed.
 *
 * @category metrics
 * @since 0.1.0
 */
export const requestDuration: Metric.Histogram<number> = /* @__PURE__ */ makeRequestDuration()

const requestDurations = /* @__PURE__ */ new Series(makeRequestDuration)

/**
 * The duration of each call, from its first attempt to what the caller gets. Attributes: `resilience.operation`,
 * `resilience.outcome` (`success`, `failure`, `interrupted`), and `error.type` if it failed.
 *
 * @category metrics
 * @since 0.1.0
 */
export const callDuration: Metric.Histogram<number> = /* @__PURE__ */ makeCallDuration()

const callDurations = /* @__PURE__ */ new Series(makeCallDuration)

/**
 * How many requests a call took; 0 if a policy rejected it. Attribute: `resilience.operation`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const callAttempts: Metric.Histogram<number> = /* @__PURE__ */ makeCallAttempts()

const callAttemptCounts = /* @__PURE__ */ new Series(makeCallAttempts)

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
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const observeAttempts = <E, R>(client: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  withinAttempts(client, observeAttempt)

/**
 * Makes no span for the requests that a client sends, not even Effect's own, which would show the query of the URL. Their `traceparent`
 * names the span around them.
 *
 * @category middleware
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const hideAttempts = <E, R>(client: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  withinAttempts(client, hideAttempt)

const hideAttempt: ObserveAttempt = (_attempt, request, context) => ({
  request: propagate(request, Context.getOrUndefined(context, Tracer.ParentSpan), context),
  context: Context.add(context, HttpClient.TracerDisabledWhen, always),
  onExit: () => undefined
})

const observeAttempt: ObserveAttempt = (attempt, request, context) => {
  const template = attempt.call.operation?.endpoint
  const method = HttpMethod.isHttpMethod(request.method) ? request.method : "_OTHER"
  const spanMethod = method === "_OTHER" ? "HTTP" : method
  const span = makeSpan(context, template === undefined ? spanMethod : `${spanMethod} ${template}`, "client")
  if (span !== undefined) {
    const address = addressOf(request)
    span.attribute("http.request.method", method)
    if (address !== undefined) {
      span.attribute("server.address", address.host)
      span.attribute("server.port", address.port)
      if (span.sampled) span.attribute("url.full", shown(address.url, context))
    }
    if (template !== undefined) span.attribute("url.template", template)
    if (attempt.number > 1) span.attribute("http.request.resend_count", attempt.number - 1)
  }
  const began = attempt.now = Time.nowUnsafe(context)
  return {
    request: propagate(request, span ?? Context.getOrUndefined(context, Tracer.ParentSpan), context),
    context: Context.add(inSpan(context, span), HttpClient.TracerDisabledWhen, always),
    onExit: (exit) => {
      const status = statusOf(exit)
      const failure = errorType(exit, status)
      if (span !== undefined) {
        if (status !== undefined) span.attribute("http.response.status_code", status)
        if (failure !== undefined) span.attribute("error.type", failure)
        end(span, exit, failure, context)
      }
      requestDurations.update(
        (Time.nowUnsafe(context) - began) / 1_000,
        context,
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
  }
}

/**
 * How many attempts the call around it has begun so far, with replays after a login and with hedges, as its log line and its span count
 * them. It is 0 outside of a call, and where neither `observeAttempts` nor `AccessLog.logAttempts` looks on.
 *
 * @category observing
 * @since 0.1.0
 */
export const attempts: Effect.Effect<number> = /* @__PURE__ */ Effect.withFiber(({ context }) =>
  Effect.succeed(attemptsOf(context))
)

/**
 * Makes a span for a whole call, and counts the call, its attempts, its retries and its rejections. Inside another `observeCall` of
 * the same operation it adds nothing: that one has the whole call.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observeCall = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  withinCall(self, observeOneCall)

const observeOneCall: ObserveCall = (call, context) => {
  if (call.observed) return undefined
  const name = call.operation?.name ?? "unnamed"
  const span = makeSpan(context, call.operation?.name ?? "call", "internal")
  span?.attribute("resilience.operation", name)
  const outer = Context.get(context, RetryEvent.CurrentObserver)
  const observer: RetryEvent.Observer = (event) => {
    countRetry(name, event, context)
    return outer === undefined ? Effect.void : outer(event)
  }
  call.observed = true
  const began = Time.nowUnsafe(context)
  return {
    context: Context.add(inSpan(context, span), RetryEvent.CurrentObserver, observer),
    onExit: (exit) => {
      call.observed = false
      const failure = errorType(exit, undefined)
      if (span !== undefined) {
        span.attribute("resilience.attempts", call.attempts)
        if (failure !== undefined) span.attribute("error.type", failure)
        end(span, exit, failure, context)
      }
      const outcome = failure === undefined ? "success" : failure === "Interrupted" ? "interrupted" : "failure"
      callDurations.update(
        (Time.nowUnsafe(context) - began) / 1_000,
        context,
        () => ({
          "resilience.operation": name,
          "resilience.outcome": outcome,
          ...(failure !== undefined && { "error.type": failure })
        }),
        name,
        failure
      )
      callAttemptCounts.update(call.attempts, context, () => ({ "resilience.operation": name }), name)
      if (outcome === "failure" && call.attempts === 0) {
        Metric.withAttributes(rejections, {
          "resilience.operation": name,
          "resilience.reason": reasonTag(exit) ?? "unknown"
        }).updateUnsafe(1, context)
      }
      return undefined
    }
  }
}

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

// At once, since an interruption may come between any two steps. The tracer that is there without one of the program's exports nothing.
const makeSpan = (context: AnyContext, name: string, kind: Tracer.SpanKind): Tracer.Span | undefined => {
  if (Context.get(context, Tracer.Tracer) === Tracer.nativeTracer || !Context.get(context, References.TracerEnabled)) {
    return undefined
  }
  return Effect.runSyncWith(context)(Effect.makeSpan(name, { kind }))
}

type AnyContext = Context.Context<never>

/** The failure in a span, if the error itself was not made for logs. */
class Hidden extends Data.Error<{ readonly name: string; readonly message: string }> {}

const end = (span: Tracer.Span, exit: Exit.Exit<unknown, unknown>, failure: string | undefined, context: AnyContext) =>
  span.end(Context.get(context, Clock.Clock).currentTimeNanosUnsafe(), presentable(exit, failure))

// Exporters print the whole cause, so only an error that was made for logs may reach them.
const presentable = (exit: Exit.Exit<unknown, unknown>, failure: string | undefined): Exit.Exit<unknown, unknown> => {
  if (failure === undefined || Exit.isSuccess(exit)) return Exit.void
  if (failure === "Interrupted") return Exit.failCause(Cause.interrupt())
  const error = failureOf(exit)
  return Recovery.isRecoverable(error) ? Exit.fail(error) : Exit.fail(new Hidden({ name: failure, message: failure }))
}

const statusOf = (exit: Exit.Exit<unknown, unknown>): number | undefined => {
  // What an attempt yields.
  if (Exit.isSuccess(exit)) return (exit.value as HttpClientResponse.HttpClientResponse).status
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

const inSpan = (context: AnyContext, span: Tracer.Span | undefined): AnyContext =>
  span === undefined ? context : Context.add(context, Tracer.ParentSpan, span)

const propagate = (
  request: HttpClientRequest.HttpClientRequest,
  span: Tracer.AnySpan | undefined,
  context: AnyContext
): HttpClientRequest.HttpClientRequest =>
  span !== undefined && Context.get(context, HttpClient.TracerPropagationEnabled) &&
    Context.get(context, References.TracerEnabled) &&
    span.spanId !== "noop"
    ? HttpClientRequest.setHeader(
      request,
      "traceparent",
      `00-${span.traceId.padStart(32, "0")}-${span.spanId}-${span.sampled ? "01" : "00"}`
    )
    : request

const shown = (url: URL, context: AnyContext): string =>
  Context.get(context, Scrubber.Current).scrub(Redaction.url(Context.get(context, Redaction.Current), url))

// What stands before the path. It has the host and the port, as they were written: parsing costs more than all else here.
const authorityOf = (url: string): string => {
  const path = url.indexOf("/", "https://".length)
  return path === -1 ? url : url.slice(0, path)
}

const always = () => true
