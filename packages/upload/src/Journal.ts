/**
 * Records what was uploaded to each place, so that the next run continues where a batch was cut off.
 *
 * **Why**
 *
 * A process can be killed at any moment. The next run must not send twice what cannot be sent twice, need not send what is
 * there, and must send the rest. Uploads to one place depend on each other: a replacement also wipes out what was added
 * before it. So the journal keeps the history of each place, and `UploadPlan` compares a list of uploads with it.
 *
 * **Example** (What one upload leaves behind)
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
 * const program = Effect.gen(function*() {
 *   yield* UploadPlan.uploadOnce(target, "a.txt")
 *   const journal = yield* Journal.Journal
 *   return yield* Stream.runCollect(journal.entries)
 * })
 * const [entry] = await Effect.runPromise(Effect.provide(program, Journal.layerMemory))
 * entry?.state // => "uploaded"
 * entry?.md5 // => "1cb251ec0d568de6a929b520c4aed8d1"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

/**
 * How far an upload is.
 *
 * - `started`: an attempt is running, or was when its process died.
 * - `waiting`: no attempt so far was applied; another may follow.
 * - `retrying`: an attempt may have been applied; another may follow.
 * - `uploaded`: confirmed by the server.
 * - `failed`: given up; certainly not applied.
 * - `unknown`: given up; may have been applied.
 *
 * @category models
 * @since 0.1.0
 */
export type State = "started" | "waiting" | "retrying" | "uploaded" | "failed" | "unknown"

/**
 * What an upload does with what is at its place: an idempotent one replaces it, any other one adds to it.
 *
 * @category models
 * @since 0.1.0
 */
export type Action = "replace" | "add"

/**
 * One upload to a place.
 *
 * - `bytes`, `md5`: of its content, where they are known.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  /** Where it went. Uploads to one place depend on each other. */
  readonly place: string
  /** Counts the uploads to the place, from 1. */
  readonly ordinal: number
  /** Names the plan that it belongs to. */
  readonly run: string
  /** Counts what was recorded of the upload, from 1. */
  readonly revision: number
  /** What it does with the content of the place. */
  readonly action: Action
  /** Of its source in the list. */
  readonly name: string
  /** How far it is. */
  readonly state: State
  /** How many attempts were begun. */
  readonly attempts: number
  /** Of the source that was sent, where it has one. */
  readonly version: string | undefined
  readonly bytes: number | undefined
  readonly md5: string | undefined
  /** Whether the server confirmed a digest. */
  readonly verified: boolean
  /** The last failure, for people. */
  readonly note: string | undefined
  /** When this was recorded, in milliseconds since 1970. */
  readonly at: number
}

/**
 * The journal could not be read or written, or is one of an earlier build.
 *
 * @category errors
 * @since 0.1.0
 */
export class JournalError extends ErrorMessage.TaggedError("JournalError")<{
  /** What was tried. */
  readonly operation: "open" | "read" | "write"
  /** What the store failed with. */
  readonly cause: unknown
}> {
  override get message(): string {
    return `could not ${this.operation} the journal${this.why === "" ? "" : `: ${this.why}`}`
  }

  /** The words of the innermost cause, such as "database or disk is full". */
  get why(): string {
    return ErrorMessage.innermostOf(this.cause) ?? ""
  }
}

/**
 * Another run has uploaded to the place since this one read its history, so this one's plan is out of date.
 *
 * - `place`: the place.
 *
 * @category errors
 * @since 0.1.0
 */
export class PlaceTaken extends ErrorMessage.TaggedError("PlaceTaken")<{ readonly place: string }> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    return "another run uploads to the same place: run this one again when that has ended"
  }
}

/**
 * Where entries are kept.
 *
 * - `history`: the entries of these places in the order of their ordinals; a place without entries is absent. The map may
 *   contain other places.
 * - `record`: replaces the run's earlier revision with the same place and ordinal. It fails with `PlaceTaken` as the cause
 *   where another run has taken that ordinal. An earlier revision that comes late changes nothing. When `record` returns, the
 *   entry survives the process; a `durable` one survives a power failure too, where the store can promise that.
 * - `entries`: all of them, by place and ordinal.
 *
 * @category services
 * @since 0.1.0
 */
export class Journal extends Context.Service<Journal, {
  readonly history: (places: ReadonlyArray<string>) => Effect.Effect<Histories, JournalError>
  readonly record: (entry: Entry, durable?: boolean) => Effect.Effect<void, JournalError>
  readonly entries: Stream.Stream<Entry, JournalError>
}>()("@effect-resilience/upload/Journal") {}

/**
 * The entries of places, in the order of their ordinals.
 *
 * @category models
 * @since 0.1.0
 */
export type Histories = ReadonlyMap<string, ReadonlyArray<Entry>>

/**
 * A journal that is lost with the process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<Journal> = Layer.sync(Journal, () => {
  const histories = new Map<string, Array<Entry>>()
  return {
    history: (places) =>
      Effect.sync(() =>
        new Map(places.flatMap((place) => {
          const history = histories.get(place)
          return history === undefined ? [] : [[place, [...history]] as const]
        }))
      ),
    record: (entry) =>
      Effect.suspend(() => {
        const history = histories.get(entry.place) ?? []
        const i = history.findLastIndex(({ ordinal }) => ordinal <= entry.ordinal)
        const before = history[i]?.ordinal === entry.ordinal ? history[i] : undefined
        if (before !== undefined && before.run !== entry.run) {
          return Effect.fail(new JournalError({ operation: "write", cause: new PlaceTaken({ place: entry.place }) }))
        }
        if (before === undefined) history.splice(i + 1, 0, entry)
        else if (before.revision <= entry.revision) history[i] = entry
        histories.set(entry.place, history)
        return Effect.void
      }),
    entries: Stream.suspend(() =>
      Stream.fromIterable([...histories.keys()].sort().flatMap((place) => histories.get(place) ?? []))
    )
  }
})

/**
 * What to do with an addition that an earlier run may have applied: fail with `InDoubt`, take it for done, or send it
 * again.
 *
 * @category models
 * @since 0.1.0
 */
export type OnUnknown = "fail" | "skip" | "retry"

/**
 * What to do with an addition whose content has changed since an earlier run uploaded it: fail with `ChangedSinceUpload`,
 * leave the place as it is, or send it too.
 *
 * @category models
 * @since 0.1.0
 */
export type OnChanged = "fail" | "skip" | "send"
