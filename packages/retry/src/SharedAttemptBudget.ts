/**
 * An attempt budget that several processes share.
 *
 * **Why**
 *
 * `processes` gives each process its part, whether or not it needs it, and has to be told anew whenever the fleet grows. Here the
 * processes take what they need from one balance, and know how many they are.
 *
 * **Details**
 *
 * It is the default kind of `AttemptBudget`, with the same options, for all processes together. A process holds a share of it and
 * pays for extra attempts from there, so no call waits for the store. Every second, in the background, a process that has
 * had calls asks the store: it gives what its calls have earned beyond its share, and gets what it lacks, and what it lacked since it last
 * asked. The shares of all processes together are half of `burst`. A process without calls keeps 1.
 *
 * Over all processes and any time, at most what was saved up and what calls and time have earned is spent. Up to `burst` is saved up in the
 * store, and as much again as the shares hold. What a process held that died, and what was in a response that did not arrive, is lost. A
 * process whose share is used up makes no extra attempt until it has asked again.
 *
 * While the store does not respond, a process goes on alone (`onStoreError: "allow"`), with its part of `minPerSecond` and
 * `burst` by the number of processes that the store last told, or it makes no extra attempts (`"fail"`).
 *
 * The store is a service: `layerStoreRedis` for Redis, `layerStoreMemory` for tests.
 *
 * **Gotchas**
 *
 * - Not in the package's index, since it loads `Schema`: import it from `@effect-resilience/retry/SharedAttemptBudget`.
 * - All processes have to use the same options for a name.
 * - A process has nothing before its first response from the store, which it asks when the budget is made.
 * - Redis has to be 5 or later. The balance is forgotten when no process has asked for as long as time takes to fill it; without
 *   `minPerSecond`, for a day.
 *
 * **Example** (Two processes, one budget)
 *
 * ```ts import.meta.vitest
 * import { AttemptBudget } from "@effect-resilience/retry"
 * import * as SharedAttemptBudget from "@effect-resilience/retry/SharedAttemptBudget"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const budget = yield* SharedAttemptBudget.make({ name: "ledger", burst: 8 })
 *   yield* SharedAttemptBudget.make({ name: "ledger", burst: 8 })
 *   return (yield* budget.snapshot).balance
 * })
 *
 * const store = SharedAttemptBudget.layerStoreMemory
 * await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(store))) // => 4
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Time from "@effect-resilience/kernel/Time"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redis from "effect/persistence/Redis"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as AttemptBudget from "./AttemptBudget.ts"
import { Account } from "./internal/account.ts"
import { perMilliOf, Purse } from "./internal/purse.ts"
import type { Request, Share } from "./internal/shares.ts"
import { script, shareOf, Shares } from "./internal/shares.ts"
import { fromUnits, toUnits, unit } from "./internal/units.ts"

export type { Request, Share }

/**
 * How to make a shared budget.
 *
 * - `name`, `ratio`, `minPerSecond`, `burst`: as those of `AttemptBudget`, over all processes.
 * - `processes`: how many are assumed to share it until the store has told; default 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options
  extends Pick<AttemptBudget.Options, "name" | "ratio" | "minPerSecond" | "burst" | "processes">
{
  /** How often a process asks the store, while it has calls, up to a quarter more or less; default 1 second. */
  readonly renewEvery?: Duration.Input | undefined
  /**
   * Whether a process goes on alone (`"allow"`) or makes no extra attempts (`"fail"`) while the store cannot be reached;
   * default `"allow"`.
   */
  readonly onStoreError?: "allow" | "fail" | undefined
  /** How long the store may take to respond before that decides; default 1 second. */
  readonly storeTimeout?: Duration.Input | undefined
}

const { burst, minPerSecond, name, processes, ratio } = AttemptBudget.fields

const positive = /* @__PURE__ */ Field.duration({ above: 0, finite: true })

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name,
  ratio,
  minPerSecond,
  burst,
  processes,
  renewEvery: /* @__PURE__ */ Field.withDefault(positive, "1 second"),
  onStoreError: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.literals("allow", "fail"), "allow"),
  storeTimeout: /* @__PURE__ */ Field.withDefault(positive, "1 second")
} satisfies Field.Fields<Options>

/**
 * Where the balance is kept.
 *
 * - `ask`: gives what a process has above its share, and gets what it lacks. A failure counts as a store that does not respond.
 *
 * @category services
 * @since 0.1.0
 */
export class Store extends Context.Service<Store, {
  readonly ask: (request: Request) => Effect.Effect<Share, unknown>
}>()("@effect-resilience/retry/SharedAttemptBudget/Store") {}

/**
 * Keeps the balance in Redis. Keys begin with `prefix`, by default `"attempt-budget:"`.
 *
 * @category layers
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
export const layerStoreRedis = (
  { prefix = "attempt-budget:" }: { readonly prefix?: string | undefined } = {}
): Layer.Layer<Store, never, Redis.Redis> =>
  Layer.effect(
    Store,
    Effect.map(Redis.Redis, (redis) => {
      const run = redis.eval(script)
      return {
        ask: (request) => {
          // The braces put both on the same node of a cluster.
          const key = `${prefix}{${request.name}}`
          return Effect.map(run(key, `${key}:processes`, request), ([granted, processes]) => ({
            granted: Number(granted),
            processes
          }))
        }
      }
    })
  )

/**
 * Keeps the balance in the memory of this process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStoreMemory: Layer.Layer<Store> = /* @__PURE__ */ Layer.sync(Store, () => {
  const shares = new Shares()
  return { ask: (request) => Effect.map(Time.now, (nowMillis) => shares.ask(request, nowMillis)) }
})

