/**
 * What a suite is: cases, each with the subjects that are compared.
 *
 * **Adding a suite**
 *
 * Put `NAME.ts` into `src/suites`, default-export a `Suite`, and name the file in `src/suites/index.ts`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

/**
 * Does `calls` calls, one after another or at once, as the case says.
 *
 * @category models
 * @since 0.1.0
 */
export type Subject = (calls: number) => PromiseLike<unknown>

/**
 * What rows count, in one process: CPU time a call, time on the clock a call; in processes of their own: CPU seconds,
 * seconds on the clock, peak memory, and the milliseconds by which the event loop is late, of a hundred times the latest but one.
 *
 * @category models
 * @since 0.1.0
 */
export type Unit = "ns/call" | "ns/call on the clock" | "s" | "s on the clock" | "MB" | "ms late"

/**
 * - `ours`: the subject whose ratios to the others are judged.
 * - `atMost`: for each other subject the highest ratio of medians that is good enough.
 * - `moreAtMost`: likewise the highest difference of medians, in the unit of the case.
 * - `megabytesAtMost`: the highest peak memory of `ours`; `atMost` then judges time only.
 * - `nanosAtMost`: the highest median of `ours`, in nanoseconds a call.
 * - `clockSecondsAtMost`: the highest median of `ours`, in seconds on the clock.
 * - `secondsAtMost`: for each subject the highest median, in CPU seconds.
 * - `batch`: how many calls a run makes, where that is part of the case; otherwise as many as fill a round.
 * - `apart`: each run in a process of its own, measured by CPU time and peak memory, for runs too large to interleave.
 * - `prepare`: for a subject, what is done before each run of it that is `apart`, and not measured.
 * - `units`: what is reported; default CPU time a call, of runs in processes of their own CPU seconds and peak memory.
 * - `rounds`: how many rounds at most, where a run takes too long for more.
 * - `longer`: how many times longer than usual a run is, where it would otherwise pay for much of the garbage of the subject before it.
 * - `collects`: whether that garbage is collected before each run, which is not measured. The run then begins with a small heap.
 *
 * @category models
 * @since 0.1.0
 */
export interface Case {
  readonly name: string
  readonly ours: string
  readonly subjects: { readonly [name: string]: Subject }
  readonly atMost?: { readonly [name: string]: number }
  readonly moreAtMost?: { readonly [name: string]: number }
  readonly megabytesAtMost?: number
  readonly nanosAtMost?: number
  readonly clockSecondsAtMost?: number
  readonly secondsAtMost?: { readonly [name: string]: number }
  readonly batch?: number
  readonly apart?: boolean
  readonly prepare?: { readonly [name: string]: () => PromiseLike<unknown> }
  readonly units?: ReadonlyArray<Unit>
  readonly rounds?: number
  readonly longer?: number
  readonly collects?: boolean
}

/**
 * - `packages`: whose versions the results state.
 *
 * @category models
 * @since 0.1.0
 */
export interface Suite {
  readonly name: string
  readonly packages: ReadonlyArray<string>
  readonly cases: ReadonlyArray<Case>
}

/**
 * Runs an effect again and again in one fiber. `body` builds it for each call, as a program does.
 *
 * @category subjects
 * @since 0.1.0
 */
export const effects = (body: () => Effect.Effect<unknown, unknown>): Subject => (calls) =>
  Effect.runPromise(repeated(body, calls))

/**
 * The loop of `effects`, for a case that has to wrap it.
 *
 * @category subjects
 * @since 0.1.0
 */
export const repeated = (body: () => Effect.Effect<unknown, unknown>, calls: number): Effect.Effect<void, unknown> =>
  Effect.suspend(() => {
    let done = 0
    return Effect.whileLoop({ while: () => done < calls, body: () => body(), step: () => done++ })
  })

/**
 * Runs an effect many times at once, each in its own fiber.
 *
 * @category subjects
 * @since 0.1.0
 */
export const effectsAtOnce = (body: () => Effect.Effect<unknown, unknown>): Subject => (calls) =>
  Effect.runPromise(
    Effect.forEach(Array.from({ length: calls }), () => Effect.exit(body()), {
      concurrency: "unbounded",
      discard: true
    })
  )

/**
 * Awaits a promise again and again.
 *
 * @category subjects
 * @since 0.1.0
 */
export const promises = (body: () => PromiseLike<unknown>): Subject => async (calls) => {
  for (let done = 0; done < calls; done++) await body()
}

/**
 * Awaits many promises at once.
 *
 * @category subjects
 * @since 0.1.0
 */
export const promisesAtOnce = (body: () => PromiseLike<unknown>): Subject => (calls) =>
  Promise.allSettled(Array.from({ length: calls }, () => body()))
