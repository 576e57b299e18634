/**
 * Uploads one item so that it arrives once and whole, or says why it did not.
 *
 * **Details**
 *
 * Each attempt reads the source from the beginning. While bytes move, a stall timer runs; after the last byte, a response
 * timer. The uploader compares what the server says it stored with what was sent. A failure of the source wins over the
 * broken request that it causes, and a response wins over both. Where an item that is not idempotent may have been applied
 * despite a failure, the upload fails with `OutcomeUnknown` and is not retried. All attempts together are one call in
 * telemetry. Attempts after the first withdraw from the `AttemptBudget` in the context.
 *
 * **Example** (A server that is busy at first, without a network)
 *
 * ```ts import.meta.vitest
 * import { ApiError } from "@effect-resilience/errors"
 * import { Uploader, UploadSource, type UploadTarget } from "@effect-resilience/upload"
 * import { Effect, Stream } from "effect"
 *
 * let calls = 0
 * const busy = new ApiError.ApiError({ method: "PUT", endpoint: "/x", reason: ApiError.reasonFromStatus(503) })
 *
 * const target: UploadTarget.UploadTarget<string, string, ApiError.ApiError> = {
 *   method: "PUT",
 *   operation: () => ({ name: "put", endpoint: "/x" }),
 *   source: (text) => UploadSource.bytes("note.txt", text),
 *   key: undefined,
 *   digests: ["md5"],
 *   send: (_, payload) =>
 *     Effect.gen(function*() {
 *       if (++calls === 1) return yield* Effect.fail(busy)
 *       yield* Stream.runDrain(payload.stream)
 *       const { md5 } = yield* payload.sent
 *       return { receipt: "stored", stored: { md5 } }
 *     })
 * }
 *
 * const report = await Effect.runPromise(Uploader.upload(target, "hello world"))
 * report.attempts // => 2
 * report.verified // => true
 * report.digests.md5 // => "5eb63bbbe01eeed093cb22bb8f5acdc3"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as Operation from "@effect-resilience/http/Operation"
import * as Telemetry from "@effect-resilience/http/Telemetry"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Hashing from "./Hashing.ts"
import * as AttemptCount from "./internal/attemptCount.ts"
import * as BodyTracker from "./internal/bodyTracker.ts"
import { whenFree } from "./internal/unreadable.ts"
import * as UploadError from "./UploadError.ts"
import type * as UploadSource from "./UploadSource.ts"
import type * as UploadTarget from "./UploadTarget.ts"

/**
 * All that can go wrong with an upload to a target whose own failures are `E`.
 *
 * @category models
 * @since 0.1.0
 */
export type Failure<E> = E | ApiError.ApiError | UploadError.UploadError

/**
 * How attempts are repeated, and how long they may take.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in E = never, in Receipt = never> {
  /**
   * Which failures are retried, and when; default `RetryPolicy.standard`. What a retry further in has given up on, such as a
   * login, is not retried, so that attempts do not multiply.
   */
  readonly policy?: RetryPolicy.RetryPolicy | undefined
  /** How long no byte may move while the body is sent; default 30 seconds. */
  readonly stallTimeout?: Duration.Input | undefined
  /** How long the response may take after the last byte; default 5 minutes. */
  readonly responseTimeout?: Duration.Input | undefined
  /** To compute beside those that the target asks for; default none. */
  readonly digests?: ReadonlyArray<Hashing.Algorithm> | undefined
  /** Runs before each attempt, for example a limiter; default nothing. */
  readonly beforeAttempt?: Effect.Effect<void> | undefined
  /** Receives what happens. Sending waits for it, so it must be fast. */
  readonly onEvent?: ((event: Event<E, Receipt>) => Effect.Effect<void>) | undefined
}

/**
 * What became of an upload.
 *
 * - `recoveries.attempt`: which attempt failed; 1 for the first.
 * - `recoveries.error`: what it failed with.
 * - `recoveries.recovery`: what the failure asked for.
 * - `recoveries.delay`: how long the next attempt waited.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report<out Receipt> {
  /** What the target made of the response. */
  readonly receipt: Receipt
  /** The name of the source. */
  readonly source: string
  /** How often it was tried, replays after a login included, as log lines and spans count them. */
  readonly attempts: number
  /** The failures that a retry recovered from, in order. */
  readonly recoveries: ReadonlyArray<{
    readonly attempt: number
    readonly error: unknown
    readonly recovery: Recovery.Recovery
    readonly delay: Duration.Duration
  }>
  /** Of the source, without the envelope; those that were sent, and those that the server already had. */
  readonly bytes: number
  /** Of those bytes: the ones that were requested. */
  readonly digests: Hashing.Digests
  /** Whether the server confirmed a digest. */
  readonly verified: boolean
  /** From opening the source to the response, waits included. */
  readonly durationMillis: number
}

