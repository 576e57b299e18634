/**
 * Uploads that survive the process that began them: each item is an Effect `Workflow` with one `Activity`.
 *
 * **Why**
 *
 * A journal lets whoever runs the batch again go on where it stood. Here nobody has to run it again: the workflow engine
 * does, on the next start or on another machine.
 *
 * **Details**
 *
 * The engine may run an activity twice, when its first runner died or was cut off. So the activity uploads by the word of
 * a `Journal`, which must outlive the runner as the engine's own storage does: what is uploaded is not sent again, and what
 * must not be sent twice and may have been applied fails with the recovery `Verify`.
 *
 * The same program runs embedded on SQLite (`SingleRunner`) and on a cluster (`NodeClusterSocket` on Postgres): only the
 * layers differ.
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
 * const notes = DurableUpload.make("notes", { item: Note, id: ({ name }) => name })
 * const engine = Layer.merge(WorkflowEngine.layerMemory, Journal.layerMemory)
 * const worker = notes.layer(Effect.succeed(target)).pipe(Layer.provideMerge(engine))
 *
 * const summary = await Effect.runPromise(
 *   notes.run("2024-01", [{ name: "a" }, { name: "b" }]).pipe(Effect.provide(worker))
 * )
 * summary.totals.uploaded // => 2
 * ```
 *
 * @since 0.1.0
 */
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import type * as Stream from "effect/Stream"
import * as Activity from "effect/workflow/Activity"
import * as Workflow from "effect/workflow/Workflow"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import type * as Batch from "./Batch.ts"
import * as Schedule from "./internal/schedule.ts"
import * as Journal from "./Journal.ts"
import type * as Uploader from "./Uploader.ts"
import type * as UploadTarget from "./UploadTarget.ts"

/**
 * A failure in words that can be stored: the tag and reason of the error that it was, its message, and what to do about it.
 *
 * @category errors
 * @since 0.1.0
 */
export class DurableFailure extends Schema.TaggedError<DurableFailure>(
  "@effect-resilience/upload/DurableFailure"
)("DurableFailure", {
  error: Schema.String,
  reason: Schema.optionalKey(Schema.String),
  description: Schema.String,
  recovery: Schema.Literals(["Retry", "Reauthenticate", "Correct", "Authorize", "Verify", "GiveUp"]),
  attempts: Schema.Int
}) {
  [Recovery.symbol](): Recovery.Recovery {
    return this.recovery === "Retry" ? Recovery.retry : { _tag: this.recovery }
  }
  override get message(): string {
    return this.description
  }
}

const Done = Schema.Union([
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
      id: Schema.String,
      state: Schema.Literals(["started", "waiting", "uploaded", "failed", "unknown"]),
      attempts: Schema.Int,
      version: Schema.UndefinedOr(Schema.String),
      bytes: Schema.UndefinedOr(Schema.Int),
      md5: Schema.UndefinedOr(Schema.String),
      verified: Schema.Boolean,
      note: Schema.UndefinedOr(Schema.String),
      at: Schema.Finite
    })
  })
])

/**
 * - `layer`: a worker. It uploads what anybody gives to the engine that it shares.
 * - `run`: gives items to the engine and waits for them: so many at once, the items of a key one after the other.
 * - `entryId`: names an item in the workers' journal.
 *
 * @category models
 * @since 0.1.0
 */
export interface DurableUpload<Item> {
  readonly layer: <Receipt, E, R, EX = never, RX = never>(
    target: Effect.Effect<UploadTarget.UploadTarget<Item, Receipt, E, R>, EX, RX>,
    options?: WorkerOptions
  ) => Layer.Layer<never, EX, WorkflowEngine.WorkflowEngine | Journal.Journal | R | RX>

  readonly run: <EI = never, RI = never>(
    batch: string,
    items: Iterable<Item> | Stream.Stream<Item, EI, RI>,
    options?: RunOptions<Item>
  ) => Effect.Effect<Batch.Summary<Item, void, DurableFailure>, EI, WorkflowEngine.WorkflowEngine | RI>

  readonly entryId: (batch: string, item: Item) => string
}

/**
 * - `concurrency`: uploads at once by this worker; default 4.
 * - `onUnknown`: what to do with an item that may have been applied and must not be twice; default `fail`.
 * - `around`: wraps each upload, whose `id` is that of its entry in the journal: to know what is under way, for example.
 *
 * The rest is as for `Uploader.upload`.
 *
 * @category models
 * @since 0.1.0
 */
