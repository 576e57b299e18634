import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"

/** Counts faults that were injected, by `fault` and `kind`. */
export const faults = /* @__PURE__ */ Metric.counter("chaos.faults", {
  description: "Faults that were injected.",
  incremental: true
})

/** Marks a fault in the current span, the log and the metrics, so that it is not taken for a real one. */
export const mark = (
  fault: { readonly name: string; readonly kind: string },
  details: Readonly<Record<string, string | number>>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const attributes = { "chaos.fault": fault.name, "chaos.kind": fault.kind, ...details }
    const span = yield* Effect.option(Effect.currentSpan)
    if (Option.isSome(span)) {
      const now = yield* Clock.currentTimeNanos
      span.value.attribute("chaos.fault", fault.name)
      span.value.event("chaos.fault", now, attributes)
    }
    yield* Metric.update(Metric.withAttributes(faults, { fault: fault.name, kind: fault.kind }), 1)
    yield* Effect.annotateLogs(Effect.logInfo("A fault was injected"), attributes)
  })
