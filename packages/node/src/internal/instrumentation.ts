import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import * as Tracer from "effect/Tracer"
import { channel } from "node:diagnostics_channel"

const created = channel("undici:request:create")

/**
 * Whether something listens to the requests of undici, such as OpenTelemetry's instrumentation. It adds its own trace headers to
 * those of Effect, and a server that gets two believes neither. So of each header the last one stays.
 */
export const isInstrumented = (): boolean => {
  if (!created.hasSubscribers) return false
  // Anew each time: it must listen after all others, and not when there are none.
  created.unsubscribe(keepLastTraceHeaders)
  if (!created.hasSubscribers) return false
  created.subscribe(keepLastTraceHeaders)
  return true
}

const keepLastTraceHeaders = (message: unknown): void => {
  const headers = Predicate.hasProperty(message, "request") && Predicate.hasProperty(message.request, "headers")
    ? message.request.headers
    : undefined
  if (!Array.isArray(headers)) return
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    if (traceHeaders.has(headers[i]) && named(headers, headers[i], i + 2)) headers.splice(i, 2)
  }
}

const traceHeaders: ReadonlySet<unknown> = new Set(["traceparent", "tracestate", "b3"])

const named = (headers: ReadonlyArray<unknown>, name: unknown, from: number): boolean => {
  for (let i = from; i < headers.length; i += 2) if (headers[i] === name) return true
  return false
}

/**
 * Whether this program has a span for the request of a fiber, and a tracer that takes it somewhere. Effect's own tracer only
 * keeps it in memory.
 */
export const ownsTrace = (fiber: Fiber.Fiber<unknown, unknown>): boolean => {
  const span = Context.getOrUndefined(fiber.context, Tracer.ParentSpan)
  return span?._tag === "Span" && span.kind === "client" && span.spanId !== "noop" &&
    fiber.getRef(Tracer.Tracer) !== Tracer.nativeTracer
}

/** Keeps OpenTelemetry's instrumentations from making spans of what runs, as its exporters do. */
export const withoutSpans = <A>(run: () => A): A => {
  const api: unknown = Reflect.get(globalThis, Symbol.for("opentelemetry.js.api.1"))
  const manager = Predicate.hasProperty(api, "context") ? api.context : undefined
  if (!isContextManager(manager)) return run()
  return manager.with(manager.active().setValue(suppressTracing, true), run)
}

// The key of `suppressTracing` in @opentelemetry/core. Keys are symbols of the global registry.
const suppressTracing = Symbol.for("OpenTelemetry SDK Context Key SUPPRESS_TRACING")

interface ContextManager {
  active(): { setValue(key: symbol, value: unknown): unknown }
  with<A>(context: unknown, run: () => A): A
}

const isContextManager = (u: unknown): u is ContextManager =>
  Predicate.hasProperty(u, "active") && Predicate.hasProperty(u, "with")
