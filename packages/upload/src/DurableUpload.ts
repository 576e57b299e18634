/**
 * Uploads that survive the process that began them. The uploads to one place are an Effect `Workflow` with one `Activity`
 * each, in the order of the list.
 *
 * **Why**
 *
 * With a journal, the next run of a batch continues where the last one stopped. Here no further run is needed: the workflow
 * engine continues on the next start or on another machine.
 *
 * **Details**
 *
 * The engine may run an activity twice, if its first runner died or was cut off. So the activity consults a `Journal`, which
 * must outlive the runner as the engine's own storage does. What is uploaded is not sent again. What must not be sent twice
 * and may have been applied fails with the recovery `Verify`. The journal's places and names are those of `make` and do not
 * contain the batch's name, so a batch that is submitted under another name finds what is there.
 *
 * The same program runs embedded on SQLite (`SingleRunner`) and on a cluster (`NodeClusterSocket` on Postgres): only the
 * layers differ.
 *
 * **Gotchas**
 *
 * When a runner joins a cluster, shards move to it. The engine gives what runs there its `entityTerminationTimeout` (15
 * seconds by default), then interrupts it: an addition that is being sent is in doubt. So let that be longer than an upload
 * takes. A place with several items moves only when that time is over.
 *
 * **Example** (The engine in memory)
 *
 * ```ts import.meta.vitest
 * import { DurableUpload, Journal, UploadSource, type UploadTarget } from "@effect-resilience/upload"
 * import { Effect, Layer, Schema, Stream } from "effect"
 * import { WorkflowEngine } from "effect/workflow"
 *
 * const Note = Schema.Struct({ name: Schema.String })
 * const target: UploadTarget.UploadTarget<typeof Note.Type, string> = {
 *   method: "PUT",
 *   operation: () => ({ name: "put", endpoint: "/notes/{name}" }),
 *   source: ({ name }) => UploadSource.bytes(name, "text"),
 *   key: undefined,
 *   digests: ["md5"],
 *   send: ({ name }, payload) => Effect.as(Stream.runDrain(payload.stream), { receipt: name })
 * }
 *
 * const notes = DurableUpload.make("notes", { item: Note, name: ({ name }) => name })
 * const engine = Layer.merge(WorkflowEngine.layerMemory, Journal.layerMemory)
 * const worker = notes.layer(Effect.succeed(target)).pipe(Layer.provideMerge(engine))
 *
 * const summary = await Effect.runPromise(
 *   notes.run("2024-01", [{ name: "a" }, { name: "b" }]).pipe(Effect.provide(worker))
 * )
 * summary.totals.uploaded // => 2
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import * as Time from "@effect-resilience/kernel/Time"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Activity from "effect/workflow/Activity"
import * as Workflow from "effect/workflow/Workflow"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import type * as Batch from "./Batch.ts"
import * as AttemptCount from "./internal/attemptCount.ts"
import * as BatchRunner from "./internal/batchRunner.ts"
import * as Gate from "./internal/gate.ts"
import * as Journal from "./Journal.ts"
import type * as Uploader from "./Uploader.ts"
import * as UploadPlan from "./UploadPlan.ts"
import type * as UploadTarget from "./UploadTarget.ts"

/**
 * A failure that can be stored: the error's tag and reason, its message, and its recovery.
 *
 * @category errors
 * @since 0.1.0
 */
export class DurableFailure extends Schema.TaggedError<DurableFailure>(
  "@effect-resilience/upload/DurableFailure"
)("DurableFailure", {
  /** The tag of the error. */
  error: Schema.String,
  /** The tag of its reason; absent if it has none. */
  reason: Schema.optionalKey(Schema.String),
  /** Its message. */
  description: Schema.String,
  /** The tag of its `Recovery`. */
  recovery: Schema.Literals(["Retry", "Reauthenticate", "Correct", "Authorize", "Verify", "GiveUp"]),
  /** How many attempts were made. */
  attempts: Schema.Int
}) {
  [Recovery.symbol](): Recovery.Recovery {
    return this.recovery === "Retry" ? Recovery.retry : { _tag: this.recovery }
  }
  override get message(): string {
    return this.description
  }
}

