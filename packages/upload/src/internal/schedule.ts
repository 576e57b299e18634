import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { Options, Result, Summary } from "../Batch.ts"
import type * as Journal from "../Journal.ts"
import type * as Uploader from "../Uploader.ts"
import * as Gate from "./gate.ts"

const lookahead = 1_000
export const mostUnsettled = 100_000

export const checked = <O extends { readonly concurrency?: number | undefined }>(
  options: O
): O & { readonly concurrency: number } => {
  const { concurrency = 4 } = options
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new RangeError(`Batch: concurrency must be a whole number above 0, not ${concurrency}`)
  }
  return { ...options, concurrency }
}

export type Checked<Item, Receipt, E> = Options<Item, Receipt, E> & { readonly concurrency: number }

export const collect = <Item, Receipt, E, EX, R>(
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

export interface Entry<Item> {
  readonly index: number
  readonly item: Item
  readonly key: string | undefined
  readonly known: Journal.Entry | undefined
  readonly later: boolean
}

/**
 * What is known of an item before it is anybody's turn. An outcome is the end of it; what is likely to have one and takes
 * time to make sure of is for `later`.
 */
export interface Found<Receipt> {
  readonly known?: Journal.Entry | undefined
  readonly outcome?: Journal.Outcome<Receipt> | undefined
  readonly later?: boolean | undefined
}

const nothingFound: Found<never> = {}

/** How one item is uploaded: plainly, or by the word of a journal. `EX` ends the batch. */
export interface Method<Item, Receipt, E, EX, R> {
  readonly key: ((item: Item) => string) | undefined
  readonly idempotent: (item: Item) => boolean
  readonly find?: (
    items: ReadonlyArray<readonly [Item, number]>
  ) => Effect.Effect<ReadonlyArray<Found<Receipt>>, EX, R>
  /** Makes sure of those that `find` left for later. */
  readonly settle?: (
    entries: ReadonlyArray<Entry<Item>>
  ) => Effect.Effect<ReadonlyArray<Journal.Outcome<Receipt> | undefined>, EX, R>
  readonly upload: (
    entry: Entry<Item>,
    options: Uploader.Options<E, Receipt>
  ) => Effect.Effect<Journal.Outcome<Receipt>, E | EX, R>
  readonly endsBatch: (error: E | EX) => error is EX
}

export const schedule = <Item, Receipt, E, EX, RX, EI, RI, A>(
  items: Iterable<Item> | Stream.Stream<Item, EI, RI>,
  options: Checked<Item, Receipt, E>,
  method: Method<Item, Receipt, E, EX, RX>,
  emit: (result: Result<Item, Receipt, E>) => Effect.Effect<A>
): Effect.Effect<void, EI | EX, RX | RI> =>
  Effect.gen(function*() {
    type Outcome = Result<Item, Receipt, E>
    const { concurrency, failFast = false, onEvent, pace = 0, stop } = options
    const gate = Gate.make({ clock: yield* Clock.Clock, pace: Duration.fromInputUnsafe(pace), concurrency })
    const ready = yield* Queue.unbounded<Entry<Item>, Cause.Done>()
    const places = yield* Semaphore.make(lookahead)
    const abandon = yield* Deferred.make<void>()
    // The items that wait for one with their key to end. A key is here as long as one of its items runs; most have no others.
    const behind = new Map<string, Array<Entry<Item>> | null>()
    // Those that were uploaded by an earlier run, unless they have changed since. They keep their keys occupied.
    const unsettled: Array<Entry<Item>> = []
    let ahead = 0
    let outstanding = 0
    let allRead = false
    let stopping = false

    const admit = (entry: Entry<Item>): void => {
      outstanding++
      if (entry.key !== undefined) {
        const queue = behind.get(entry.key)
        if (queue === null) return void behind.set(entry.key, [entry])
        if (queue !== undefined) return void queue.push(entry)
        behind.set(entry.key, null)
      }
      if (entry.later) unsettled.push(entry)
      else Queue.offerUnsafe(ready, entry)
    }
    const end = ({ key }: Entry<Item>): Entry<Item> | undefined => {
      outstanding--
      if (allRead && outstanding === 0) Queue.endUnsafe(ready)
      const next = key === undefined ? undefined : behind.get(key)?.shift()
      if (next === undefined && key !== undefined) behind.delete(key)
      return next
    }

    // Behind the sends, or what an earlier run has uploaded would hold up the first of them.
    const settleSome = Effect.suspend(() => {
      const entries = unsettled.splice(0, lookahead)
      const settleOne = (entry: Entry<Item>, outcome: Journal.Outcome<Receipt> | undefined): Effect.Effect<unknown> => {
        if (outcome === undefined) return Queue.offer(ready, entry)
        const { index, item } = entry
        return Effect.map(emit({ ...outcome, index, item }), () => {
          const next = end(entry)
          if (next?.later === true) unsettled.push(next)
          else if (next !== undefined) Queue.offerUnsafe(ready, next)
        })
      }
      return Effect.flatMap(
        method.settle?.(entries) ?? Effect.succeed([]),
        (outcomes) => Effect.forEach(entries, (entry, i) => settleOne(entry, outcomes[i]), { discard: true })
      )
    })
    const settleAll: Effect.Effect<void, EX, RX> = Effect.suspend(() =>
      unsettled.length === 0 ? Effect.void : Effect.andThen(settleSome, settleAll)
    )
    const room: Effect.Effect<unknown, EX, RX> = Effect.suspend(() => {
      if (ahead === lookahead && unsettled.length > 0) return Effect.andThen(settleSome, room)
      ahead++
      return places.take(1)
    })

    const read = Effect.fnUntraced(function*(items: ReadonlyArray<readonly [Item, number]>) {
      const found = stopping || method.find === undefined ? [] : yield* method.find(items)
      let i = 0
      for (const [item, index] of items) {
        const { known, later = false, outcome } = found[i++] ?? nothingFound
        if (outcome !== undefined) {
          yield* emit({ ...outcome, index, item })
          continue
        }
        if (!later) yield* room
        else if (unsettled.length >= mostUnsettled) yield* settleSome
        admit({ index, item, key: method.key?.(item), known, later })
      }
    })
    const reader = (Stream.isStream(items) ? items : Stream.fromIterable(items, { chunkSize: lookahead })).pipe(
      Stream.zipWithIndex,
      Stream.runForEachArray((items) =>
        Effect.forEach(
          Arr.chunksOf(items, lookahead),
          // A journal in memory or on a local disk is read without a pause, and signals wait for one.
          (items) => Effect.andThen(read(items), Effect.yieldNow),
          { discard: true }
        )
      ),
      Effect.andThen(settleAll),
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
            outcomeUnknown: phase === "sent" && !method.idempotent(item)
          })
        )
        const ended = Effect.matchEffect(attempt, {
          onFailure: (error): Effect.Effect<Outcome, EX> => {
            if (method.endsBatch(error)) return Effect.fail(error)
            if (failFast) stopping = true
            const pause = pauseOf(error, Recovery.of(error), Duration.zero)
            if (pause !== undefined) gate.pauseFor(pause)
            return Effect.succeed({ _tag: "Failed", index, item, error, attempts })
          },
          onSuccess: (outcome): Effect.Effect<Outcome> => Effect.succeed({ ...outcome, index, item })
        })
        return stop === undefined ? ended : Effect.raceFirst(ended, abandoned)
      })

    const worker = Effect.gen(function*() {
      while (true) {
        const entry = yield* Queue.take(ready)
        yield* emit(yield* uploadOne(entry))
        const next = end(entry)
        if (next !== undefined) Queue.offerUnsafe(ready, next)
        if (!entry.later) {
          ahead--
          yield* places.release(1)
        }
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
