/**
 * Remembers what became of each item, so that a batch that was cut off goes on where it stood.
 *
 * **Why**
 *
 * A process can be killed at any moment. Whoever runs it again must not send twice what cannot be sent twice, need not
 * send what is there, and must send the rest.
 *
 * **Details**
 *
 * An item's state is recorded before each attempt, when an attempt has certainly not been applied, and at the end. `upload`
 * reads it first: what is uploaded is skipped, unless its source has changed since; what an earlier run began without
 * learning the end is sent again if that is harmless, and fails with `InDoubt` otherwise.
 *
 * **Example** (The second run sends nothing)
 *
 * ```ts import.meta.vitest
 * import { Journal, UploadSource, type UploadTarget } from "@effect-resilience/upload"
 * import { Effect, Stream } from "effect"
 *
 * const target: UploadTarget.UploadTarget<string, string> = {
 *   method: "PUT",
 *   operation: () => ({ name: "put", endpoint: "/notes/{name}" }),
 *   source: (name) => UploadSource.bytes(name, "text"),
 *   key: undefined,
 *   digests: [],
 *   send: (name, payload) => Effect.as(Stream.runDrain(payload.stream), { receipt: name })
 * }
 *
 * const upload = Journal.upload(target, "a.txt", { id: "a.txt" })
 * const twice = Effect.all([upload, upload]).pipe(Effect.provide(Journal.layerMemory))
 * const outcomes = await Effect.runPromise(twice)
 * outcomes.map((outcome) => outcome._tag) // => ["Uploaded", "Skipped"]
 * ```
 *
 * @since 0.1.0
 */
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Operation from "@effect-resilience/http/Operation"
import * as Attempt from "@effect-resilience/retry/Attempt"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { findEach } from "./internal/findEach.ts"
import { sqlStore } from "./internal/sqlJournal.ts"
import type * as Progress from "./Progress.ts"
import * as Uploader from "./Uploader.ts"
import * as UploadError from "./UploadError.ts"
import type * as UploadTarget from "./UploadTarget.ts"

/**
 * - `started`: an attempt is under way, or was when its process died.
 * - `waiting`: the last attempt was certainly not applied; another may follow.
 * - `uploaded`: confirmed by the server.
 * - `failed`: given up; certainly not applied.
 * - `unknown`: given up; may have been applied.
 *
 * @category models
 * @since 0.1.0
 */
export type State = "started" | "waiting" | "uploaded" | "failed" | "unknown"

/**
 * What is known of an item.
 *
 * - `version`: of the source that was sent, where it has one.
 * - `note`: the last failure, for people.
 * - `at`: when this was recorded, in milliseconds since 1970.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly id: string
  readonly state: State
  readonly attempts: number
  readonly version: string | undefined
  readonly bytes: number | undefined
  readonly md5: string | undefined
  readonly verified: boolean
  readonly note: string | undefined
  readonly at: number
}

/**
 * The journal could not be read or written.
 *
 * @category errors
 * @since 0.1.0
 */
export class JournalError extends Data.TaggedError("JournalError")<{
  readonly operation: "open" | "read" | "write"
  readonly cause: unknown
}> {
  override get message(): string {
    const why = Predicate.hasProperty(this.cause, "message") ? `: ${String(this.cause.message)}` : ""
    return `could not ${this.operation} the journal${why}`
  }
}

/**
 * Where entries are kept.
 *
 * - `find`: the entries with these ids, and maybe as many others.
 * - `record`: keeps an entry in the place of the one with its id. When it returns, the entry survives the process; a
 *   `durable` one survives a power failure too, where the store can promise that.
 * - `entries`: all of them, in the order of their ids.
 *
 * @category services
 * @since 0.1.0
 */
export class Journal extends Context.Service<Journal, {
  readonly find: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, Entry>, JournalError>
  readonly record: (entry: Entry, durable?: boolean) => Effect.Effect<void, JournalError>
  readonly entries: Stream.Stream<Entry, JournalError>
}>()("@effect-resilience/upload/Journal") {}

