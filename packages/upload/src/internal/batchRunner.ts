import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Time from "@effect-resilience/kernel/Time"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type * as Uploader from "../Uploader.ts"
import type * as UploadPlan from "../UploadPlan.ts"
import * as AttemptCount from "./attemptCount.ts"
import type { Options, Result, Summary } from "./batchModel.ts"
import * as Gate from "./gate.ts"

const lookahead = 1_000
export const mostUninspected = 100_000

export const checked = <O extends { readonly concurrency?: number | undefined }>(
  options: O
): O & { readonly concurrency: number } => {
  const { concurrency = 4 } = options
  requireArgument(
    Number.isInteger(concurrency) && concurrency >= 1,
    "Batch.concurrency",
    "an integer of at least 1",
    concurrency
  )
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
    const begun = yield* Time.now
    const results: Array<Result<Item, Receipt, E>> = []
    yield* work(batch, (result) =>
      Effect.suspend(() => {
        results.push(result)
        return options.onResult === undefined ? Effect.void : options.onResult(result)
      }))
    return summarize(results, (yield* Time.now) - begun)
  })
}

export interface Entry<Item> {
  readonly index: number
  readonly item: Item
  readonly key: string | undefined
  /** Whether its source has to be looked at before its verdict is known. */
  readonly needsInspection: boolean
}

/** How one item is uploaded: without a journal or with one. `EX` ends the batch. */
export interface Strategy<Item, Receipt, E, EX, R> {
  readonly key: ((item: Item, index: number) => string) | undefined
  readonly idempotent: (item: Item) => boolean
  /** Runs before the first item is read. */
  readonly prepare?: Effect.Effect<void, EX, R> | undefined
  /** Whether an item is sent whatever its source contains; default true. */
  readonly isNew?: ((index: number) => boolean) | undefined
  /** Whether an earlier run may have applied what is at the item's place; default false. */
  readonly inDoubt?: ((index: number) => boolean) | undefined
  readonly judge?: ((index: number) => Effect.Effect<UploadPlan.Verdict, never, R>) | undefined
  readonly upload: (
    entry: Entry<Item>,
    options: Uploader.Options<E, Receipt>
  ) => Effect.Effect<UploadPlan.Outcome<Receipt>, E | EX, R>
  readonly endsBatch: (error: E | EX) => error is EX
  /** What ends the batch although the upload succeeded. */
  readonly fatal?: ((outcome: UploadPlan.Outcome<Receipt>) => EX | undefined) | undefined
}