const Ended = Schema.Union([
  Schema.Struct({
    _tag: Schema.tag("Uploaded"),
    source: Schema.String,
    attempts: Schema.Int,
    bytes: Schema.Int,
    md5: Schema.optional(Schema.String),
    sha256: Schema.optional(Schema.String),
    verified: Schema.Boolean,
    durationMillis: Schema.Finite,
    recoveries: Schema.Array(Schema.Struct({
      attempt: Schema.Int,
      error: DurableFailure,
      delayMillis: Schema.Finite
    }))
  }),
  Schema.Struct({
    _tag: Schema.tag("Skipped"),
    entry: Schema.Struct({
      place: Schema.String,
      ordinal: Schema.Int,
      run: Schema.String,
      revision: Schema.Int,
      action: Schema.Literals(["replace", "add"]),
      name: Schema.String,
      state: Schema.Literals(["started", "waiting", "retrying", "uploaded", "failed", "unknown"]),
      attempts: Schema.Int,
      version: Schema.UndefinedOr(Schema.String),
      bytes: Schema.UndefinedOr(Schema.Int),
      md5: Schema.UndefinedOr(Schema.String),
      verified: Schema.Boolean,
      note: Schema.UndefinedOr(Schema.String),
      at: Schema.Finite
    }),
    why: Schema.Literals(["uploaded", "assumed", "superseded"])
  }),
  Schema.Struct({ _tag: Schema.tag("Failed"), error: DurableFailure }),
  // `behind` counts the uploads of the place, from 0.
  Schema.Struct({ _tag: Schema.tag("NotStarted"), behind: Schema.Int })
])
type Ended = typeof Ended.Type

/**
 * Uploads of one kind that survive the end of a process.
 *
 * @category models
 * @stability rests on effect/http, effect/workflow
 * @since 0.1.0
 */
export interface DurableUpload<Item> {
  /** A worker. It uploads what any `run` submits to the same engine. */
  readonly layer: <Receipt, E, R, EX = never, RX = never>(
    target: Effect.Effect<UploadTarget.UploadTarget<Item, Receipt, E, R>, EX, RX>,
    options?: WorkerOptions
  ) => Layer.Layer<never, EX, WorkflowEngine.WorkflowEngine | Journal.Journal | R | RX>

  /**
   * Submits items to the engine and waits for them: `concurrency` places at once, a place's items one by one. The results of a
   * place come together.
   */
  readonly run: <EI = never, RI = never>(
    batch: string,
    items: Iterable<Item> | Stream.Stream<Item, EI, RI>,
    options?: RunOptions<Item>
  ) => Effect.Effect<Batch.Summary<Item, void, DurableFailure>, EI, WorkflowEngine.WorkflowEngine | RI>

  /** Compares items with the journal, as `UploadPlan.make` does. */
  readonly plan: <Receipt, E, R>(
    target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
    items: ReadonlyArray<Item>,
    options?: Pick<WorkerOptions, "onUnknown" | "onChanged">
  ) => Effect.Effect<UploadPlan.Plan<Item, R>, Journal.JournalError, Journal.Journal>
}

/**
 * How a worker uploads.
 *
 * The rest is as for `Uploader.upload`.
 *
 * @category models
 * @since 0.1.0
 */
