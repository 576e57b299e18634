/**
 * Uploads many items: so many at once, at such a pace, and never two to the same place.
 *
 * **Details**
 *
 * - Items with the same key (`UploadTarget.key`) run one after the other, in the order of the manifest.
 * - An item that waits for its key occupies no place: others overtake it.
 * - A failure that names a time to wait (429 or 503 with `Retry-After`) holds back every attempt of the batch, not only
 *   its own; a 429 without a time does so for as long as its own retry waits. They resume one after the other.
 * - An item's failure is its own result. Only defects and interruption end the batch.
 * - Items are read as they are needed: at most 1,000 ahead of those that are done. What a journal holds as uploaded is
 *   passed over, 100,000 items at most, and made sure of behind the sends.
 *
 * **Example** (One bad item stops nobody)
 *
 * ```ts import.meta.vitest
 * import { Batch, UploadSource, type UploadTarget } from "@effect-resilience/upload"
 * import { Effect, Stream } from "effect"
 *
 * const shelf: UploadTarget.UploadTarget<string, string, "rejected"> = {
 *   method: "PUT",
 *   operation: () => ({ name: "put", endpoint: "/shelf/{name}" }),
 *   source: (name) => UploadSource.bytes(name, `content of ${name}`),
 *   key: (name) => name,
 *   digests: [],
 *   send: (name, payload) =>
 *     name === "bad" ? Effect.fail("rejected") : Effect.as(Stream.runDrain(payload.stream), { receipt: name })
 * }
 *
 * const summary = await Effect.runPromise(Batch.run(shelf, ["a", "bad", "b"]))
 * summary.results.map((result) => result._tag) // => ["Uploaded", "Failed", "Uploaded"]
 * summary.totals.bytes // => 24
 * ```
 *
 * @since 0.1.0
 */
import * as Operation from "@effect-resilience/http/Operation"
import * as Arr from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { findEach } from "./internal/findEach.ts"
import * as Schedule from "./internal/schedule.ts"
import * as Journal from "./Journal.ts"
import type * as Progress from "./Progress.ts"
import * as Uploader from "./Uploader.ts"
import type * as UploadTarget from "./UploadTarget.ts"

/**
 * - `Uploaded`: confirmed by the server.
 * - `Failed`: with the last failure, after so many attempts; `RetryPolicy.history` tells the failures before.
 * - `Abandoned`: interrupted by a stop while it ran. `outcomeUnknown` where it is not idempotent and may have been
 *   applied.
 * - `Skipped`: by the word of a journal.
 * - `NotStarted`: left over when the batch stopped.
 *
 * `index` is the item's place in the manifest, from 0.
 *
 * @category models
 * @since 0.1.0
 */
export type Result<Item, Receipt, E> =
  | {
    readonly _tag: "Uploaded"
    readonly index: number
    readonly item: Item
    readonly report: Uploader.Report<Receipt>
  }
  | {
    readonly _tag: "Failed"
    readonly index: number
    readonly item: Item
    readonly error: E
    readonly attempts: number
  }
  | { readonly _tag: "Abandoned"; readonly index: number; readonly item: Item; readonly outcomeUnknown: boolean }
  | { readonly _tag: "Skipped"; readonly index: number; readonly item: Item; readonly entry: Journal.Entry }
  | { readonly _tag: "NotStarted"; readonly index: number; readonly item: Item }

/**
 * The results in the order of the manifest, and what they add up to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Summary<Item, Receipt, E> {
  readonly results: ReadonlyArray<Result<Item, Receipt, E>>
  readonly totals: {
    readonly uploaded: number
    readonly failed: number
    readonly abandoned: number
    readonly skipped: number
    readonly notStarted: number
    readonly attempts: number
    readonly bytes: number
    readonly durationMillis: number
  }
}

/**
 * How a running batch stops: `finish` lets the uploads that are under way end, `abandon` interrupts them.
 *
 * @category models
 * @since 0.1.0
 */
export type StopMode = "finish" | "abandon"

/**
 * - `concurrency`: uploads at once; default 4.
 * - `pace`: the least time between the starts of two attempts; default none.
 * - `failFast`: whether the first failure stops the batch, in the mode `finish`; default false.
 * - `stop`: stops the batch when it completes, for example on a signal; default never.
 * - `onEvent`: is told what happens to each item.
 * - `onResult`: is told of each result when it stands; the batch waits for it.
 *
 * The rest is as for a single upload.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in Item = never, in Receipt = never, in E = never>
  extends Omit<Uploader.Options<E, Receipt>, "onEvent">
{
  readonly concurrency?: number | undefined
  readonly pace?: Duration.Input | undefined
  readonly failFast?: boolean | undefined
  readonly stop?: Effect.Effect<StopMode> | undefined
  readonly onEvent?:
    | ((event: Progress.Event<E, Receipt>, item: Item, index: number) => Effect.Effect<void>)
    | undefined
  readonly onResult?: ((result: Result<Item, Receipt, E>) => Effect.Effect<void>) | undefined
}

/**
 * Uploads all items and collects their results.
 *
 * Throws `RangeError` where the concurrency is not a whole number above 0.
 *
 * @category uploading
 * @since 0.1.0
 */
export const run = <Item, Receipt, E, R, EI = never, RI = never>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  items: Iterable<Item> | Stream.Stream<Item, EI, RI>,
  options: Options<Item, Receipt, Uploader.Failure<E>> = {}
): Effect.Effect<Summary<Item, Receipt, Uploader.Failure<E>>, EI, R | RI> =>
  Schedule.collect(options, (batch, emit) => Schedule.schedule(items, batch, plainly(target), emit))