export interface WorkerOptions extends Omit<Uploader.Options, "onEvent"> {
  readonly concurrency?: number | undefined
  readonly onUnknown?: Journal.OnUnknown | undefined
  readonly around?: (<A, E, R>(id: string, upload: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) | undefined
}

/**
 * - `round`: default 1. The engine remembers failures too; items that failed are tried again under the next number.
 *
 * The rest is as for `Batch.run`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<in Item>
  extends Pick<Batch.Options<Item, void, DurableFailure>, "concurrency" | "pace" | "failFast" | "stop" | "onResult">
{
  readonly round?: number | undefined
}

/**
 * Describes durable uploads of one kind. The name and the schema are stored with the engine, so they must not change while
 * uploads are under way.
 *
 * - `id`: identifies an item in its batch.
 * - `key`: items with the same key never overlap within a `run`; default all may.
 * - `version`: of the item's content, where the caller knows it. With another one the engine takes up the item again, and the
 *   journal decides; default none.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Item, Encoded>(name: string, options: {
  readonly item: Schema.Codec<Item, Encoded>
  readonly id: (item: Item) => string
  readonly key?: ((item: Item) => string) | undefined
  readonly version?: ((item: Item) => string | undefined) | undefined
}): DurableUpload<Item> => {
  const { id, item, key, version = () => undefined } = options
  const workflow = Workflow.make(`upload ${name}`, {
    payload: Schema.Struct({ batch: Schema.String, round: Schema.Int, id: Schema.String, item }),
    success: Done,
    error: DurableFailure,
    idempotencyKey: ({ batch, id, item, round }) => JSON.stringify([batch, id, round, version(item)])
  })

  const entryId = (batch: string, item: Item) => JSON.stringify([batch, id(item)])

  return {
    entryId,
    layer: (target, { around = plainly, concurrency = 4, onUnknown, ...uploader } = {}) =>
      Layer.unwrap(Effect.gen(function*() {
        const to = yield* target
        const permits = yield* Semaphore.make(concurrency)
        return workflow.toLayer(({ batch, item }) =>
          Activity.make({
            name: "upload",
            success: Done,
            error: DurableFailure,
            execute: around(
              entryId(batch, item),
              Journal.upload(to, item, { ...uploader, id: entryId(batch, item), onUnknown })
            ).pipe(
              Effect.mapBoth({ onFailure: failureOf, onSuccess: doneOf }),
              permits.withPermit
            )
          })
        )
      })),
    run: (batch, items, { round = 1, ...options } = {}) => {
      const attached = attachment()
      const method: Schedule.Method<Item, void, DurableFailure, never, WorkflowEngine.WorkflowEngine> = {
        key,
        idempotent: () => true,
        upload: ({ item }) => Effect.map(attached(workflow.execute({ batch, round, id: id(item), item })), outcomeOf),
        endsBatch: (_): _ is never => false
      }
      return Schedule.collect(options, (checked, emit) => Schedule.schedule(items, checked, method, emit))
    }
  }
}

const plainly: NonNullable<WorkerOptions["around"]> = (_, upload) => upload

const attachments = 60
const outage = 60_000

// Whoever waits for an execution can be interrupted by the runner that it leaves, a worker that shuts down for example, and
// dies of a storage that fails. The engine goes on with it, and to execute it again is to wait for it again.
const attachment = () => {
  // Of the engine's storage, as all executions of this run see it.
  let failingSince: number | undefined
  const attached = <A, R>(
    execution: Effect.Effect<A, DurableFailure, R>,
    left = attachments
  ): Effect.Effect<A, DurableFailure, R> =>
    Effect.onExitPrimitive(execution, (exit) => {
      if (Exit.isSuccess(exit) || Cause.hasFails(exit.cause)) failingSince = undefined
      return undefined
    }).pipe(Effect.catchCause((cause) => {
      if (Cause.hasInterruptsOnly(cause)) {
        return left > 0
          ? Effect.delay(attached(execution, left - 1), "1 second")
          : Effect.fail(lost("Interrupted", again))
      }
      const failure = cause.reasons.find((reason) => reason._tag === "Die" && isOfStorage(reason.defect))
      if (failure?._tag !== "Die") return Effect.failCause(cause)
      return Effect.flatMap(Clock.monotonicTimeNanos, (nanos) => {
        const now = Number(nanos) / 1e6
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
  const tag = tagOf(defect)
  return tag === "PersistenceError" || tag === "SqlError"
}

// The engine's own message says only that its storage failed; the one beneath says why.
const causesOf = (defect: unknown): string =>
  Predicate.hasProperty(defect, "cause") && Predicate.hasProperty(defect.cause, "message")
    ? causesOf(defect.cause)
    : Predicate.hasProperty(defect, "message")
    ? String(defect.message)
    : String(defect)

const doneOf = <Receipt>(outcome: Journal.Outcome<Receipt>): typeof Done.Type => {
  if (outcome._tag === "Skipped") return outcome
  const { attempts, bytes, digests, durationMillis, source, verified } = outcome.report
  const recoveries = outcome.report.recoveries.map(({ attempt, delay, error }) => ({
    attempt,
    error: failureOf(error),
    delayMillis: Duration.toMillis(delay)
  }))
  return { _tag: "Uploaded", source, attempts, bytes, ...digests, verified, durationMillis, recoveries }
}

const outcomeOf = (done: typeof Done.Type): Journal.Outcome<void> => {
  if (done._tag === "Skipped") return done
  const { attempts, bytes, durationMillis, md5, sha256, source, verified } = done
  const digests = { md5, sha256 }
  const recoveries = done.recoveries.map(({ attempt, delayMillis, error }) => ({
    attempt,
    error,
    recovery: Recovery.of(error),
    delay: Duration.millis(delayMillis)
  }))
  return {
    _tag: "Uploaded",
    report: { receipt: undefined, source, attempts, recoveries, bytes, digests, verified, durationMillis }
  }
}

const failureOf = (error: unknown): DurableFailure => {
  const reason = Predicate.hasProperty(error, "reason") ? tagOf(error.reason) : undefined
  return new DurableFailure({
    error: tagOf(error) ?? "Error",
    ...(reason === undefined ? {} : { reason }),
    description: Predicate.hasProperty(error, "message") ? String(error.message) : String(error),
    recovery: Recovery.of(error)._tag,
    attempts: RetryPolicy.history(error)?.attempts.length ?? 1
  })
}

const tagOf = (u: unknown): string | undefined =>
  Predicate.hasProperty(u, "_tag") && typeof u._tag === "string" ? u._tag : undefined
