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
 * - Items are read as they are needed: at most 1,000 ahead of those that are done.
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
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Operation from "@effect-resilience/http/Operation"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Gate from "./internal/gate.ts"
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
  collect(options, (batch, emit) => schedule(target, items, batch, plainly(target), emit))

/**
 * Uploads what the journal does not hold yet, and records what becomes of it. Run again after a crash, it goes on where the
 * batch stood.
 *
 * - `id`: identifies an item in the journal. Two items of a batch must not share one.
 * - `onUnknown`: what to do with an item that an earlier run may have applied, where it must not be applied twice;
 *   default `fail`.
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
  }
): Effect.Effect<
  Summary<Item, Receipt, Uploader.Failure<E>>,
  EI | Journal.JournalError,
  R | RI | Journal.Journal
> => collect(options, (batch, emit) => schedule(target, items, batch, journaled(target, options), emit))

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
  const batch = checked(options)
  return Stream.callback<Result<Item, Receipt, Uploader.Failure<E>>, EI, R | RI>(
    (queue) =>
      schedule(target, items, batch, plainly(target), (result) => Queue.offer(queue, result)).pipe(
        Effect.matchCauseEffect({
          onFailure: (cause) => Queue.failCause(queue, cause),
          onSuccess: () => Queue.end(queue)
        })
      ),
    { bufferSize: 16, strategy: "suspend" }
  )
}

const lookahead = 1_000

const checked = <O extends { readonly concurrency?: number | undefined }>(
  options: O
): O & { readonly concurrency: number } => {
  const { concurrency = 4 } = options
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new RangeError(`Batch: concurrency must be a whole number above 0, not ${concurrency}`)
  }
  return { ...options, concurrency }
}

type Checked<Item, Receipt, E> = Options<Item, Receipt, E> & { readonly concurrency: number }

const collect = <Item, Receipt, E, EX, R>(
  options: Options<Item, Receipt, E>,
  work: (
    options: Checked<Item, Receipt, E>,
    emit: (result: Result<Item, Receipt, E>) => Effect.Effect<void>
  ) => Effect.Effect<void, EX, R>
): Effect.Effect<Summary<Item, Receipt, E>, EX, R> => {
  const batch = checked(options)
  return Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const begun = Number(clock.monotonicTimeNanosUnsafe())
    const results: Array<Result<Item, Receipt, E>> = []
    yield* work(batch, (result) =>
      Effect.suspend(() => {
        results.push(result)
        return options.onResult === undefined ? Effect.void : options.onResult(result)
      }))
    return summarize(results, (Number(clock.monotonicTimeNanosUnsafe()) - begun) / 1e6)
  })
}

interface Entry<Item> {
  readonly index: number
  readonly item: Item
  readonly key: string | undefined
  readonly known: Journal.Entry | undefined
}

/** How one item is uploaded: plainly, or by the word of a journal. `EX` ends the batch. */
interface Method<Item, Receipt, E, EX, R> {
  readonly find: (items: ReadonlyArray<readonly [Item, number]>) => Effect.Effect<
    ReadonlyArray<Journal.Entry | undefined>,
    EX,
    R
  >
  readonly upload: (
    entry: Entry<Item>,
    options: Uploader.Options<E, Receipt>
  ) => Effect.Effect<Journal.Outcome<Receipt>, E | EX, R>
  readonly endsBatch: (error: E | EX) => error is EX
}

const plainly = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>
): Method<Item, Receipt, Uploader.Failure<E>, never, R> => ({
  find: (items) => Effect.succeed(items.map(() => undefined)),
  upload: ({ item }, options) =>
    Effect.map(Uploader.upload(target, item, options), (report) => ({ _tag: "Uploaded", report })),
  endsBatch: (_): _ is never => false
})

const journaled = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  { id, onUnknown }: {
    readonly id: (item: Item, index: number) => string
    readonly onUnknown?: Journal.OnUnknown | undefined
  }
): Method<Item, Receipt, Uploader.Failure<E>, Journal.JournalError, R | Journal.Journal> => ({
  find: Effect.fnUntraced(function*(items) {
    const journal = yield* Journal.Journal
    const ids = items.map(([item, index]) => id(item, index))
    const found = yield* journal.find(ids)
    return ids.map((id) => found.get(id))
  }),
  upload: ({ index, item, known }, options) =>
    Journal.upload(target, item, { ...options, id: id(item, index), onUnknown, known: known ?? null }),
  endsBatch: (error) => error instanceof Journal.JournalError
})