export interface WorkerOptions extends Omit<Uploader.Options, "onEvent"> {
  /** Uploads at once by this worker; default 4. */
  readonly concurrency?: number | undefined
  /** What to do with an item that may have been applied and must not be sent twice; default `fail`. */
  readonly onUnknown?: Journal.OnUnknown | undefined
  /** What to do with an addition whose content has changed since it was uploaded; default `fail`. */
  readonly onChanged?: Journal.OnChanged | undefined
  /** Wraps each upload and receives its place, for example to know what is running. */
  readonly around?: (<A, E, R>(place: string, upload: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) | undefined
}

/**
 * How items are submitted.
 *
 * - `pace`: the least time between the submissions of two places; default none.
 *
 * The rest is as for `Batch.run`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<in Item>
  extends Pick<Batch.Options<Item, void, DurableFailure>, "pace" | "failFast" | "stop" | "onResult">
{
  /**
   * Places at once; default 4. An effect is run every five seconds, for a number that follows the workers; what is submitted
   * stays submitted if the number falls.
   */
  readonly concurrency?: number | Effect.Effect<number> | undefined
  /** Default 1. The engine remembers failures too. The next number runs items that failed again. */
  readonly round?: number | undefined
}

/**
 * Describes durable uploads of one kind. The name and the schema are stored with the engine, so they must not change while
 * uploads are running.
 *
 * - `name`: of an item's source, the same in every run.
 * - `place`: where an item goes. Items for one place never overlap within a `run`, and one whose predecessor failed is not
 *   started; default the name.
 * - `version`: of the item's other fields and, if the caller knows it, of its content. Under another version the engine runs
 *   the place again, and the journal decides; default none.
 * - `item`: stores an item with the engine.
 *
 * @category constructors
 * @stability rests on effect/http, effect/workflow
 * @since 0.1.0
 */
