/**
 * A tracer that keeps its spans, for tests of what a program traces.
 *
 * **Example** (The names of spans)
 *
 * ```ts import.meta.vitest
 * import { SpanRecorder } from "@effect-resilience/chaos"
 * import { Effect } from "effect"
 *
 * const recorder = SpanRecorder.make()
 * Effect.runSync(Effect.withSpan(Effect.void, "load").pipe(recorder.record))
 * recorder.spans.map(({ name }) => name) // => ["load"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Tracer from "effect/Tracer"

/**
 * A tracer that remembers its spans, for tests.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpanRecorder {
  /** Provides the recording: `Effect.withTracer`. */
  readonly tracer: Tracer.Tracer
  /** In the order in which they began. */
  readonly spans: ReadonlyArray<Tracer.NativeSpan>
  /** Those that have ended, in the order in which they ended. */
  readonly ended: ReadonlyArray<Tracer.NativeSpan>
  /** Runs an effect with the tracer. */
  readonly record: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/**
 * Creates a recorder without spans.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): SpanRecorder => {
  const spans: Array<Tracer.NativeSpan> = []
  const ended: Array<Tracer.NativeSpan> = []
  class Recorded extends Tracer.NativeSpan {
    override end(time: bigint, exit: Exit.Exit<unknown, unknown>): void {
      super.end(time, exit)
      ended.push(this)
    }
  }
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Recorded(options)
      spans.push(span)
      return span
    }
  })
  return { tracer, spans, ended, record: Effect.withTracer(tracer) }
}