const schedule = <Item, Receipt, E, R, EX, RX, EI, RI, A>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  items: Iterable<Item> | Stream.Stream<Item, EI, RI>,
  options: Checked<Item, Receipt, Uploader.Failure<E>>,
  method: Method<Item, Receipt, Uploader.Failure<E>, EX, RX>,
  emit: (result: Result<Item, Receipt, Uploader.Failure<E>>) => Effect.Effect<A>
): Effect.Effect<void, EI | EX, R | RX | RI> =>
  Effect.gen(function*() {
    type Outcome = Result<Item, Receipt, Uploader.Failure<E>>
    const { concurrency, failFast = false, onEvent, pace = 0, stop } = options
    const gate = Gate.make({ clock: yield* Clock.Clock, pace: Duration.fromInputUnsafe(pace), concurrency })
    const ready = yield* Queue.unbounded<Entry<Item>, Cause.Done>()
    const ahead = yield* Semaphore.make(lookahead)
    const abandon = yield* Deferred.make<void>()
    // The items that wait for one with their key to end. A key is here as long as one of its items runs.
    const behind = new Map<string, Array<Entry<Item>>>()
    let outstanding = 0
    let allRead = false
    let stopping = false

    const admit = (entry: Entry<Item>): void => {
      outstanding++
      const queue = entry.key === undefined ? undefined : behind.get(entry.key)
      if (queue !== undefined) {
        queue.push(entry)
        return
      }
      if (entry.key !== undefined) behind.set(entry.key, [])
      Queue.offerUnsafe(ready, entry)
    }
    const settle = ({ key }: Entry<Item>): void => {
      outstanding--
      const next = key === undefined ? undefined : behind.get(key)?.shift()
      if (next !== undefined) Queue.offerUnsafe(ready, next)
      else if (key !== undefined) behind.delete(key)
      if (allRead && outstanding === 0) Queue.endUnsafe(ready)
    }

    const read = (items: ReadonlyArray<readonly [Item, number]>) =>
      Effect.flatMap(method.find(items), (known) =>
        Effect.forEach(items, ([item, index], i) =>
          Effect.andThen(
            ahead.take(1),
            Effect.sync(() => admit({ index, item, key: target.key?.(item), known: known[i] }))
          ), { discard: true }))
    const reader = (Stream.isStream(items) ? items : Stream.fromIterable(items)).pipe(
      Stream.zipWithIndex,
      Stream.runForEachArray((items) => Effect.forEach(Arr.chunksOf(items, lookahead), read, { discard: true })),
      Effect.andThen(Effect.sync(() => {
        allRead = true
        if (outstanding === 0) Queue.endUnsafe(ready)
      }))
    )

    const uploadOne = (entry: Entry<Item>) =>
      Effect.suspend((): Effect.Effect<Outcome, EX, RX> => {
        const { index, item } = entry
        if (stopping) return Effect.succeed({ _tag: "NotStarted", index, item })
        let attempts = 0
        let phase: "starting" | "sending" | "sent" = "starting"
        const attempt = method.upload(entry, {
          ...options,
          beforeAttempt: options.beforeAttempt === undefined
            ? gate.pass
            : Effect.andThen(options.beforeAttempt, gate.pass),
          onEvent: (event) => {
            if (event._tag === "Attempting") {
              attempts = event.attempt
              phase = "sending"
            }
            if (event._tag === "AwaitingAnswer") phase = "sent"
            if (event._tag === "Retrying") {
              phase = "starting"
              const pause = pauseOf(event.error, event.recovery, event.delay)
              if (pause !== undefined) gate.pauseFor(pause)
            }
            return onEvent === undefined ? Effect.void : onEvent(event, item, index)
          }
        })
        const abandoned = Effect.map(
          Deferred.await(abandon),
          (): Outcome => ({
            _tag: "Abandoned",
            index,
            item,
            outcomeUnknown: phase === "sent" &&
              !Operation.isIdempotent(target.operation(item), { method: target.method, headers: {} })
          })
        )
        return Effect.matchEffect(attempt, {
          onFailure: (error): Effect.Effect<Outcome, EX> => {
            if (method.endsBatch(error)) return Effect.fail(error)
            if (failFast) stopping = true
            const pause = pauseOf(error, Recovery.of(error), Duration.zero)
            if (pause !== undefined) gate.pauseFor(pause)
            return Effect.succeed({ _tag: "Failed", index, item, error, attempts })
          },
          onSuccess: (outcome): Effect.Effect<Outcome> => Effect.succeed({ ...outcome, index, item })
        }).pipe(Effect.raceFirst(abandoned))
      })

    const worker = Effect.gen(function*() {
      while (true) {
        const entry = yield* Queue.take(ready)
        yield* emit(yield* uploadOne(entry))
        settle(entry)
        yield* ahead.release(1)
      }
    }).pipe(Effect.catchIf(Cause.isDone, () => Effect.void))

    const work = Effect.all([reader, ...Array.from({ length: concurrency }, () => worker)], {
      concurrency: "unbounded",
      discard: true
    })
    if (stop === undefined) return yield* work
    const stopper = Effect.andThen(
      Effect.flatMap(stop, (mode) => {
        stopping = true
        return mode === "abandon" ? Deferred.succeed(abandon, undefined) : Effect.void
      }),
      Effect.never
    )
    return yield* Effect.raceFirst(work, stopper)
  })

// What one item learns of the server's load concerns all of them.
const pauseOf = (
  error: unknown,
  recovery: Recovery.Recovery,
  delay: Duration.Duration
): Duration.Duration | undefined => {
  if (recovery._tag !== "Retry") return undefined
  if (recovery.after !== undefined) return recovery.after
  return error instanceof ApiError.ApiError && error.reason._tag === "RateLimited" ? delay : undefined
}

const summarize = <Item, Receipt, E>(
  results: Array<Result<Item, Receipt, E>>,
  durationMillis: number
): Summary<Item, Receipt, E> => {
  const totals = {
    uploaded: 0,
    failed: 0,
    abandoned: 0,
    skipped: 0,
    notStarted: 0,
    attempts: 0,
    bytes: 0,
    durationMillis
  }
  for (const result of results) {
    switch (result._tag) {
      case "Uploaded":
        totals.uploaded++
        totals.attempts += result.report.attempts
        totals.bytes += result.report.bytes
        break
      case "Failed":
        totals.failed++
        totals.attempts += result.attempts
        break
      case "Abandoned":
        totals.abandoned++
        break
      case "Skipped":
        totals.skipped++
        break
      case "NotStarted":
        totals.notStarted++
        break
    }
  }
  return { results: results.sort((a, b) => a.index - b.index), totals }
}
