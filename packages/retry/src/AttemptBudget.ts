/**
 * Bounds how many extra attempts a dependency gets, over all callers together.
 *
 * **Why**
 *
 * Three attempts per call are harmless while one call in a hundred fails. In an outage all fail, and the same policy
 * triples the load on a server that is down already. A budget sees all calls: each first attempt earns a fraction of an
 * extra one, and every retry, hedge and replay has to be paid for.
 *
 * **Details**
 *
 * A budget is an account. A first attempt deposits `ratio`; time deposits `floor` a second; an extra attempt withdraws
 * 1, or is rejected at once: nothing waits for a budget. The balance starts at its cap, `burst`, so in any time `t` with `n`
 * first attempts at most `burst + ratio * n + floor * t` extra ones are sent. An attempt is paid for when it is decided
 * upon, so attempts that still wait in backoff count.
 *
 * A call deposits once, when it begins, however many retries, hedges and pipelines are nested around it: the outermost
 * deposits, all of them withdraw.
 *
 * **Fleets**
 *
 * An outage ends by itself only while what is sent stays below what the dependency can take: with `calls` a second over
 * all processes, if `calls * (1 + ratio) + floor < capacity`. `floor` and `burst` are meant for all processes together, so
 * tell the budget how many share the dependency: each gets its part. The defaults assume one process and are small enough
 * for fleets that do not tell: 20 processes add 2 a second. Finagle, Linkerd and tower document 20 % and 10 a second for
 * *each* process; at half load, 20 of those keep a dependency of 200 a second down for good.
 *
 * `RetryPolicy`, `Hedge` and others take the budget of their surroundings, `Current`; by default that is `unlimited`.
 * The scheme is that of Finagle's `RetryBudget` and of gRPC's retry throttling (A6).
 *
 * **Example** (Refusing retries during an outage)
 *
 * ```ts import.meta.vitest
 * import { AttemptBudget } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 *
 * const budget = AttemptBudget.make({ name: "ledger", ratio: 0.5, floor: 0, burst: 1 })
 * const extra = AttemptBudget.withdraw.pipe(
 *   Effect.as("sent"),
 *   Effect.catchTag("BudgetExhausted", (error) => Effect.succeed(error.message))
 * )
 *
 * const outage = Effect.all([extra, extra, AttemptBudget.deposit, AttemptBudget.deposit, extra])
 * const [first, second, , , third] = await Effect.runPromise(Effect.provideService(outage, AttemptBudget.Current, budget))
 * first // => "sent"
 * second // => "the budget \"ledger\" refuses another attempt"
 * third // => "sent"
 * ```
 *
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Time from "@effect-resilience/kernel/Time"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as current from "./internal/current.ts"
import * as refuse from "./internal/refuse.ts"

/**
 * The account of one dependency. Times are milliseconds of the monotonic clock.
 *
 * - `depositUnsafe`: a first attempt is made.
 * - `withdrawUnsafe`: whether an extra attempt may be made now; pays for it.
 * - `levelUnsafe`: how many extra attempts could be made now; absent where nothing limits them.
 *
 * @category models
 * @since 0.1.0
 */
export interface AttemptBudget {
  readonly name: string
  readonly depositUnsafe: () => void
  readonly withdrawUnsafe: (nowMillis: number) => boolean
  readonly levelUnsafe?: ((nowMillis: number) => number) | undefined
}

/**
 * An extra attempt was refused.
 *
 * @category errors
 * @since 0.1.0
 */
export class BudgetExhausted extends Data.TaggedError("BudgetExhausted")<{
  readonly budget: string
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.giveUp
  }
  override get message(): string {
    return `the budget "${this.budget}" refuses another attempt`
  }
}

