/**
 * Uploads a list according to a `Journal`, so that each place ends as the list says, in its order.
 *
 * **Details**
 *
 * An idempotent upload *replaces* what is at its place; any other one *adds* to it. A source is recognised by its content, not
 * by its name: by its version where an entry has the same one, otherwise by its md5, which is computed beside the send, and
 * before it for an addition. A source that is gone is recognised by its name. A list and a place's history determine what is
 * done with each item:
 *
 * - What is there is skipped. What a later upload wiped out is not there.
 * - A replacement whose content has changed, or cannot be compared, is sent again, with everything behind it at its place.
 * - An addition that an earlier run began without learning the outcome fails with `InDoubt`. One whose content has changed under
 *   the same name fails with `ChangedSinceUpload`, and so does one that cannot be compared with an addition of the place that no
 *   other item is. The caller may choose otherwise.
 * - A replacement behind which the place has additions that the list does not name fails with `SurplusAdditions`,
 *   unless the caller chooses otherwise.
 * - Rows in another order are the same rows. Rows with the same content are counted.
 *
 * Each upload that is begun becomes an entry of the journal. It is recorded before each attempt, after an attempt that was
 * certainly not applied, and at the end.
 *
 * **Example** (The second run sends nothing)
 *
 * ```ts import.meta.vitest
 * import { Journal, UploadPlan, UploadSource, type UploadTarget } from "@effect-resilience/upload"
 * import { Effect, Stream } from "effect"
 *
 * const target: UploadTarget.UploadTarget<string, string> = {
 *   method: "PUT",
 *   operation: () => ({ name: "put", endpoint: "/notes/{name}" }),
 *   source: (name) => UploadSource.bytes(name, "text"),
 *   key: undefined,
 *   digests: ["md5"],
 *   send: (name, payload) => Effect.as(Stream.runDrain(payload.stream), { receipt: name })
 * }
 *
 * const upload = UploadPlan.uploadOnce(target, "a.txt")
 * const twice = Effect.all([upload, upload]).pipe(Effect.provide(Journal.layerMemory))
 * const outcomes = await Effect.runPromise(twice)
 * outcomes.map((outcome) => outcome._tag) // => ["Uploaded", "Skipped"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Operation from "@effect-resilience/http/Operation"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Semaphore from "effect/Semaphore"
import * as AttemptCount from "./internal/attemptCount.ts"
import * as Contents from "./internal/contents.ts"
import * as PlacePlan from "./internal/placePlan.ts"
import * as Journal from "./Journal.ts"
import * as Uploader from "./Uploader.ts"
import * as UploadError from "./UploadError.ts"
import type * as UploadTarget from "./UploadTarget.ts"

/**
 * How items are compared with the journal, and what is done in doubt.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in Item> {
  /** Where an item goes. Default: the target's key of it, otherwise its name. */
  readonly place?: ((item: Item, index: number) => string) | undefined
  /** Of an item's source, the same in every run; default the name of its source. */
  readonly name?: ((item: Item, index: number) => string) | undefined
  /**
   * Default `fail`. `skip` and `retry` are recorded, so no later run asks again. Where the list replaces the place first,
   * `retry` sends everything from that replacement on, so that nothing is doubled.
   */
  readonly onUnknown?: Journal.OnUnknown | undefined
  /**
   * Default `fail`. Where the list replaces the place first, `send` sends everything from that replacement on; otherwise what
   * the earlier run added stays there.
   */
  readonly onChanged?: Journal.OnChanged | undefined
}