export const make = <Item, Encoded>(kind: string, options: {
  readonly item: Schema.Codec<Item, Encoded>
  readonly name: (item: Item) => string
  readonly place?: ((item: Item) => string) | undefined
  readonly version?: ((item: Item) => string | undefined) | undefined
}): DurableUpload<Item> => {
  const { item, name, place = name, version = () => undefined } = options
  const workflow = Workflow.make(`upload ${kind} by place`, {
    payload: Schema.Struct({
      batch: Schema.String,
      round: Schema.Int,
      place: Schema.String,
      items: Schema.Array(item)
    }),
    success: Schema.Array(Ended),
    idempotencyKey: ({ batch, items, place, round }) =>
      JSON.stringify([batch, place, round, items.map((item) => [name(item), version(item)])])
  })
  const plan: DurableUpload<Item>["plan"] = (target, items, options) =>
    UploadPlan.make(target, items, { ...options, place, name, complete: false })

  return {
    plan,
    layer: (target, { around = unwrapped, concurrency = 4, onChanged, onUnknown, ...uploader } = {}) =>
      Layer.unwrap(Effect.gen(function*() {
        const to = yield* target
        const permits = yield* Semaphore.make(concurrency)
        return workflow.toLayer(({ items, place }) =>
          Effect.gen(function*() {
            // Each runner of the workflow makes its own plan: the journal contains what another runner recorded.
            const planned = yield* Effect.cached(plan(to, items, { onUnknown, onChanged }))
            const all: Array<Ended> = []
            for (const i of items.keys()) {
              const behind = all.findIndex(({ _tag }) => _tag === "Failed")
              const attempts: AttemptCount.AttemptCount = { count: 0 }
              all.push(
                yield* Activity.make({
                  name: `upload ${i + 1}`,
                  success: Ended,
                  execute: permits.withPermit(
                    Effect.gen(function*() {
                      const plan = yield* planned
                      if (behind >= 0 && (yield* plan.verdict(i))._tag === "Send") return notStarted(behind)
                      return endedOf(yield* around(place, UploadPlan.upload(to, plan, i, uploader)))
                    }).pipe(
                      Effect.provideService(AttemptCount.Current, attempts),
                      Effect.catch((error) =>
                        Effect.succeed<Ended>({ _tag: "Failed", error: failureOf(error, attempts.count || undefined) })
                      )
                    )
                  )
                })
              )
            }
            return all
          })
        )
      })),
    run: (batch, items, { concurrency: bound = 4, round = 1, ...options } = {}) => {
      const concurrency = typeof bound === "number" ? bound : undefined
      return BatchRunner.collect(
        { ...options, concurrency },
        ({ concurrency, failFast = false, pace = 0, stop }, emit) =>
          Effect.scoped(Effect.gen(function*() {
            const all = Stream.isStream(items) ? yield* Stream.runCollect(items) : [...items]
            const places = new Map<string, Array<readonly [number, Item]>>()
            for (const row of all.entries()) {
              const rows = places.get(place(row[1]))
              if (rows === undefined) places.set(place(row[1]), [row])
              else rows.push(row)
            }
            const gate = Gate.make({ clock: yield* Clock.Clock, pace: Duration.fromInputUnsafe(pace), concurrency })
            const abandon = yield* Deferred.make<void>()
            const attached = attachment()
            let stopping = false

            const submit = (place: string, rows: ReadonlyArray<readonly [number, Item]>) => {
              const every = (result: Ended | Abandoned | Left): ReadonlyArray<Ended | Abandoned | Left> =>
                rows.map(() => result)
              const execution = workflow.execute({ batch, round, place, items: rows.map(([, item]) => item) })
              const ended = Effect.matchEffect(attached(execution), {
                onFailure: (error) => Effect.succeed(every({ _tag: "Failed", error })),
                onSuccess: Effect.succeed<ReadonlyArray<Ended | Abandoned | Left>>
              })
              const abandoned = Effect.as(Deferred.await(abandon), every({ _tag: "Abandoned" }))
              return Effect.suspend(() =>
                stopping
                  ? Effect.succeed(every({ _tag: "Left" }))
                  : Effect.andThen(gate.pass, stop === undefined ? ended : Effect.raceFirst(ended, abandoned))
              ).pipe(
                Effect.flatMap((results) =>
                  Effect.forEach(rows, ([index, item], i) => {
                    const result = resultOf(results[i] ?? { _tag: "Left" }, index, item, rows)
                    if (failFast && result._tag === "Failed") stopping = true
                    return emit(result)
                  }, { discard: true })
                )
              )
            }
            const slots = yield* Semaphore.make(concurrency)
            if (typeof bound !== "number") {
              const follow = Effect.flatMap(bound, (places) => slots.resize(Math.max(1, places)))
              yield* follow
              yield* Effect.forkScoped(Effect.repeat(Effect.delay(follow, "5 seconds"), Schedule.forever))
            }
            const submitted = yield* FiberSet.make<void, never>()
            const submitting = Effect.gen(function*() {
              for (const [place, rows] of places) {
                yield* slots.take(1)
                yield* FiberSet.run(submitted, Effect.ensuring(submit(place, rows), slots.release(1)))
              }
              yield* FiberSet.awaitEmpty(submitted)
            })
            // A defect of one ends them all.
            const work = Effect.raceFirst(submitting, FiberSet.join(submitted))
            if (stop === undefined) return yield* work
            const stopper = Effect.flatMap(stop, (mode) => {
              stopping = true
              return mode === "abandon" ? Deferred.succeed(abandon, undefined) : Effect.void
            })
            return yield* Effect.raceFirst(work, Effect.andThen(stopper, Effect.never))
          }))
      )
    }
  }
}

interface Abandoned {
  readonly _tag: "Abandoned"
}
interface Left {
  readonly _tag: "Left"
}

const notStarted = (behind: number): Ended => ({ _tag: "NotStarted", behind })

const resultOf = <Item>(
  ended: Ended | Abandoned | Left,
  index: number,
  item: Item,
  rows: ReadonlyArray<readonly [number, Item]>
): Batch.Result<Item, void, DurableFailure> => {
  switch (ended._tag) {
    case "Uploaded":
      return { _tag: "Uploaded", index, item, report: reportOf(ended) }
    case "Skipped":
      return { ...ended, index, item }
    case "Failed":
      return { ...ended, index, item, attempts: ended.error.attempts }
    case "NotStarted":
      return { _tag: "NotStarted", index, item, behind: rows[ended.behind]?.[0] }
    case "Left":
      return { _tag: "NotStarted", index, item }
    case "Abandoned":
      return { _tag: "Abandoned", index, item, outcomeUnknown: false }
  }
}

