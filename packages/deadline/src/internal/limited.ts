import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Repetition from "@effect-resilience/errors/Repetition"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Time from "@effect-resilience/kernel/Time"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import { Current, type Deadline } from "./current.ts"
import * as limit from "./limit.ts"

/**
 * The deadline was reached, or too little time is left. A retry within the same operation cannot help.
 *
 * @category errors
 * @since 0.1.0
 */
export class DeadlineExceeded extends ErrorMessage.TaggedError("DeadlineExceeded")<{
  /** The time left when the deadline was set, or the time that `demand` required. */
  readonly allowed: Duration.Duration
  /** Whether the work had begun. If not, the error is `NotAsked`. */
  readonly begun: boolean
  /**
   * Whether it was the deadline of a caller, earlier than that of `withDeadline`. A caller's lack of time says nothing about
   * the dependency.
   */
  readonly inherited: boolean
  /** True where the work had begun, must not be made twice (`Repetition.Current`), and may have been applied. */
  readonly outcomeUnknown?: true | undefined
}> {
  get [NotAsked.symbol](): boolean {
    return !this.begun
  }
  [Recovery.symbol](): Recovery.Recovery {
    return this.outcomeUnknown === true ? Recovery.verify : Recovery.giveUp
  }
  override get message(): string {
    const late = `not done by the deadline (${Duration.format(this.allowed)})`
    return this.outcomeUnknown === true ? `${late}. It may have been applied: check before repeating it.` : late
  }
}

/** A limited effect. It needs no fiber but the one that it can interrupt. */
export class Limited<A, E, R> extends Effectable.Class<A, E | DeadlineExceeded, R>
  implements Direct.Direct<A, E | DeadlineExceeded>
{
  private readonly self: Effect.Effect<A, E, R>
  private readonly wanted: number

  constructor(self: Effect.Effect<A, E, R>, wanted: number) {
    super()
    this.self = self
    this.wanted = wanted
  }

  override asEffect(): Effect.Effect<A, E | DeadlineExceeded, R> {
    return Effect.withFiber((fiber) => this.isUnlimited(fiber.getRef(Current)) ? this.self : Direct.wait(this))
  }

  [Direct.direct](outside: Context.Context<never>): Direct.Running<A, E | DeadlineExceeded> {
    const { self, wanted } = this
    // The effect needs R, so what runs it has R.
    const context = outside as Context.Context<R>
    const outer = Context.get(context, Current)
    if (this.isUnlimited(outer)) return Direct.startUnsafe(self, context)
    const now = Time.nowUnsafe(context)
    const millis = Math.min(wanted, outer.atMillis - now)
    const inherited = outer.atMillis <= now + wanted
    const exceeded = (begun: boolean) =>
      Exit.fail(
        new DeadlineExceeded({
          allowed: Duration.millis(Math.max(0, Math.round(millis))),
          begun,
          inherited,
          ...(begun && Repetition.isDoubtful(Repetition.currentIn(context)) && { outcomeUnknown: true as const })
        })
      )
    if (millis <= 0) return Direct.ended(exceeded(false))
    const running = isRunning(outer) && inherited ? outer : new Running(now + millis)
    const inside = running === outer ? context : Context.add(context, Current, running)
    return limit.startUnsafe(self, inside, millis, () => exceeded(true), (look) => running.elapse(look), now)
  }

  private isUnlimited(outer: Deadline): boolean {
    return this.wanted === Infinity && outer.atMillis === Infinity
  }
}

class Running implements Deadline {
  atMillis: number
  private readonly until: number
  private isSuspended = false
  private look: (() => void) | undefined = undefined

  constructor(atMillis: number) {
    this.atMillis = atMillis
    this.until = atMillis
  }

  /** For how long the work may go on: not at all, or as long as it is suspended. `look` asks again. */
  elapse(look: () => void): number {
    this.atMillis = Infinity
    // After the interruption only finalizers still run, and they have no deadline.
    if (!this.isSuspended) return 0
    // Limits of nested deadlines that are later share this one.
    const earlier = this.look
    this.look = () => {
      earlier?.()
      look()
    }
    return Infinity
  }
  suspend(): void {
    this.isSuspended = true
    this.atMillis = Infinity
  }
  resume(): void {
    if (!this.isSuspended) return
    this.isSuspended = false
    this.atMillis = this.until
    this.look?.()
  }
}

// Another copy of this module may have made it.
export const isRunning = (deadline: Deadline): deadline is Running => "suspend" in deadline
