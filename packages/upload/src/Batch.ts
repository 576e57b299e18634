/**
 * Uploads many items with a limit on concurrency and pace, and never two to the same place at once.
 *
 * **Details**
 *
 * - Items with the same key (`UploadTarget.key`) run one after the other, in the order of the manifest.
 * - Where an item fails or is abandoned, later items with its key are not started: what they build on is not there. Of a
 *   stream, which may have no end, the batch remembers at least the last 100,000 such keys.
 * - An item that waits for its key occupies no slot: others overtake it.
 * - A failure that names a time to wait (429 or 503 with `Retry-After`) delays every attempt of the batch, not only its own, by
 *   the policy's `maxRetryAfter` at most. A 429 without a time delays them as long as its own retry waits. They resume one after
 *   the other.
 * - An item's failure is its own result. Only defects and interruption end the batch.
 * - Items are read on demand: at most 1,000 ahead of those that have ended.
 *
 * **Example** (One bad item stops no other)
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
 * @stability stable
 * @since 0.1.0
 */
import * as Operation from "@effect-resilience/http/Operation"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Options, Result, Summary } from "./internal/batchModel.ts"
import * as BatchRunner from "./internal/batchRunner.ts"
import * as Journal from "./Journal.ts"
import * as Uploader from "./Uploader.ts"
import * as UploadPlan from "./UploadPlan.ts"
import type * as UploadTarget from "./UploadTarget.ts"

export type { Options, Result, StopMode, Summary } from "./internal/batchModel.ts"

/**
 * Uploads all items and collects their results.
 *
 * Throws `RangeError` where the concurrency is not a whole number above 0.
 *
 * @category uploading
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const run = <Item, Receipt, E, R, EI = never, RI = never>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  items: Iterable<Item> | Stream.Stream<Item, EI, RI>,
  options: Options<Item, Receipt, Uploader.Failure<E>> = {}
): Effect.Effect<Summary<Item, Receipt, Uploader.Failure<E>>, EI, R | RI> =>
  BatchRunner.collect(options, (batch, emit) => BatchRunner.run(items, batch, withoutJournal(target), emit))

/**
 * Uploads what the journal does not contain yet, and records each outcome, so that each place ends as the list says, in its
 * order. The next run after a crash continues where the batch stopped. See `UploadPlan` for what is sent, skipped and rejected.
 *
 * **Details**
 *
 * The whole list is read before the first item is sent, since what follows at a place decides what is sent there. Items for
 * places without a history are sent first; the sources of all others are looked at beside the sends.
 *
 * If the journal can no longer be written, running uploads end, nothing more is started, `onResult` receives a result for
 * every item, and the batch fails with the journal's error.
 *
 * - `plan`: what `UploadPlan.make` returned for the same items; default: made at the beginning.
 *
 * The rest is as for `UploadPlan.make` and `run`. Throws `RangeError` where the concurrency is not a whole number above 0.
 *
 * @category uploading
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const runWithJournal = <Item, Receipt, E, R, EI = never, RI = never>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  items: Iterable<Item> | Stream.Stream<Item, EI, RI>,
  options: Options<Item, Receipt, Uploader.Failure<E>> & UploadPlan.Options<Item> & {
    readonly plan?: UploadPlan.Plan<Item, R> | undefined
  } = {}
): Effect.Effect<
  Summary<Item, Receipt, Uploader.Failure<E>>,
  EI | Journal.JournalError,
  R | RI | Journal.Journal
> =>
  BatchRunner.collect(options, (batch, emit) =>
    Effect.flatMap(
      Stream.isStream(items) ? Stream.runCollect(items) : Effect.sync(() => [...items]),
      (all) => BatchRunner.run(all, batch, withJournal(target, all, options), emit)
    ))

/**
 * Uploads all items and streams each result as soon as it is known, in constant memory.
 *
 * Throws `RangeError` where the concurrency is not a whole number above 0.
 *
 * @category uploading
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const results = <Item, Receipt, E, R, EI = never, RI = never>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  items: Iterable<Item> | Stream.Stream<Item, EI, RI>,
  options: Omit<Options<Item, Receipt, Uploader.Failure<E>>, "onResult"> = {}
): Stream.Stream<Result<Item, Receipt, Uploader.Failure<E>>, EI, R | RI> => {
  const batch = BatchRunner.checked(options)
  return Stream.callback<Result<Item, Receipt, Uploader.Failure<E>>, EI, R | RI>(
    (queue) =>
      BatchRunner.run(items, batch, withoutJournal(target), (result) => Queue.offer(queue, result)).pipe(
        Effect.matchCauseEffect({
          onFailure: (cause) => Queue.failCause(queue, cause),
          onSuccess: () => Queue.end(queue)
        })
      ),
    { bufferSize: 16, strategy: "suspend" }
  )
}

const withoutJournal = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>
): BatchRunner.Strategy<Item, Receipt, Uploader.Failure<E>, never, R> => ({
  key: target.key,
  idempotent: idempotentBy(target),
  upload: ({ item }, options) =>
    Effect.map(Uploader.upload(target, item, options), (report) => ({ _tag: "Uploaded", report })),
  endsBatch: (_): _ is never => false
})

const withJournal = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  items: ReadonlyArray<Item>,
  options: UploadPlan.Options<Item> & { readonly plan?: UploadPlan.Plan<Item, R> | undefined }
): BatchRunner.Strategy<Item, Receipt, Uploader.Failure<E>, Journal.JournalError, R | Journal.Journal> => {
  let { plan } = options
  const planned = Effect.suspend(() =>
    plan === undefined ? UploadPlan.make(target, items, options) : Effect.succeed(plan)
  )
  return {
    // Uploads to one place follow each other, whichever function names the place.
    key: target.key ?? options.place ?? options.name ?? ((item) => target.source(item).name),
    idempotent: idempotentBy(target),
    prepare: Effect.map(planned, (made) => {
      plan = made
    }),
    isNew: (index) => plan?.isNew(index) !== false,
    inDoubt: (index) => plan?.inDoubt(index) === true,
    judge: (index) => plan === undefined ? BatchRunner.toSend : plan.verdict(index),
    upload: ({ index }, options) => Effect.flatMap(planned, (plan) => UploadPlan.upload(target, plan, index, options)),
    endsBatch: (error) => error instanceof Journal.JournalError,
    fatal: (outcome) => outcome._tag === "Uploaded" ? outcome.unrecorded : undefined
  }
}

const idempotentBy =
  <Item, Receipt, E, R>({ method, operation }: UploadTarget.UploadTarget<Item, Receipt, E, R>) =>
  (item: Item): boolean => Operation.isIdempotent(operation(item), { method, headers: {} })