/**
 * A journal that lives as long as the process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<Journal> = Layer.sync(Journal, () => {
  const entries = new Map<string, Entry>()
  return {
    find: (ids) =>
      Effect.sync(() =>
        new Map(ids.flatMap((id) => {
          const entry = entries.get(id)
          return entry === undefined ? [] : [[id, entry] as const]
        }))
      ),
    record: (entry) =>
      Effect.sync(() => {
        entries.set(entry.id, entry)
      }),
    entries: Stream.suspend(() => Stream.fromIterable([...entries.values()].sort((a, b) => a.id < b.id ? -1 : 1)))
  }
})

/**
 * A journal in a database, in the table `upload_journal`, which is created where it is missing.
 *
 * **Details**
 *
 * What arrives while a transaction is written goes into the next one together. On SQLite a durable entry is written with
 * `synchronous = FULL`, any other one as the connection is set.
 *
 * An id may have 2,600 bytes on Postgres, any number on SQLite, and 700 characters elsewhere.
 *
 * A database that falls silent fails each call within `storeTimeout`, so that nothing counts as recorded that is not. Then
 * nothing is written until it has responded to the write that it holds up.
 *
 * - `batch`: separates batches that share a database, in up to 255 characters; default `""`.
 * - `storeTimeout`: how long the database may take to respond; default 10 seconds.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSql = (
  options: { readonly batch?: string | undefined; readonly storeTimeout?: Duration.Input | undefined } = {}
): Layer.Layer<Journal, JournalError, SqlClient.SqlClient> =>
  Layer.effect(
    Journal,
    Effect.flatMap(SqlClient.SqlClient, (sql) =>
      sqlStore(sql, options.batch ?? "", options.storeTimeout ?? "10 seconds", (operation, cause) =>
        new JournalError({ operation, cause })))
  )

/**
 * What to do with an item whose fate is unknown and which must not be sent twice: fail with `InDoubt`, leave it, or send
 * it again all the same.
 *
 * @category models
 * @since 0.1.0
 */
export type OnUnknown = "fail" | "skip" | "retry"

/**
 * - `id`: identifies the item in the journal, in this run and any later one.
 * - `onUnknown`: default `fail`.
 * - `known`: the item's entry, where it was already looked up; `null` where there is none.
 *
 * The rest is as for `Uploader.upload`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in E = never, in Receipt = never> extends Uploader.Options<E, Receipt> {
  readonly id: string
  readonly onUnknown?: OnUnknown | undefined
  readonly known?: Entry | null | undefined
}

/**
 * - `Uploaded`: by this run.
 * - `Skipped`: by an earlier run, or because its fate is unknown and the caller said so.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome<Receipt> =
  | { readonly _tag: "Uploaded"; readonly report: Uploader.Report<Receipt> }
  | { readonly _tag: "Skipped"; readonly entry: Entry }

/**
 * Uploads an item, unless the journal says that it need not or must not be.
 *
 * @category uploading
 * @since 0.1.0
 */
export const upload: <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  item: Item,
  options: Options<Uploader.Failure<E>, Receipt>
) => Effect.Effect<Outcome<Receipt>, Uploader.Failure<E> | JournalError, R | Journal> = Effect.fnUntraced(
  function*<Item, Receipt, E, R>(
    target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
    item: Item,
    options: Options<Uploader.Failure<E>, Receipt>
  ): Effect.fn.Return<Outcome<Receipt>, Uploader.Failure<E> | JournalError, R | Journal> {
    const { id, onUnknown = "fail" } = options
    const journal = yield* Journal
    const clock = yield* Clock.Clock
    const idempotent = Operation.isIdempotent(target.operation(item), { method: target.method, headers: {} })

    const known = options.known === undefined ? (yield* journal.find([id])).get(id) : options.known ?? undefined
    if (known !== undefined) {
      const verdict = yield* judge(target, item, known, idempotent, onUnknown)
      if (verdict !== undefined) return verdict
    }

    let last: Entry = {
      id,
      state: "waiting",
      attempts: 0,
      version: undefined,
      bytes: undefined,
      md5: undefined,
      verified: false,
      note: undefined,
      at: 0
    }
    let sent: "nothing" | "some" | "all" = "nothing"
    const record = (change: Partial<Entry>, durable?: boolean) => {
      last = { ...last, ...change, at: clock.currentTimeMillisUnsafe() }
      return journal.record(last, durable)
    }
    const recording: UploadTarget.UploadTarget<Item, Receipt, E | JournalError, R> = {
      ...target,
      // Were this forgotten, an item that must not be sent twice would be. Nothing else needs to be safe at once: an end
      // that is forgotten leaves an append in doubt and sends anything else again.
      send: (item, payload) =>
        Attempt.Current.pipe(
          Effect.flatMap(({ attempt }) =>
            record({ state: "started", attempts: attempt, version: payload.version }, !idempotent)
          ),
          Effect.flatMap(() => {
            sent = "some"
            return target.send(item, payload)
          })
        )
    }
    const report = yield* Uploader.upload(recording, item, {
      ...options,
      onEvent: (event) => {
        // A journal's failure is never retried, so no event holds one.
        const told = options.onEvent?.(event as Progress.Event<Uploader.Failure<E>, Receipt>) ?? Effect.void
        if (event._tag === "AwaitingAnswer") sent = "all"
        if (event._tag !== "Retrying") return told
        const note = record({ state: "waiting", note: messageOf(event.error) })
        return Effect.andThen(Effect.ignore(note), told)
      }
    }).pipe(
      Effect.tapError((error) =>
        sent === "nothing" || error instanceof JournalError
          ? Effect.void
          : record({
            state: Recovery.of(error)._tag === "Verify" ? "unknown" : "failed",
            note: messageOf(error)
          })
      ),
      // What was interrupted before its last byte left cannot have been applied.
      Effect.onInterrupt(() => sent === "some" ? Effect.ignore(record({ state: "waiting" })) : Effect.void)
    )
    const { bytes, digests, verified } = report
    yield* record({ state: "uploaded", attempts: report.attempts, bytes, md5: digests.md5, verified, note: undefined })
    return { _tag: "Uploaded", report }
  }
)