/**
 * What is to be done with an item.
 *
 * - `Send`: upload it. If the caller's choice resolves a `doubt`, `upload` records that first.
 * - `Skip`: because of an `entry`: the upload itself, one that may be it (`assumed`), or one that replaced it. If the caller's
 *   choice `resolvesDoubt`, `upload` records that: in the entry, or `asNewEntry` of the item. `upload` also records the
 *   `version` of a source that was touched or moved, which then need not be read again.
 * - `Reject`: neither may happen unless the caller chooses.
 *
 * Their fields:
 *
 * - `why`: why it is not sent.
 * - `error`: what the item fails with.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict =
  | { readonly _tag: "Send"; readonly doubt?: Journal.Entry | undefined }
  | {
    readonly _tag: "Skip"
    readonly entry: Journal.Entry
    readonly why: SkipReason
    readonly resolvesDoubt: boolean
    readonly asNewEntry: boolean
    readonly version?: string | undefined
  }
  | { readonly _tag: "Reject"; readonly entry: Journal.Entry; readonly error: UploadError.UploadError }

/**
 * Why an item is not sent.
 *
 * - `uploaded`: an earlier run uploaded it, and it is still there.
 * - `assumed`: an earlier run may have uploaded it, or uploaded other content under its name, and the caller chose to take it
 *   for done.
 * - `superseded`: a later item of the list replaces it.
 *
 * @category models
 * @since 0.1.0
 */
export type SkipReason = "uploaded" | "assumed" | "superseded"

/**
 * A list of uploads beside the histories of their places.
 *
 * @category models
 * @since 0.1.0
 */
export interface Plan<in out Item, out R = never> {
  /** In the order of the list. */
  readonly items: ReadonlyArray<Item>
  /** How many of the items go to a place that has a history. */
  readonly known: number
  /** Whether the item goes to a place without a history, so that it is sent. */
  readonly isNew: (index: number) => boolean
  /** Whether the item goes to a place with additions in doubt. */
  readonly inDoubt: (index: number) => boolean
  /** Of an item. It looks at sources, and reads those that cannot be recognised otherwise. It sends nothing. */
  readonly verdict: (index: number) => Effect.Effect<Verdict, never, R>
  /** The beginning of a new entry of the item. */
  readonly nextEntry: (index: number) => Pick<Journal.Entry, "place" | "ordinal" | "run" | "action" | "name">
}

