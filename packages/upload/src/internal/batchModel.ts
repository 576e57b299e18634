import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Journal from "../Journal.ts"
import type * as Uploader from "../Uploader.ts"
import type * as UploadPlan from "../UploadPlan.ts"

/**
 * - `Uploaded`: confirmed by the server.
 * - `Failed`: with the last failure and the number of attempts. `RetryPolicy.history` returns the earlier failures.
 * - `Abandoned`: interrupted by a stop while it ran. `outcomeUnknown` where it is not idempotent and may have been
 *   applied.
 * - `Skipped`: according to a journal.
 * - `NotStarted`: left over when the batch stopped, or held back `behind` the index of a failed item with its key.
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
 * How a running batch stops: `finish` lets running uploads end, `abandon` interrupts them.
 *
 * @category models
 * @since 0.1.0
 */
export type StopMode = "finish" | "abandon"

/**
 * - `concurrency`: uploads at once; default 4.
 * - `pace`: the least time between the starts of two attempts; default none.
 * - `failFast`: whether nothing more is sent after the first failure. Running uploads may end, and what the caller is asked
 *   about according to a journal fails too. Default false.
 * - `stop`: stops the batch when it completes, for example on a signal. What the caller is asked about because an earlier run
 *   may have applied it still fails. Default never.
 * - `onEvent`: receives what happens to each item.
 * - `onResult`: receives each result as soon as it is known. The batch waits for it.
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
