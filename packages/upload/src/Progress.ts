/**
 * How far an upload is, folded from its events.
 *
 * **Details**
 *
 * `step` folds events into a state that never goes back: an attempt that starts over shows progress again when it
 * overtakes the previous one. Only the server's response takes `fraction` to 1.
 *
 * **Example** (All bytes sent is not done)
 *
 * ```ts import.meta.vitest
 * import { Progress } from "@effect-resilience/upload"
 *
 * const sending = Progress.step(Progress.initial, { _tag: "Started", source: "gl.csv", size: 200 })
 * const half = Progress.step(sending, { _tag: "Sending", bytes: 100, size: 200 })
 * const sent = Progress.step(half, { _tag: "Sending", bytes: 200, size: 200 })
 * Progress.fraction(half) // => 0.5
 * Progress.fraction(sent) // => 0.99
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Uploader from "./Uploader.ts"

/**
 * How far an upload is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Progress {
  /**
   * What it does: `opening` the source, `sending` bytes, `awaiting` the response, `waiting` for the next attempt, or `done`.
   */
  readonly phase: "opening" | "sending" | "awaiting" | "waiting" | "done"
  /** Of the source, sent by the attempt that came furthest. */
  readonly bytes: number
  /** Of the source, in bytes; `undefined` if it is not known. */
  readonly size: number | undefined
  /** 1 for the first; 0 before it. */
  readonly attempt: number
}

/**
 * Nothing has happened yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: Progress = { phase: "opening", bytes: 0, size: undefined, attempt: 0 }

/**
 * The progress after one more event.
 *
 * @category folding
 * @since 0.1.0
 */
export const step = (self: Progress, event: Uploader.Event): Progress => {
  switch (event._tag) {
    case "Started":
      return { ...self, size: event.size }
    case "Attempting":
      return { ...self, phase: "sending", attempt: event.attempt }
    case "Sending":
      return { ...self, phase: "sending", bytes: Math.max(self.bytes, event.bytes), size: event.size }
    case "AwaitingResponse":
      return { ...self, phase: "awaiting" }
    case "Retrying":
      return { ...self, phase: "waiting" }
    case "Done":
      return { ...self, phase: "done", bytes: event.report.bytes, size: event.report.bytes }
  }
}

/**
 * The share that is done, from 0 to 1: at most 0.99 before the response, and 0 for a source of unknown size.
 *
 * @category accessors
 * @since 0.1.0
 */
export const fraction = (self: Progress): number => {
  if (self.phase === "done") return 1
  if (self.size === undefined || self.size === 0) return 0
  return Math.min(self.bytes / self.size, 0.99)
}