/**
 * Compares a list of uploads with the journal's histories of their places. Nothing is sent. Sources are looked at when a
 * verdict is requested.
 *
 * - `complete`: whether the list is all that its places should contain after a replacement; default true. Then `onChanged`
 *   applies to additions that the list does not name, and to items under new names that may be one of them.
 *
 * @category planning
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const make: <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  items: ReadonlyArray<Item>,
  options?: Options<Item> & { readonly complete?: boolean | undefined }
) => Effect.Effect<Plan<Item, R>, Journal.JournalError, Journal.Journal> = Effect.fnUntraced(
  function*<Item, Receipt, E, R>(
    target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
    items: ReadonlyArray<Item>,
    options: Options<Item> & { readonly complete?: boolean | undefined } = {}
  ): Effect.fn.Return<Plan<Item, R>, Journal.JournalError, Journal.Journal> {
    const { complete = true, name, onChanged = "fail", onUnknown = "fail", place } = options
    const journal = yield* Journal.Journal
    const run = (yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER)).toString(36)
    const nameOf = name ?? ((item: Item) => target.source(item).name)
    const placeOf = place ?? ((item: Item, index: number) => target.key?.(item) ?? nameOf(item, index))

    const places = new Map<string, Place>()
    const placeAt = items.map((item, index) => {
      const id = placeOf(item, index)
      const known = places.get(id)
      if (known === undefined) {
        const place: Place = {
          id,
          indices: [index],
          history: [],
          next: 1,
          inDoubt: undefined,
          verdicts: undefined,
          judging: undefined
        }
        places.set(id, place)
        return place
      }
      known.indices.push(index)
      return known
    })
    let known = 0
    for (const [id, history] of yield* journal.history([...places.keys()])) {
      const place = places.get(id)
      if (place === undefined) continue
      place.history = history
      place.next = (history.at(-1)?.ordinal ?? 0) + 1
      known += place.indices.length
    }

    const rowsOf = ({ history, indices }: Place) => {
      const sources = indices.map((index) => target.source(items[index] as Item))
      return Effect.map(
        Contents.ofSources(sources, history),
        (contents) =>
          contents.map((content, i): PlacePlan.Row => {
            const index = indices[i] ?? 0
            const item = items[index] as Item
            return { action: actionOf(target, item), name: nameOf(item, index), content }
          })
      )
    }
    const judge = (place: Place): Effect.Effect<ReadonlyMap<number, Verdict>, never, R> =>
      Effect.suspend(() =>
        place.verdicts === undefined
          ? Effect.map(rowsOf(place), (rows) =>
            place.verdicts = new Map(
              PlacePlan.plan(rows, place.history, { onChanged, onUnknown, complete }).map((verdict, i) =>
                [place.indices[i] ?? 0, verdictOf(verdict, rows[i]?.name ?? "")] as const
              )
            ))
          : Effect.succeed(place.verdicts)
      )
    // Otherwise concurrent requests for several items of a place would each look at all of its sources.
    const verdictsOf = (place: Place): Effect.Effect<ReadonlyMap<number, Verdict>, never, R> =>
      Effect.suspend(() => {
        if (place.verdicts !== undefined || place.indices.length === 1) return judge(place)
        place.judging ??= Semaphore.makeUnsafe(1)
        return place.judging.withPermit(judge(place))
      })
    return {
      items,
      known,
      isNew: (index) => placeAt[index]?.history.length === 0,
      inDoubt: (index) => {
        const place = placeAt[index]
        if (place === undefined || place.history.length === 0) return false
        return place.inDoubt ??= PlacePlan.holding(place.history).additions.some(({ certain }) => !certain)
      },
      verdict: (index) => {
        const place = placeAt[index]
        return place === undefined || place.history.length === 0
          ? toSend
          : Effect.map(verdictsOf(place), (verdicts) => verdicts.get(index) ?? send)
      },
      nextEntry: (index) => {
        const place = placeAt[index]
        const item = items[index]
        if (place === undefined || item === undefined) throw new RangeError(`UploadPlan: the plan has no item ${index}`)
        const ordinal = place.next++
        return { place: place.id, ordinal, run, action: actionOf(target, item), name: nameOf(item, index) }
      }
    }
  }
)

interface Place {
  readonly id: string
  readonly indices: Array<number>
  history: ReadonlyArray<Journal.Entry>
  next: number
  inDoubt: boolean | undefined
  verdicts: ReadonlyMap<number, Verdict> | undefined
  judging: Semaphore.Semaphore | undefined
}

const send: Verdict = { _tag: "Send" }
const toSend = Effect.succeed(send)

const actionOf = <Item, Receipt, E, R>(
  { method, operation }: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  item: Item
): Journal.Action => Operation.isIdempotent(operation(item), { method, headers: {} }) ? "replace" : "add"

const verdictOf = (verdict: PlacePlan.Verdict, source: string): Verdict => {
  const skip = (
    entry: Journal.Entry,
    why: SkipReason,
    resolves: (PlacePlan.Verdict & { readonly _tag: "Assumed" })["resolves"] = "nothing"
  ): Verdict & { readonly _tag: "Skip" } => ({
    _tag: "Skip",
    entry,
    why,
    resolvesDoubt: resolves !== "nothing",
    asNewEntry: resolves === "item"
  })
  const reject = (entry: Journal.Entry, reason: UploadError.Reason): Verdict => ({
    _tag: "Reject",
    entry,
    error: new UploadError.UploadError({ source, reason })
  })
  switch (verdict._tag) {
    case "Send":
      return verdict.doubt === undefined ? send : { _tag: "Send", doubt: verdict.doubt }
    case "Present":
      return { ...skip(verdict.entry, "uploaded"), version: verdict.version }
    case "Assumed":
      return skip(verdict.entry, "assumed", verdict.resolves)
    case "Superseded":
      return skip(verdict.entry, "superseded")
    case "InDoubt":
      return reject(verdict.entry, new UploadError.InDoubt({ since: verdict.entry.at }))
    case "Changed":
      return reject(
        verdict.entry,
        new UploadError.ChangedSinceUpload({ since: verdict.entry.at, compared: verdict.compared })
      )
    case "Surplus":
      return reject(
        verdict.entry,
        new UploadError.SurplusAdditions({ names: verdict.surplus.map(({ name }) => name) })
      )
  }
}

/**
 * The additions of a place's history that may be there. The caller has to say whether they are; see `onUnknown`.
 *
 * @category planning
 * @since 0.1.0
 */