/**
 * What a budget allows.
 *
 * - `name`: the dependency; errors and events say it.
 * - `ratio`: extra attempts earned by each first one; default 0.1, as Google's SRE book and Microsoft's handler have it.
 * - `floor`: extra attempts earned by each second, for dependencies that are seldom called; default 0.1.
 * - `burst`: the most that can be saved up, and the balance at the start; default 10 seconds of `floor`, at least 10. Each
 *   process has at least 1.
 * - `processes`: how many processes share the dependency, each with a budget like this one; default 1. `floor` and `burst`
 *   are divided by it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name: string
  readonly ratio?: number | undefined
  readonly floor?: number | undefined
  readonly burst?: number | undefined
  readonly processes?: number | undefined
}

/**
 * Opens an account. Throws `RangeError` where a value makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): AttemptBudget => {
  const ratio = amount("ratio", options.ratio ?? 0.1, 0)
  const floor = amount("floor", options.floor ?? 0.1, 0)
  const processes = amount("processes", options.processes ?? 1, 1)
  const burst = Math.max(1, amount("burst", options.burst ?? Math.max(10, floor * 10), 1) / processes)
  const floorPerMilli = floor / processes / 1000
  let balance = burst
  let refilledAt: number | undefined
  const levelUnsafe = (nowMillis: number): number =>
    Math.min(burst, balance + Math.max(0, nowMillis - (refilledAt ?? nowMillis)) * floorPerMilli)
  return {
    name: options.name,
    depositUnsafe: () => {
      balance = Math.min(burst, balance + ratio)
    },
    withdrawUnsafe: (nowMillis) => {
      balance = levelUnsafe(nowMillis)
      refilledAt = nowMillis
      if (balance < 1) return false
      balance -= 1
      return true
    },
    levelUnsafe
  }
}

/**
 * Opens an account for each key on first use, for example for each host. Each has the options given and is named
 * `name/key`. Beyond `capacity` keys (default 1,000) the one that was opened first is closed, and starts afresh when it
 * is used again.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeKeyed = (
  options: Options & { readonly capacity?: number | undefined }
): (key: string) => AttemptBudget => {
  const capacity = amount("capacity", options.capacity ?? 1000, 1)
  const accounts = new Map<string, AttemptBudget>()
  return (key) => {
    const known = accounts.get(key)
    if (known !== undefined) return known
    if (accounts.size >= capacity) {
      for (const oldest of accounts.keys()) {
        accounts.delete(oldest)
        break
      }
    }
    const opened = make({ ...options, name: `${options.name}/${key}` })
    accounts.set(key, opened)
    return opened
  }
}

/**
 * Allows every attempt.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unlimited: AttemptBudget = current.unlimited

/**
 * Refuses every extra attempt: for tests, and for switching all of them off at once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: AttemptBudget = {
  name: "empty",
  depositUnsafe: current.nothing,
  withdrawUnsafe: () => false,
  levelUnsafe: () => 0
}

/**
 * The budget of the running fiber; `unlimited` by default.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<AttemptBudget> = current.budget

/**
 * Tells the budget of a call that begins, unless something around it has, and returns the context for what runs inside,
 * where nothing deposits again. For policies that make attempts themselves.
 *
 * @category using
 * @since 0.1.0
 */
export const depositUnsafe = <R>(context: Context.Context<R>): Context.Context<R> => {
  const inside = current.deposit(context)
  return inside === undefined ? context : Context.add(context, Current, inside)
}

/**
 * Tells the budget of a first attempt. Policies do this themselves.
 *
 * @category using
 * @since 0.1.0
 */
export const deposit: Effect.Effect<void> = /* @__PURE__ */ Effect.withFiber((fiber) => {
  fiber.getRef(Current).depositUnsafe()
  return Effect.void
})

/**
 * Pays for an extra attempt, or fails with `BudgetExhausted`.
 *
 * @category using
 * @since 0.1.0
 */
export const withdraw: Effect.Effect<void, BudgetExhausted> = /* @__PURE__ */ Effect.withFiber((fiber) => {
  const budget = fiber.getRef(Current)
  return budget.withdrawUnsafe(Time.nowUnsafe(fiber.context))
    ? Effect.void
    : Effect.fail(new BudgetExhausted({ budget: budget.name }))
})

/**
 * One budget for everything that is built with this layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<never> => Layer.sync(Current, () => make(options))

/**
 * No budget, where the surroundings have one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerUnlimited: Layer.Layer<never> = /* @__PURE__ */ Layer.succeed(Current, unlimited)

/**
 * No extra attempts at all: for tests of what happens without them.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerEmpty: Layer.Layer<never> = /* @__PURE__ */ Layer.succeed(Current, empty)

const amount = (name: string, value: number, least: number): number => {
  refuse.unless(value >= least && value < Infinity, `AttemptBudget: ${name} must be ${least} or more`, value)
  return value
}
