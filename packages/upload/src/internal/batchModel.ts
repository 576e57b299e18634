import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Journal from "../Journal.ts"
import type * as Uploader from "../Uploader.ts"
import type * as UploadPlan from "../UploadPlan.ts"

/**
 * - `Uploaded`: confirmed by the server.
 * - `Failed`: with the last failure, after so many attempts; `RetryPolicy.history` tells the failures before.
 * - `Abandoned`: interrupted by a stop while it ran. `outcomeUnknown` where it is not idempotent and may have been
 *   applied.
 * - `Skipped`: according to a journal.
 * - `NotStarted`: left over when the batch stopped, or held back: with the index of the item of its key `behind` whose
 *   failure it waits for.
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
  | {
    readonly _tag: "Skipped"
    readonly index: number
    readonly item: Item
    readonly entry: Journal.Entry
    readonly why: UploadPlan.SkipReason
  }
  | {
    readonly _tag: "NotStarted"
    readonly index: number
    readonly item: Item
    readonly behind?: number | undefined
  }

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
 * - `failFast`: whether nothing more is sent after the first failure; uploads that are under way may end, and what the caller
 *   is asked about according to a journal fails too. Default false.
 * - `stop`: stops the batch when it completes, for example on a signal; what the caller is asked about because of an earlier run
 *   that may have applied it fails all the same. Default never.
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
    | ((event: Uploader.Event<E, Receipt>, item: Item, index: number) => Effect.Effect<void>)
    | undefined
  readonly onResult?: ((result: Result<Item, Receipt, E>) => Effect.Effect<void>) | undefined
}