const unwrapped: NonNullable<WorkerOptions["around"]> = (_, upload) => upload

const attachments = 60
const outage = 60_000

// A runner that shuts down can interrupt the caller that waits for an execution, and a storage that fails is a defect in it.
// The engine continues the execution, and executing it again waits for it again.
const attachment = () => {
  // Shared by all executions of this run, since they use one storage.
  let failingSince: number | undefined
  const attached = <A, R>(
    execution: Effect.Effect<A, never, R>,
    left = attachments
  ): Effect.Effect<A, DurableFailure, R> =>
    Effect.onExitPrimitive(execution, (exit) => {
      if (Exit.isSuccess(exit)) failingSince = undefined
      return undefined
    }).pipe(Effect.catchCause((cause) => {
      if (Cause.hasInterruptsOnly(cause)) {
        return left > 0
          ? Effect.delay(attached(execution, left - 1), "1 second")
          : Effect.fail(lost("Interrupted", again))
      }
      const failure = cause.reasons.find((reason) => reason._tag === "Die" && isOfStorage(reason.defect))
      if (failure?._tag !== "Die") return Effect.failCause(cause)
      return Effect.flatMap(Time.now, (now) => {
        failingSince ??= now
        return now - failingSince < outage
          ? Effect.delay(attached(execution, left), "1 second")
          : Effect.fail(lost("EngineUnavailable", `${unavailable}: ${causesOf(failure.defect)}`))
      })
    }))
  return attached
}

const again = "the engine interrupted this upload again and again; submit it under another round"
const unavailable = "what became of this upload is not known, for the engine's storage fails"

const lost = (error: string, description: string) =>
  new DurableFailure({ error, description, recovery: "Retry", attempts: 0 })

const isOfStorage = (defect: unknown): boolean => {
  const tag = ErrorName.tagOf(defect)
  return tag === "PersistenceError" || tag === "SqlError"
}

// The engine's own message says only that its storage failed; its cause says why.
const causesOf = (defect: unknown): string => ErrorMessage.innermostOf(defect) ?? ErrorMessage.textOf(defect)

const endedOf = <Receipt>(outcome: UploadPlan.Outcome<Receipt>): Ended => {
  if (outcome._tag === "Skipped") return outcome
  const { attempts, bytes, digests, durationMillis, source, verified } = outcome.report
  const recoveries = outcome.report.recoveries.map(({ attempt, delay, error }) => ({
    attempt,
    error: failureOf(error),
    delayMillis: Duration.toMillis(delay)
  }))
  return { _tag: "Uploaded", source, attempts, bytes, ...digests, verified, durationMillis, recoveries }
}

const reportOf = (ended: Extract<Ended, { readonly _tag: "Uploaded" }>): Uploader.Report<void> => {
  const { attempts, bytes, durationMillis, md5, sha256, source, verified } = ended
  const digests = { md5, sha256 }
  const recoveries = ended.recoveries.map(({ attempt, delayMillis, error }) => ({
    attempt,
    error,
    recovery: Recovery.of(error),
    delay: Duration.millis(delayMillis)
  }))
  return { receipt: undefined, source, attempts, recoveries, bytes, digests, verified, durationMillis }
}

const failureOf = (
  error: unknown,
  attempts = RetryPolicy.history(error)?.attempts.length ?? 1
): DurableFailure => {
  if (error instanceof Journal.JournalError && error.cause instanceof Journal.PlaceTaken) {
    return failureOf(error.cause, attempts)
  }
  const reason = ErrorName.reasonTagOf(error)
  return new DurableFailure({
    error: ErrorName.nameOf(error),
    ...(reason === undefined ? {} : { reason }),
    description: ErrorMessage.textOf(error),
    recovery: Recovery.of(error)._tag,
    attempts
  })
}