export const run = <Item, Receipt, E, EX, RX, EI, RI, A>(
  items: Iterable<Item> | Stream.Stream<Item, EI, RI>,
  options: Checked<Item, Receipt, E>,
  strategy: Strategy<Item, Receipt, E, EX, RX>,
  emit: (result: Result<Item, Receipt, E>) => Effect.Effect<A>
): Effect.Effect<void, EI | EX, RX | RI> =>
  Effect.gen(function*() {
    type Outcome = Result<Item, Receipt, E>
    const { concurrency, failFast = false, onEvent, pace = 0, stop } = options
    const longestPause = Duration.fromInputUnsafe((options.policy ?? RetryPolicy.standard).maxRetryAfter)
    const gate = Gate.make({ clock: yield* Clock.Clock, pace: Duration.fromInputUnsafe(pace), concurrency })
    const ready = yield* Queue.unbounded<Entry<Item>, Cause.Done>()
    const slots = yield* Semaphore.make(lookahead)
    const abandon = yield* Deferred.make<void>()
    // The items that wait for one with their key to end. A key is here while one of its items runs; most have no others.
    const waiting = new Map<string, Array<Entry<Item>> | null>()
    // Items that an earlier run may have uploaded. They keep their keys occupied.
    const uninspected: Array<Entry<Item>> = []
    let ahead = 0
    let outstanding = 0
    let allRead = false
    let stopping = false
    // Fail fast: nothing more is sent, but items that the caller is asked about fail, so that the caller sees each before
    // choosing.
    let failing = false

    // The items whose failure holds back what follows at their keys. A stream may have no end, so its last keys are kept.
    const mostFailed = Stream.isStream(items) ? mostUninspected : Infinity
    let failed = new Map<string, number>()
    let failedBefore: ReadonlyMap<string, number> = new Map()
    const hasFailed = (key: string, index: number): void => {
      if (failed.size >= mostFailed) {
        failedBefore = failed
        failed = new Map()
      }
      failed.set(key, index)
    }
    let fatal: { readonly error: EX } | undefined
    const fail = (error: EX): void => {
      stopping = true
      fatal ??= { error }
    }
    const judge = ({ index }: Entry<Item>) => strategy.judge?.(index) ?? toSend

    const admit = (entry: Entry<Item>): void => {
      outstanding++
      if (entry.key !== undefined) {
        const queue = waiting.get(entry.key)
        if (queue === null) return void waiting.set(entry.key, [entry])
        if (queue !== undefined) return void queue.push(entry)
        waiting.set(entry.key, null)
      }
      if (entry.needsInspection) uninspected.push(entry)
      else Queue.offerUnsafe(ready, entry)
    }
    const end = ({ key }: Entry<Item>): Entry<Item> | undefined => {
      outstanding--
      if (allRead && outstanding === 0) Queue.endUnsafe(ready)
      const next = key === undefined ? undefined : waiting.get(key)?.shift()
      if (next === undefined && key !== undefined) waiting.delete(key)
      return next
    }

    // Runs behind the sends: otherwise what an earlier run has uploaded would delay the first of them.
    const inspectSome = Effect.suspend(() => {
      const entries = uninspected.splice(0, lookahead)
      const inspectOne = (entry: Entry<Item>): Effect.Effect<unknown, never, RX> =>
        Effect.flatMap(stopping ? toSend : judge(entry), (verdict) => {
          if (verdict._tag !== "Skip" || verdict.resolvesDoubt || verdict.version !== undefined) {
            return Queue.offer(ready, entry)
          }
          const { index, item } = entry
          const { entry: known, why } = verdict
          return Effect.map(emit({ _tag: "Skipped", index, item, entry: known, why }), () => {
            const next = end(entry)
            if (next?.needsInspection === true) {
              uninspected.push(next)
            } else if (next !== undefined) Queue.offerUnsafe(ready, next)
          })
        })
      // A fiber for each item would cost more than looking at a local file. Looking at a thousand files may never pause, and
      // signals wait for a pause.
      return Effect.andThen(
        Effect.forEach(Arr.chunksOf(entries, 32), Effect.forEach(inspectOne), { concurrency: 32, discard: true }),
        Effect.yieldNow
      )
    })
    const inspectAll: Effect.Effect<void, never, RX> = Effect.suspend(() =>
      uninspected.length === 0 ? Effect.void : Effect.andThen(inspectSome, inspectAll)
    )
    const room: Effect.Effect<unknown, never, RX> = Effect.suspend(() => {
      if (ahead === lookahead && uninspected.length > 0) return Effect.andThen(inspectSome, room)
      ahead++
      return slots.take(1)
    })

    const read = Effect.fnUntraced(function*(items: ReadonlyArray<readonly [Item, number]>) {
      for (const [item, index] of items) {
        const needsInspection = strategy.isNew?.(index) === false
        if (!needsInspection) yield* room
        else if (uninspected.length >= mostUninspected) yield* inspectSome
        admit({ index, item, key: strategy.key?.(item, index), needsInspection })
      }
    })
    const reader = (Stream.isStream(items) ? items : Stream.fromIterable(items, { chunkSize: lookahead })).pipe(
      Stream.zipWithIndex,
      Stream.runForEachArray((items) =>
        Effect.forEach(
          Arr.chunksOf(items, lookahead),
          // Signals wait for a pause.
          (items) => Effect.andThen(read(items), Effect.yieldNow),
          { discard: true }
        )
      ),
      Effect.andThen(inspectAll),
      Effect.andThen(Effect.sync(() => {
        allRead = true
        if (outstanding === 0) Queue.endUnsafe(ready)
      }))
    )

    const uploadOne = (entry: Entry<Item>): Effect.Effect<Outcome, never, RX> =>
      Effect.suspend(() => {
        const { index, item, key } = entry
        const notStarted = (behind?: number): Outcome => ({ _tag: "NotStarted", index, item, behind })
        if (stopping) {
          // An item in doubt is not only left over: it fails, so that the caller sees it.
          return strategy.inDoubt?.(index) !== true ? Effect.succeed(notStarted()) : Effect.flatMap(
            judge(entry),
            ({ _tag }) => _tag === "Reject" ? send(entry, true) : Effect.succeed(notStarted())
          )
        }
        const behind = key === undefined ? undefined : failed.get(key) ?? failedBefore.get(key)
        if (behind === undefined && !failing) return send(entry)
        return Effect.flatMap(
          judge(entry),
          ({ _tag }) => _tag === "Send" ? Effect.succeed(notStarted(behind)) : send(entry)
        )
      })
    const send = (entry: Entry<Item>, toEnd = stop === undefined): Effect.Effect<Outcome, never, RX> =>
      Effect.suspend(() => {
        const { index, item } = entry
        const attempts: AttemptCount.AttemptCount = { count: 0 }
        let phase: "starting" | "sending" | "sent" = "starting"
        let left = false
        const attempt = strategy.upload(entry, {
          ...options,
          beforeAttempt: Effect.flatMap(
            options.beforeAttempt === undefined ? gate.pass : Effect.andThen(options.beforeAttempt, gate.pass),
            () => {
              if (attempts.count > 0 || !(stopping || failing)) return Effect.void
              // It only waited for its turn.
              left = true
              return Effect.interrupt
            }
          ),
          onEvent: (event) => {
            if (event._tag === "Attempting") phase = "sending"
            if (event._tag === "AwaitingResponse") phase = "sent"
            if (event._tag === "Retrying") {
              phase = "starting"
              const pause = pauseOf(event.error, event.recovery, event.delay)
              if (pause !== undefined) gate.pauseFor(pause)
            }
            return onEvent === undefined ? Effect.void : onEvent(event, item, index)
          }
        }).pipe(Effect.provideService(AttemptCount.Current, attempts))
        const abandoned = Effect.map(
          Deferred.await(abandon),
          (): Outcome => ({
            _tag: "Abandoned",
            index,
            item,
            outcomeUnknown: phase === "sent" && !strategy.idempotent(item)
          })
        )
        const ended = Effect.matchEffect(attempt, {
          onFailure: (error): Effect.Effect<Outcome> => {
            if (strategy.endsBatch(error)) {
              fail(error)
              return Effect.succeed({ _tag: "NotStarted", index, item })
            }
            if (failFast) failing = true
            const pause = pauseOf(error, Recovery.of(error), Duration.zero)
            // A server may name a year. What is too long for the retry of one item is too long for the others.
            if (pause !== undefined) gate.pauseFor(Duration.min(pause, longestPause))
            return Effect.succeed({ _tag: "Failed", index, item, error, attempts: attempts.count })
          },
          onSuccess: (outcome): Effect.Effect<Outcome> => {
            const error = strategy.fatal?.(outcome)
            if (error !== undefined) fail(error)
            return Effect.succeed(
              outcome._tag === "Skipped"
                ? { ...outcome, index, item }
                : { _tag: "Uploaded", index, item, report: outcome.report }
            )
          }
        }).pipe(
          Effect.catchCause((cause) =>
            left ? Effect.succeed<Outcome>({ _tag: "NotStarted", index, item }) : Effect.failCause(cause)
          )
        )
        return toEnd ? ended : Effect.raceFirst(ended, abandoned)
      })

    const worker = Effect.gen(function*() {
      while (true) {
        const entry = yield* Queue.take(ready)
        const result = yield* uploadOne(entry)
        const { _tag } = result
        if (entry.key !== undefined && (_tag === "Failed" || _tag === "Abandoned")) hasFailed(entry.key, entry.index)
        yield* emit(result)
        const next = end(entry)
        if (next !== undefined) Queue.offerUnsafe(ready, next)
        if (!entry.needsInspection) {
          ahead--
          yield* slots.release(1)
        }
      }
    }).pipe(Effect.catchIf(Cause.isDone, () => Effect.void))

    const uploads = Effect.all([reader, ...Array.from({ length: concurrency }, () => worker)], {
      concurrency: "unbounded",
      discard: true
    })
    const work = Effect.andThen(
      strategy.prepare ?? Effect.void,
      Effect.flatMap(uploads, () => fatal === undefined ? Effect.void : Effect.fail(fatal.error))
    )
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

export const toSend = Effect.succeed<UploadPlan.Verdict>({ _tag: "Send" })

// The load of the server concerns all items.
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
