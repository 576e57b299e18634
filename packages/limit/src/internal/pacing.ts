import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Field from "@effect-resilience/kernel/Field"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Rejection from "../Rejection.ts"

/**
 * What a call counts for: a number of calls, or a number at each rate by its name, of which `calls` is the pacer's own.
 *
 * @category models
 * @since 0.1.0
 */
export type Cost = number | { readonly [rate: string]: number }

/**
 * What a call has taken from the rates of a pacer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reservation {
  /**
   * Tells what the call really costs. What was taken too much is given back, and what was taken too little becomes debt, for
   * which later calls wait. May be called again, also after the call has ended: the last word counts. Rates that are not named
   * stay as they are.
   */
  settle(cost: Cost): Effect.Effect<void>
}

/**
 * The reservation of the running call.
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentReservation: Context.Reference<Reservation | undefined> = /* @__PURE__ */ Context.Reference<
  Reservation | undefined
>("@effect-resilience/limit/Pacer/CurrentReservation", { defaultValue: () => undefined })

/**
 * What calls count for that do not say it themselves.
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentCost: Context.Reference<Cost | undefined> = /* @__PURE__ */ Context.Reference<Cost | undefined>(
  "@effect-resilience/limit/Pacer/CurrentCost",
  { defaultValue: () => undefined }
)

/**
 * A call was not made. Its turn would have come too late (`"Wait"`), it costs more than the burst of a rate, so that its turn
 * would never come (`"Cost"`), or the limiter's store cannot be reached (`"Store"`).
 *
 * @category errors
 * @since 0.1.0
 */
export class PaceExceeded extends Rejection.TaggedError("PaceExceeded")<{
  /** Which of these it was. */
  readonly reason: "Wait" | "Cost" | "Store"
  /** Which rate, where the pacer has several. */
  readonly rate: string | undefined
  /** When its turn would have been. */
  readonly retryAfter: Duration.Duration | undefined
}> {
  override get message(): string {
    const rate = this.rate === undefined ? `"${this.policy}"` : `"${this.policy}" (${this.rate})`
    switch (this.reason) {
      case "Store":
        return `The rate of ${rate} cannot be checked: its store does not respond. Try again later.`
      case "Cost":
        return `This call to ${rate} costs more than the pacer ever lets go at once. Make it smaller, or raise the burst.`
      case "Wait":
        return `The turn of this call to ${rate} would come too late, in ${
          Duration.format(this.retryAfter ?? Duration.zero)
        }. Try again later.`
    }
  }

  /** Tells to correct what costs too much, and to retry the rest: as after `throttled` where the turn would come too late. */
  override [Recovery.symbol](): Recovery.Recovery {
    switch (this.reason) {
      case "Cost":
        return Recovery.correct
      case "Wait":
        return Recovery.retryAs("throttled", this.retryAfter)
      case "Store":
        return super[Recovery.symbol]()
    }
  }
}

/**
 * A look at a pacer, as far as this process knows.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Calls that wait for their turn. */
  readonly waiting: number
  /** How long all are held back. */
  readonly pausedFor: Duration.Duration
  /** What could go at once at each rate; below 0 where calls have to wait. */
  readonly balance: { readonly [rate: string]: number }
  /** Calls rejected since the pacer was made. */
  readonly rejected: number
}

const costField = /* @__PURE__ */ Field.integer({ min: 0 })

/** Checks what a call is said to cost. Throws `RangeError`. */
export const checkCost = (cost: Cost): Cost => {
  if (typeof cost === "number") return costField.read(cost, "Pacer.cost")
  for (const [name, value] of Object.entries(cost)) costField.read(value, `Pacer.cost.${name}`)
  return cost
}

/** The same by rates. */
export const ofCalls = (cost: Cost): { readonly [rate: string]: number } =>
  typeof cost === "number" ? { calls: cost } : cost