/**
 * What `upload` would do with an item: send it, skip it, or refuse to do either.
 *
 * - `entry`: of the item, where it has one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Finding {
  readonly verdict: "send" | "skip" | "refuse"
  readonly entry: Entry | undefined
}

/**
 * Looks up what `upload` would do with each of many items. Nothing is sent; sources that were uploaded are asked whether they
 * have changed.
 *
 * - `id`: identifies an item in the journal, as for `upload`.
 * - `onUnknown`: default `fail`.
 * - `known`: the entry of each item, where they were already found.
 *
 * @category accessors
 * @since 0.1.0
 */
export const look = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  items: ReadonlyArray<Item>,
  options: {
    readonly id: (item: Item, index: number) => string
    readonly onUnknown?: OnUnknown | undefined
    readonly known?: ReadonlyArray<Entry | undefined> | undefined
  }
): Effect.Effect<ReadonlyArray<Finding>, JournalError, R | Journal> =>
  Effect.gen(function*() {
    const journal = yield* Journal
    const findings: Array<Finding> = []
    for (const page of Arr.chunksOf(items, 1_000)) {
      const entries = options.known?.slice(findings.length) ??
        (yield* findEach(journal, page.map((item, i) => options.id(item, findings.length + i))))
      const judged = page.map((item, i) => ({ item, entry: entries[i] }))
      // A fiber for each item would cost more than a look at a file that is at hand.
      const verdicts = yield* Effect.forEach(
        Arr.chunksOf(judged, 32),
        Effect.forEach(({ entry, item }) =>
          entry === undefined ? toSend : verdictOn(target, item, entry, options.onUnknown)
        ),
        { concurrency: opensAtOnce }
      )
      for (const some of verdicts) findings.push(...some)
      // A thousand files may have been looked at without a pause, and signals wait for one.
      yield* Effect.yieldNow
    }
    return findings
  })

const opensAtOnce = 32

const toSend = Effect.succeed<Finding>({ verdict: "send", entry: undefined })

const verdictOn = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  item: Item,
  entry: Entry,
  onUnknown: OnUnknown = "fail"
): Effect.Effect<Finding, never, R> => {
  const idempotent = Operation.isIdempotent(target.operation(item), { method: target.method, headers: {} })
  return Effect.match(judge(target, item, entry, idempotent, onUnknown), {
    onFailure: (): Finding => ({ verdict: "refuse", entry }),
    onSuccess: (outcome): Finding => ({ verdict: outcome === undefined ? "send" : "skip", entry })
  })
}

const judge = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  item: Item,
  entry: Entry,
  idempotent: boolean,
  onUnknown: OnUnknown
): Effect.Effect<Outcome<Receipt> | undefined, UploadError.UploadError, R> => {
  const fail = (reason: UploadError.Reason) =>
    Effect.fail(new UploadError.UploadError({ source: target.source(item).name, reason }))
  const skipped = Effect.succeed<Outcome<Receipt>>({ _tag: "Skipped", entry })
  switch (entry.state) {
    case "waiting":
    case "failed":
      return Effect.succeed(undefined)
    case "started":
    case "unknown":
      if (idempotent || onUnknown === "retry") return Effect.succeed(undefined)
      return onUnknown === "skip" ? skipped : fail(new UploadError.InDoubt({ since: entry.at }))
    case "uploaded":
      return Effect.matchEffect(target.source(item).open, {
        // It may well be cleared away by now.
        onFailure: () => skipped,
        onSuccess: ({ version }) => {
          if (version === entry.version || version === undefined || entry.version === undefined) return skipped
          if (idempotent) return Effect.succeed(undefined)
          return fail(new UploadError.SourceChanged({ description: "it was uploaded before it changed" }))
        }
      })
  }
}

const messageOf = (error: unknown): string =>
  Predicate.hasProperty(error, "message") && typeof error.message === "string" ? error.message : String(error)