export const doubts: (history: ReadonlyArray<Journal.Entry>) => ReadonlyArray<Journal.Entry> = PlacePlan.doubts

/**
 * The additions of a place's history that a replacement in doubt may have wiped out. A list that still contains the
 * replacement sends all of it again. For any other list, the caller has to say whether they are there; see `onUnknown`.
 *
 * @category planning
 * @since 0.1.0
 */
export const endangered: (history: ReadonlyArray<Journal.Entry>) => ReadonlyArray<Journal.Entry> = PlacePlan.endangered

/**
 * Records what the caller says of an entry in doubt, so that no later run asks about it: `skip` takes it for done, `retry` for not
 * applied, so that a list that has it sends it again.
 *
 * @category planning
 * @since 0.1.0
 */
export const resolve = (
  entry: Journal.Entry,
  choice: Exclude<Journal.OnUnknown, "fail">
): Effect.Effect<void, Journal.JournalError, Journal.Journal> =>
  choice === "skip"
    ? resolveDoubt({ ...entry, state: "uploaded" }, takenForDone)
    : resolveDoubt({ ...entry, state: "failed" }, sentAgain)

/**
 * Whether an entry was in doubt until the caller said whether it was applied, with `resolve` or `onUnknown`.
 *
 * @category planning
 * @since 0.1.0
 */
export const isResolved = ({ note }: Journal.Entry): boolean => note === takenForDone || note === sentAgain

/**
 * The verdicts of all items, in order.
 *
 * @category planning
 * @since 0.1.0
 */
export const verdicts = <Item, R>(
  { items, verdict }: Plan<Item, R>
): Effect.Effect<ReadonlyArray<Verdict>, never, R> =>
  Effect.map(
    Effect.forEach(
      Arr.chunksOf([...items.keys()], 1_000),
      (indices) =>
        Effect.forEach(Arr.chunksOf(indices, 32), Effect.forEach(verdict), { concurrency: 32 }).pipe(
          // Looking at a thousand files may never pause, and signals wait for a pause.
          Effect.tap(Effect.yieldNow)
        )
    ),
    (pages) => pages.flat(2)
  )