/**
 * Makes a shared budget. The scope ends its renewals. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Options = {}
): Effect.Effect<AttemptBudget.AttemptBudget, never, Store | Scope.Scope> => {
  const settings = Field.read("SharedAttemptBudget", fields, options)
  return Effect.flatMap(renewing(settings), ({ open, start }) => {
    const account = open(settings.name)
    return Effect.as(start, account)
  })
}

/**
 * Makes a shared budget for each key, which is its name. A key that is new has nothing until the next renewal.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (
  options: Options & Keyed.Options = {}
): Effect.Effect<Keyed.Keyed<AttemptBudget.AttemptBudget>, never, Store | Scope.Scope> => {
  const { capacity, settings } = Keyed.read("SharedAttemptBudget", fields, options)
  return Effect.flatMap(
    renewing(settings),
    ({ open, start }) => Effect.as(start, Keyed.make({ capacity, make: open, isIdle: (account) => account.isIdle() }))
  )
}

/**
 * One shared budget for everything that is built with this layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<never, never, Store> =>
  Layer.effect(AttemptBudget.Current, make(options))

type Settings = Field.Settings<typeof fields>

// One fiber asks the store for all accounts that were used since it last did, and once more for each that no longer is.
const renewing = (settings: Settings) =>
  Effect.gen(function*() {
    const { ask } = yield* Store
    const withTimeout = StoreTimeout.make(settings.storeTimeout)
    const member = `${yield* Random.nextInt}`
    const active = new Set<Shared>()
    const renew = Effect.suspend(() =>
      Effect.forEach([...active], (account) => account.renew((request) => withTimeout(ask(request))), {
        concurrency: 10,
        discard: true
      })
    )
    // Who always asks just after another would always find nothing.
    const pause = Effect.flatMap(Random.next, (random) =>
      Effect.sleep(Duration.times(settings.renewEvery, 0.75 + random / 2)))
    return {
      open: (name: string): Shared =>
        new Shared(settings, name, member, active),
      start: Effect.forkScoped(Effect.forever(Effect.andThen(renew, pause)), { startImmediately: true })
    }
  })

class Shared extends Account {
  private readonly settings: Settings
  private readonly member: string
  private readonly active: Set<Shared>
  private readonly burst: number
  private readonly minPerSecond: number
  private purse: Purse
  private processes: number
  private state: "Asking" | "Shared" | "Alone" = "Asking"
  private isUsed = true
  /** What it could not pay for since it last asked. */
  private lacked = 0

  constructor(settings: Settings, name: string, member: string, active: Set<Shared>) {
    super(name)
    const { minPerSecond = 0.1 } = settings
    this.settings = settings
    this.member = member
    this.active = active
    this.minPerSecond = minPerSecond
    this.burst = settings.burst ?? Math.max(10, minPerSecond * 10)
    this.processes = settings.processes
    this.purse = this.purseOf(0, this.burst, 0)
    active.add(this)
  }

  depositUnsafe(): void {
    this.use()
    this.purse.deposit()
  }

  isIdle(): boolean {
    return true
  }

  renew(ask: (request: Request) => Effect.Effect<Share, unknown>): Effect.Effect<void> {
    return Effect.clockWith((clock) => {
      const request = this.requestAt(Time.monotonicMillis(clock))
      if (!this.isUsed) this.active.delete(this)
      this.isUsed = false
      return Effect.map(Effect.exit(ask(request)), (exit) => {
        const now = Time.monotonicMillis(clock)
        if (Exit.isSuccess(exit)) this.share(exit.value, now)
        else this.goOnAlone(now)
      })
    })
  }

  protected look(nowMillis: number) {
    return { balance: this.isRejecting() ? 0 : fromUnits(this.purse.balanceAt(nowMillis)) }
  }

  protected pay(nowMillis: number, cost: number): boolean {
    this.use()
    const price = toUnits(cost)
    if (!this.isRejecting() && this.purse.take(nowMillis, price)) return true
    this.lacked += price
    return false
  }

  private use(): void {
    if (this.isUsed) return
    this.isUsed = true
    this.active.add(this)
  }

  private isRejecting(): boolean {
    return this.state === "Alone" && this.settings.onStoreError === "fail"
  }

  // What is given is gone, whether or not the response arrives. So a store that was silent is given nothing.
  private requestAt(nowMillis: number): Request {
    const burst = toUnits(this.burst)
    const share = this.isUsed ? shareOf(burst, this.processes) : unit
    const above = this.state === "Alone" ? 0 : this.purse.balanceAt(nowMillis) - share
    const give = Math.max(0, above)
    this.purse.take(nowMillis, give)
    const want = this.isUsed ? Math.max(0, this.lacked - above) : 0
    this.lacked = 0
    return {
      name: this.name,
      member: this.member,
      give,
      want,
      burst,
      perMilli: perMilliOf(this.minPerSecond),
      presentMillis: Math.ceil(3 * Duration.toMillis(this.settings.renewEvery))
    }
  }

  private share({ granted, processes }: Share, nowMillis: number): void {
    if (this.state === "Alone") this.purse = this.purseOf(this.purse.balanceAt(nowMillis), this.burst, 0)
    this.state = "Shared"
    this.processes = processes
    this.purse.add(granted)
  }

  private goOnAlone(nowMillis: number): void {
    if (this.state === "Alone") return
    const burst = Math.max(1, this.burst / this.processes)
    // Who was never told anything begins as a budget does that is not shared.
    const balance = this.state === "Asking" ? toUnits(burst) : this.purse.balanceAt(nowMillis)
    this.purse = this.purseOf(balance, burst, this.minPerSecond / this.processes)
    this.state = "Alone"
  }

  private purseOf(balance: number, burst: number, minPerSecond: number): Purse {
    return new Purse({ ratio: this.settings.ratio, burst, minPerSecond }, Math.min(balance, toUnits(burst)))
  }
}
