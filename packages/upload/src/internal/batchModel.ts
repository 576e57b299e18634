import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Journal from "../Journal.ts"
import type * as Uploader from "../Uploader.ts"
import type * as UploadPlan from "../UploadPlan.ts"

/**
 * What came of one item.
 *
 * - `Uploaded`: confirmed by the server.
 * - `Failed`: with the last failure and the number of attempts. `RetryPolicy.history` returns the earlier failures.
 * - `Abandoned`: interrupted by a stop while it ran. `outcomeUnknown` where it is not idempotent and may have been
 *   applied.
 * - `Skipped`: according to a journal.
 * - `NotStarted`: left over when the batch stopped, or held back `behind` the index of a failed item with its key.
 *
 * Their fields:
 *
 * - `item`: the item.
 * - `report`: what became of the upload.
 * - `error`: the last failure.
 * - `attempts`: how many attempts were made, replays after a login included.
 * - `entry`: the entry of the journal that decided it.
 * - `why`: why it was not sent.
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
  /** One for each item, in the order of the manifest. */
  readonly results: ReadonlyArray<Result<Item, Receipt, E>>
  /** What the results add up to. */
  readonly totals: {
    /** Items that the server confirmed. */
    readonly uploaded: number
    /** Items that failed. */
    readonly failed: number
    /** Items that were interrupted. */
    readonly abandoned: number
    /** Items that the journal made unnecessary. */
    readonly skipped: number
    /** Items that were left over when the batch stopped. */
    readonly notStarted: number
    /** The attempts of items that were uploaded or failed. */
    readonly attempts: number
    /** The bytes of the sources of confirmed items. */
    readonly bytes: number
    /** How long the batch took, in milliseconds. */
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
 * How many uploads run at once, and when a batch ends.
 *
 * The rest is as for a single upload.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in Item = never, in Receipt = never, in E = never>
  extends Omit<Uploader.Options<E, Receipt>, "onEvent">
{
  /** Uploads at once; default 4. */
  readonly concurrency?: number | undefined
  /** The least time between the starts of two attempts; default none. */
  readonly pace?: Duration.Input | undefined
  /**
   * Whether nothing more is sent after the first failure. Running uploads may end, and what the caller is asked about according
   * to a journal fails too. Default false.
   */
  readonly failFast?: boolean | undefined
  /**
   * Stops the batch when it completes, for example on a signal. What the caller is asked about because an earlier run may have
   * applied it still fails. Default never.
   */
  readonly stop?: Effect.Effect<StopMode> | undefined
  /** Receives what happens to each item. */
  readonly onEvent?:
    | ((event: Uploader.Event<E, Receipt>, item: Item, index: number) => Effect.Effect<void>)
    | undefined
  /** Receives each result as soon as it is known. The batch waits for it. */
  readonly onResult?: ((result: Result<Item, Receipt, E>) => Effect.Effect<void>) | undefined
}