/**
 * What became of an item.
 *
 * - `Uploaded`: by this run. `unrecorded` where the journal could not be written: there the upload is still `started`.
 * - `Skipped`: because of an entry of an earlier run.
 *
 * Their fields:
 *
 * - `report`: what became of the upload.
 * - `entry`: the entry of the journal that decided it.
 * - `why`: why it was not sent.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome<Receipt> =
  | {
    readonly _tag: "Uploaded"
    readonly report: Uploader.Report<Receipt>
    readonly unrecorded?: Journal.JournalError | undefined
  }
  | { readonly _tag: "Skipped"; readonly entry: Journal.Entry; readonly why: SkipReason }

/**
 * Uploads an item, unless the journal shows that it need not or must not be uploaded.
 *
 * @category uploading
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const uploadOnce = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  item: Item,
  options: Uploader.Options<Uploader.Failure<E>, Receipt> & Options<Item> = {}
): Effect.Effect<Outcome<Receipt>, Uploader.Failure<E> | Journal.JournalError, R | Journal.Journal> =>
  Effect.flatMap(
    make(target, [item], { ...options, complete: false }),
    (plan) => upload(target, plan, 0, options)
  )

/**
 * Carries out the verdict of an item of a plan.
 *
 * @category uploading
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const upload = <Item, Receipt, E, R>(
  target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
  plan: Plan<Item, R>,
  index: number,
  options: Uploader.Options<Uploader.Failure<E>, Receipt> = {}
): Effect.Effect<Outcome<Receipt>, Uploader.Failure<E> | Journal.JournalError, R | Journal.Journal> =>
  Effect.flatMap(
    plan.verdict(index),
    (verdict): Effect.Effect<Outcome<Receipt>, Uploader.Failure<E> | Journal.JournalError, R | Journal.Journal> => {
      switch (verdict._tag) {
        case "Send": {
          const { doubt } = verdict
          const sent = sendRecorded(target, plan, index, options)
          return doubt === undefined
            ? sent
            : Effect.andThen(resolve(doubt, "retry"), sent)
        }
        case "Skip": {
          const { entry, resolvesDoubt, version, why } = verdict
          const skipped: Outcome<Receipt> = { _tag: "Skipped", entry, why }
          if (version !== undefined) return Effect.as(recordVersion(entry, version), skipped)
          return resolvesDoubt
            ? Effect.as(resolveAssumed(target, plan, index, verdict), skipped)
            : Effect.succeed(skipped)
        }
        case "Reject":
          return Effect.fail(verdict.error)
      }
    }
  )

// If the choice were not recorded, every run would ask again, and a script that chooses each time would decide other doubts too.
const resolveAssumed = Effect.fnUntraced(
  function*<Item, Receipt, E, R>(
    target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
    plan: Plan<Item, R>,
    index: number,
    { asNewEntry, entry }: Verdict & { readonly _tag: "Skip" }
  ): Effect.fn.Return<void, Journal.JournalError, R | Journal.Journal> {
    const { bytes, md5, version } = yield* Contents.hash(target.source(plan.items[index] as Item))
    // These identify it from now on, whatever identified it so far.
    const content = md5 !== undefined || (version !== undefined && version !== entry.version)
      ? { bytes, md5, version }
      : {}
    const item = asNewEntry ? { ...plan.nextEntry(index), revision: 0 } : {}
    yield* resolveDoubt({ ...entry, ...content, ...item, state: "uploaded" }, takenForDone)
  }
)

// If this is lost, the source is read once more.
const recordVersion = (entry: Journal.Entry, version: string) =>
  Effect.ignore(Journal.Journal.use(({ record }) => record({ ...entry, version, revision: entry.revision + 1 })))

const takenForDone = "was in doubt, and was taken for done"
const sentAgain = "was in doubt, and is sent again"

const resolveDoubt = Effect.fnUntraced(function*(entry: Journal.Entry, note: string) {
  const journal = yield* Journal.Journal
  const at = yield* Clock.currentTimeMillis
  yield* journal.record({ ...entry, revision: entry.revision + 1, note, at }, true)
})

const sendRecorded = Effect.fnUntraced(
  function*<Item, Receipt, E, R>(
    target: UploadTarget.UploadTarget<Item, Receipt, E, R>,
    plan: Plan<Item, R>,
    index: number,
    options: Uploader.Options<Uploader.Failure<E>, Receipt>
  ): Effect.fn.Return<Outcome<Receipt>, Uploader.Failure<E> | Journal.JournalError, R | Journal.Journal> {
    const item = plan.items[index] as Item
    const journal = yield* Journal.Journal
    const clock = yield* Clock.Clock
    const named = plan.nextEntry(index)
    const { action } = named
    // A later run recognises an addition by its content, even if this run never learns its outcome.
    const hashed = action === "add" ? yield* Contents.hash(target.source(item)) : undefined
    // If the start were lost, an addition would be sent twice, and what a replacement wiped out would count as present. If the
    // end is lost, an addition is in doubt and a replacement is sent again.
    const durable = action === "add" || named.ordinal > 1

    let last: Journal.Entry = {
      ...named,
      revision: 0,
      state: "waiting",
      attempts: 0,
      version: undefined,
      bytes: undefined,
      md5: undefined,
      verified: false,
      note: undefined,
      at: 0
    }
    const attempts = (yield* AttemptCount.Current) ?? { count: 0 }
    let sent: "nothing" | "some" | "all" = "nothing"
    // A replacement is sent again after a failure that may have come too late.
    let mayBeThere = false
    const judged = (error: unknown): "not applied" | "perhaps" => {
      mayBeThere ||= action === "replace" && sent !== "nothing" && mayHaveBeenApplied(error, sent === "all")
      return mayBeThere || Recovery.of(error)._tag === "Verify" ? "perhaps" : "not applied"
    }
    const record = (change: Partial<Journal.Entry>, durable?: boolean) => {
      last = { ...last, ...change, revision: last.revision + 1, at: clock.currentTimeMillisUnsafe() }
      return journal.record(last, durable)
    }
    const recording: UploadTarget.UploadTarget<Item, Receipt, E | Journal.JournalError, R> = {
      ...target,
      send: (item, payload) =>
        Effect.suspend(() => {
          // An interruption does not take the record back.
          sent = "some"
          return record({
            state: "started",
            attempts: attempts.count,
            version: payload.version,
            bytes: payload.size,
            md5: payload.version === hashed?.version ? hashed?.md5 : undefined
          }, durable)
        }).pipe(Effect.flatMap(() => target.send(item, payload)))
    }
    const report = yield* Uploader.upload(recording, item, {
      ...options,
      digests: [...options.digests ?? [], "md5"],
      onEvent: (event) => {
        // A journal's failure is never retried, so no event contains one.
        const notified = options.onEvent?.(event as Uploader.Event<Uploader.Failure<E>, Receipt>) ?? Effect.void
        if (event._tag === "AwaitingResponse") sent = "all"
        if (event._tag !== "Retrying") return notified
        const state = judged(event.error) === "perhaps" ? "retrying" : "waiting"
        const note = record({ state, attempts: attempts.count, note: ErrorMessage.textOf(event.error) })
        return Effect.andThen(Effect.ignore(note), notified)
      }
    }).pipe(
      Effect.provideService(AttemptCount.Current, attempts),
      Effect.tapError((error) =>
        sent === "nothing" || error instanceof Journal.JournalError
          ? Effect.void
          // If this is not recorded, the item stays `started`, which is true as well.
          : Effect.ignore(record({
            state: judged(error) === "perhaps" ? "unknown" : "failed",
            attempts: attempts.count,
            note: ErrorMessage.textOf(error)
          }))
      ),
      // What was interrupted before its last byte was sent cannot have been applied.
      Effect.onInterrupt(() =>
        sent === "some" && !mayBeThere ? Effect.ignore(record({ state: "waiting" })) : Effect.void
      )
    )
    const { bytes, digests, verified } = report
    const end = record({
      state: "uploaded",
      attempts: report.attempts,
      bytes,
      md5: digests.md5 ?? last.md5,
      verified,
      note: undefined
    })
    return yield* Effect.match(end, {
      onFailure: (unrecorded): Outcome<Receipt> => ({ _tag: "Uploaded", report, unrecorded }),
      onSuccess: (): Outcome<Receipt> => ({ _tag: "Uploaded", report })
    })
  }
)

const mayHaveBeenApplied = (error: unknown, whole: boolean): boolean =>
  error instanceof ApiError.ApiError ? ApiError.mayHaveBeenApplied(error.reason, whole) : whole && !isRejected(error)

/** Whether a target has said by its error that the server stored nothing. */
const isRejected = (error: unknown): boolean => NotAsked.isNotAsked(error) || rejections.has(Recovery.of(error)._tag)

const rejections: ReadonlySet<Recovery.Recovery["_tag"]> = new Set(["Correct", "Authorize", "Reauthenticate"])