/**
 * What happens to an upload.
 *
 * - `Started`: the source was opened.
 * - `Attempting`: an attempt begins; 1-based. A replay after a login is an attempt, which begins within the other one.
 * - `Sending`: so many bytes of the source were sent.
 * - `AwaitingResponse`: all of them were.
 * - `Retrying`: the attempt failed; the next one follows after `delay`.
 * - `Done`: the server has confirmed it.
 *
 * Their fields:
 *
 * - `source`: the name of the source.
 * - `size`: of the source, in bytes; `undefined` if it is not known.
 * - `attempt`: which attempt; 1 for the first.
 * - `bytes`: how many bytes of the source were sent so far.
 * - `error`: what the attempt failed with.
 * - `recovery`: what the failure asked for.
 * - `report`: what became of the upload.
 *
 * @category models
 * @since 0.1.0
 */
export type Event<E = unknown, Receipt = unknown> =
  | { readonly _tag: "Started"; readonly source: string; readonly size: number | undefined }
  | { readonly _tag: "Attempting"; readonly attempt: number }
  | { readonly _tag: "Sending"; readonly bytes: number; readonly size: number | undefined }
  | { readonly _tag: "AwaitingResponse" }
  | {
    readonly _tag: "Retrying"
    readonly attempt: number
    readonly error: E
    readonly recovery: Recovery.Recovery
    readonly delay: Duration.Duration
  }
  | { readonly _tag: "Done"; readonly report: Report<Receipt> }

/**
 * Uploads an item.
 *
 * @category uploading
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const upload = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  item: Item,
  options: Options<Failure<E>, Receipt> = {}
): Effect.Effect<Report<Receipt>, Failure<E>, R> => Effect.scoped(run(target, item, options))

/**
 * Uploads an item and streams what happens. The last event is `Done` with the report.
 *
 * @category uploading
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const events = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  item: Item,
  options: Omit<Options<Failure<E>, Receipt>, "onEvent"> = {}
): Stream.Stream<Event<Failure<E>, Receipt>, Failure<E>, R> =>
  Stream.callback<Event<Failure<E>, Receipt>, Failure<E>, R>((queue) =>
    upload(target, item, { ...options, onEvent: (event) => Queue.offer(queue, event) }).pipe(
      Effect.matchCauseEffect({
        onFailure: (cause) => Queue.failCause(queue, cause),
        onSuccess: () => Queue.end(queue)
      })
    )
  )

const defaultStallTimeout = Duration.seconds(30)

const defaultResponseTimeout = Duration.minutes(5)

const run = Effect.fnUntraced(
  function*<Item, Receipt, E, R>(
    target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
    item: Item,
    options: Options<Failure<E>, Receipt>
  ): Effect.fn.Return<Report<Receipt>, Failure<E>, R | Scope.Scope> {
    const { onEvent } = options
    const emit: Emit<E, Receipt> = (event) => onEvent === undefined ? Effect.void : Effect.suspend(() => onEvent(event))

    const clock = yield* Clock.Clock
    const begun = monotonicMillis(clock)
    const source = target.source(item)
    const opened = yield* whenFree(source.open)
    yield* emit({ _tag: "Started", source: source.name, size: opened.size })

    const operation = { appliedWhenWhole: true, ...target.operation(item) }
    const idempotent = Operation.isIdempotent(operation, { method: target.method, headers: {} })
    const attempts = (yield* AttemptCount.Current) ?? { count: 0 }
    attempts.count = 0
    let sentBefore = 0
    const begin = Effect.flatMap(Telemetry.attempts, (sent) => {
      sentBefore = sent
      return emit({ _tag: "Attempting", attempt: ++attempts.count })
    })
    // An auth layer may have replayed it.
    const ended = Effect.map(Telemetry.attempts, (sent) => {
      attempts.count += Math.max(0, sent - sentBefore - 1)
    })
    const tracker = BodyTracker.make({
      source,
      opened,
      hashing: yield* Hashing.Current,
      algorithms: [...new Set([...target.digests, ...options.digests ?? []])],
      idempotent,
      scope: yield* Effect.scope,
      clock,
      onBytes: (bytes) => emit({ _tag: "Sending", bytes, size: opened.size }),
      onSent: emit({ _tag: "AwaitingResponse" })
    })
    const watch = watchOf(tracker, clock, options, (timeout, whole) => {
      const ambiguous = !idempotent && ApiError.mayHaveBeenApplied(timeout, whole)
      return new ApiError.ApiError({
        method: target.method,
        endpoint: operation.endpoint,
        reason: ambiguous ? new ApiError.OutcomeUnknown({ failure: timeout }) : timeout
      })
    })
    const { beforeAttempt, policy = RetryPolicy.standard } = options
    const attempt = attemptOnce({ target, item, source, tracker, idempotent, watch, beforeAttempt, begin, ended })

    const recoveries: Array<Report<Receipt>["recoveries"][number]> = []
    const { receipt, verified } = yield* RetryPolicy.retry(attempt, policy, {
      when: (error) => RetryPolicy.history(error) === undefined,
      onEvent: (event) => {
        if (event._tag !== "Retrying") return Effect.void
        const { delay, error, recovery } = event
        recoveries.push({ attempt: attempts.count, error, recovery, delay })
        return emit({ _tag: "Retrying", attempt: attempts.count, error, recovery, delay })
      }
    }).pipe(Telemetry.observeCall, AccessLog.logCall, Operation.within(operation))
    const { bytes = tracker.bytes(), ...digests } = (yield* tracker.sent) ?? {}
    const report: Report<Receipt> = {
      receipt,
      source: source.name,
      attempts: attempts.count,
      recoveries,
      bytes,
      digests,
      verified,
      durationMillis: monotonicMillis(clock) - begun
    }
    yield* emit({ _tag: "Done", report })
    return report
  }
)

type Emit<E, Receipt> = (event: Event<Failure<E>, Receipt>) => Effect.Effect<void>

/** What the attempts of one upload share. */
interface Upload<Item, Receipt, E, R> {
  readonly target: UploadTarget.UploadTarget<Item, Receipt, E, R>
  readonly item: Item
  readonly source: UploadSource.UploadSource<R>
  readonly tracker: BodyTracker.BodyTracker
  readonly idempotent: boolean
  readonly watch: ReturnType<typeof watchOf>
  readonly beforeAttempt: Effect.Effect<void> | undefined
  readonly begin: Effect.Effect<void>
  readonly ended: Effect.Effect<void>
}