/**
 * Uploads what the journal does not hold yet, and records what becomes of it. Run again after a crash, it goes on where the
 * batch stood.
 *
 * - `id`: identifies an item in the journal. Two items of a batch must not share one.
 * - `onUnknown`: what to do with an item that an earlier run may have applied, where it must not be applied twice;
 *   default `fail`.
 * - `findings`: what `Journal.look` found of each item, in their order; default: items of an array, taken as it is at the
 *   beginning, are looked up before the first is sent, those of a stream as they are read.
 *
 * Throws `RangeError` where the concurrency is not a whole number above 0.
 *
 * @category uploading
 * @since 0.1.0
 */
export const resume = <Item, Receipt, E, R, EI = never, RI = never>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  items: Iterable<Item> | Stream.Stream<Item, EI, RI>,
  options: Options<Item, Receipt, Uploader.Failure<E>> & {
    readonly id: (item: Item, index: number) => string
    readonly onUnknown?: Journal.OnUnknown | undefined
    readonly findings?: ReadonlyArray<Journal.Finding> | undefined
  }
): Effect.Effect<
  Summary<Item, Receipt, Uploader.Failure<E>>,
  EI | Journal.JournalError,
  R | RI | Journal.Journal
> =>
  Schedule.collect(options, (batch, emit) => {
    // What is at hand is looked up together, which is quicker than page by page.
    const whole = Array.isArray(items) && items.length <= Schedule.mostUnsettled ? [...items] : undefined
    return Schedule.schedule(whole ?? items, batch, journaled(target, options, whole), emit)
  })

/**
 * Uploads all items and tells each result as soon as it stands, in constant memory.
 *
 * Throws `RangeError` where the concurrency is not a whole number above 0.
 *
 * @category uploading
 * @since 0.1.0
 */
export const results = <Item, Receipt, E, R, EI = never, RI = never>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  items: Iterable<Item> | Stream.Stream<Item, EI, RI>,
  options: Omit<Options<Item, Receipt, Uploader.Failure<E>>, "onResult"> = {}
): Stream.Stream<Result<Item, Receipt, Uploader.Failure<E>>, EI, R | RI> => {
  const batch = Schedule.checked(options)
  return Stream.callback<Result<Item, Receipt, Uploader.Failure<E>>, EI, R | RI>(
    (queue) =>
      Schedule.schedule(items, batch, plainly(target), (result) => Queue.offer(queue, result)).pipe(
        Effect.matchCauseEffect({
          onFailure: (cause) => Queue.failCause(queue, cause),
          onSuccess: () => Queue.end(queue)
        })
      ),
    { bufferSize: 16, strategy: "suspend" }
  )
}

const plainly = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>
): Schedule.Method<Item, Receipt, Uploader.Failure<E>, never, R> => ({
  key: target.key,
  idempotent: idempotentBy(target),
  upload: ({ item }, options) =>
    Effect.map(Uploader.upload(target, item, options), (report) => ({ _tag: "Uploaded", report })),
  endsBatch: (_): _ is never => false
})

const journaled = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  { findings, id, onUnknown }: {
    readonly id: (item: Item, index: number) => string
    readonly onUnknown?: Journal.OnUnknown | undefined
    readonly findings?: ReadonlyArray<Journal.Finding> | undefined
  },
  whole: ReadonlyArray<Item> | undefined
): Schedule.Method<Item, Receipt, Uploader.Failure<E>, Journal.JournalError, R | Journal.Journal> => {
  let looked: ReadonlyArray<Journal.Entry | undefined> | undefined
  return {
    key: target.key,
    idempotent: idempotentBy(target),
    find: Effect.fnUntraced(function*(items) {
      if (findings !== undefined) {
        return items.map(([, index]) => {
          const { entry, verdict } = findings[index] ?? {}
          const skip = verdict === "skip" && entry !== undefined
          return { known: entry, outcome: skip ? { _tag: "Skipped", entry } : undefined }
        })
      }
      const journal = yield* Journal.Journal
      if (whole !== undefined) looked ??= yield* findEach(journal, whole.map(id))
      const entries = looked === undefined
        ? yield* findEach(journal, items.map(([item, index]) => id(item, index)))
        : items.map(([, index]) => looked?.[index])
      return entries.map((known) => ({ known, later: known?.state === "uploaded" }))
    }),
    settle: (entries) => {
      const known = entries.map(({ known }) => known)
      return Effect.map(
        Journal.look(target, entries.map(({ item }) => item), {
          id: (item, i) => id(item, entries[i]?.index ?? i),
          onUnknown,
          known
        }),
        Arr.map(({ entry, verdict }) =>
          verdict === "skip" && entry !== undefined ? { _tag: "Skipped", entry } : undefined
        )
      )
    },
    upload: ({ index, item, known }, options) =>
      Journal.upload(target, item, { ...options, id: id(item, index), onUnknown, known: known ?? null }),
    endsBatch: (error) => error instanceof Journal.JournalError
  }
}

const idempotentBy =
  <Item, Receipt, E, R>({ method, operation }: UploadTarget.UploadTarget<Item, Receipt, E, R>) =>
  (item: Item): boolean => Operation.isIdempotent(operation(item), { method, headers: {} })
