import * as Predicate from "effect/Predicate"
import { channel } from "node:diagnostics_channel"

const created = channel("undici:request:create")

let listening = false

/**
 * Keeps one of each trace header. An instrumentation of undici adds its own to those of Effect, and a server that gets two
 * believes neither. The instrumentation's span is nearer to the wire, so its headers stay.
 */
export const singleTraceHeaders = (): void => {
  // It must listen after the instrumentation, and only if there is one.
  if (listening || !created.hasSubscribers) return
  listening = true
  created.subscribe((message) => {
    const headers = Predicate.hasProperty(message, "request") && Predicate.hasProperty(message.request, "headers")
      ? message.request.headers
      : undefined
    if (!Array.isArray(headers)) return
    for (let i = headers.length - 2; i >= 0; i -= 2) {
      if (traceHeaders.has(headers[i]) && named(headers, headers[i], i + 2)) headers.splice(i, 2)
    }
  })
}

const traceHeaders: ReadonlySet<unknown> = new Set(["traceparent", "tracestate", "b3"])

const named = (headers: ReadonlyArray<unknown>, name: unknown, from: number): boolean => {
  for (let i = from; i < headers.length; i += 2) if (headers[i] === name) return true
  return false
}