/** One attempt: waits for its turn, sends, and compares what the server stored with what was sent. */
const attemptOnce = Effect.fnUntraced(
  function*<Item, Receipt, E, R>(
    { beforeAttempt, begin, ended, idempotent, item, source, target, tracker, watch }: Upload<Item, Receipt, E, R>
  ): Effect.fn.Return<
    { readonly receipt: Receipt; readonly verified: boolean },
    Failure<E>,
    R
  > {
    if (beforeAttempt !== undefined) yield* beforeAttempt
    tracker.reset()
    yield* begin
    const { receipt, stored } = yield* Timeout.withWatchdog(target.send(item, tracker.payload), watch).pipe(
      Effect.onExit(() => ended)
    )
    const sent = (yield* tracker.sent) ?? { bytes: tracker.bytes() }
    return { receipt, verified: yield* verify(source.name, sent, stored, idempotent) }
  },
  (attempt, { source, tracker }) =>
    Effect.mapError(attempt, (error) => {
      const failure = tracker.failure() ?? error
      const lost = !source.replayable && tracker.started() && Recovery.of(failure)._tag === "Retry"
      return lost
        ? new UploadError.UploadError({ source: source.name, reason: new UploadError.NotReplayable({ failure }) })
        : failure
    })
)

/** Ends an attempt of which no byte moves, or whose response does not come. */
const watchOf = (
  tracker: BodyTracker.BodyTracker,
  clock: Clock.Clock,
  options: Options,
  failure: (timeout: ApiError.Timeout, whole: boolean) => ApiError.ApiError
) => {
  const limits = {
    send: Duration.fromInputUnsafe(options.stallTimeout ?? defaultStallTimeout),
    response: Duration.fromInputUnsafe(options.responseTimeout ?? defaultResponseTimeout)
  }
  // A replayed request may stall again, so the watchdog looks again after the shorter limit at the latest.
  const longestLook = Math.min(Duration.toMillis(limits.send), Duration.toMillis(limits.response))
  // A browser that was given a whole body does not say how much it has sent. Each MiB of it may take as long as a stall.
  const unseen = () => Math.ceil(tracker.bytes() / 1_048_576) * Duration.toMillis(limits.send)
  let awaited: keyof typeof limits = "send"
  return {
    remaining: () => {
      const phase = tracker.phase()
      if (phase === "idle") return longestLook
      awaited = phase === "sending" ? "send" : "response"
      const idle = monotonicMillis(clock) - tracker.lastActivityMillis()
      return Math.min(Duration.toMillis(limits[awaited]) + (phase === "entrusted" ? unseen() : 0) - idle, longestLook)
    },
    orElse: () =>
      Effect.fail(
        failure(new ApiError.Timeout({ timeout: limits[awaited], phase: awaited }), awaited === "response")
      )
  }
}

const verify = (
  source: string,
  sent: UploadTarget.Sent,
  stored: UploadTarget.Stored | undefined,
  idempotent: boolean
): Effect.Effect<boolean, UploadError.UploadError> => {
  if (stored === undefined) return Effect.succeed(false)
  let verified = false
  for (const what of ["md5", "sha256", "bytes"] as const) {
    const ours = sent[what]
    const theirs = stored[what]
    if (ours === undefined || theirs === undefined) continue
    if (String(ours) !== String(theirs).toLowerCase()) {
      const mismatch = new UploadError.IntegrityMismatch({ what, sent: `${ours}`, stored: `${theirs}`, idempotent })
      return Effect.fail(new UploadError.UploadError({ source, reason: mismatch }))
    }
    verified ||= what !== "bytes"
  }
  return Effect.succeed(verified)
}
