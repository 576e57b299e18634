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
 * A budget has a balance. A first attempt deposits `ratio`; time deposits `minPerSecond` a second; an extra attempt
 * withdraws 1, or is rejected at once: nothing waits for a budget. The balance starts at its cap, `burst`, so in any time `t`
 * with `n` first attempts at most `burst + ratio * n + minPerSecond * t` extra ones are sent. An attempt is paid for when it
 * is decided upon, so attempts that still wait in backoff count.
 *
 * A call deposits once, when it begins, however many retries, hedges and pipelines are nested around it: the outermost
 * deposits, all of them withdraw. Amounts are counted in millionths, as integers, so they do not drift.
 *
 * Four other kinds can stand in its place: `expiring`, which forgets what was earned; `inFlight`, a share of the
 * attempts in flight, as Envoy and failsafe-go have it; `quota`, with costs and refunds, as the AWS SDKs have it; and
 * `retryThrottling`, as gRPC has it. `quota` and `retryThrottling` stop where most attempts fail and allow nearly all retries
 * where few do, in a fleet of any size. The last three follow each call to its end, which costs it an object and a frame.
 *
 * **Fleets**
 *
 * An outage ends by itself only while what is sent stays below what the dependency can take: with `calls` a second over
 * all processes, if `calls * (1 + ratio) + minPerSecond < capacity`. `minPerSecond` and `burst` are meant for all processes
 * together, so tell the budget how many share the dependency: each gets its part. The defaults assume one process and are
 * small enough for fleets that do not tell: 20 processes add 2 a second. Finagle, Linkerd and tower document 20 % and 10 a
 * second for *each* process; at half load, 20 of those keep a dependency of 200 a second down for good.
 *
 * `RetryPolicy`, `Hedge` and others take the budget of their surroundings, `Current`; by default that is `noop`, which limits
 * nothing.
 *
 * The scheme is that of Finagle's `RetryBudget`.
 *
 * **Gotchas**
 *
 * `deposit` and `withdraw` by hand are for this kind and `expiring`. The three kinds that follow calls learn from policies when
 * a call begins and ends; an attempt that is withdrawn for by hand inside a call counts until the call ends, and outside a call
 * it is allowed or not and counts as nothing in flight.
 *
 * **Example** (Rejecting retries during an outage)
 *
 * ```ts import.meta.vitest
 * import { AttemptBudget } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 *
 * const ledger = AttemptBudget.make({ name: "ledger", ratio: 0.5, minPerSecond: 0, burst: 1 })
 * const extra = AttemptBudget.withdraw.pipe(
 *   Effect.as("sent"),
 *   Effect.catchTag("BudgetExhausted", (error) => Effect.succeed(error.message))
 * )
 *
 * const outage = Effect.all([extra, extra, AttemptBudget.deposit, AttemptBudget.deposit, extra])
 * const program = Effect.flatMap(ledger, (budget) => AttemptBudget.withAttemptBudget(outage, budget))
 * const [first, second, , , third] = await Effect.runPromise(program)
 * first // => "sent"
 * second // => "The budget \"ledger\" rejects another attempt."
 * third // => "sent"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Time from "@effect-resilience/kernel/Time"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as kinds from "./budgetKind/index.ts"
import type { Open } from "./internal/account.ts"
import type { AttemptBudget, Entered, Snapshot } from "./internal/budget.ts"
import * as internal from "./internal/budget.ts"
import { BudgetExhausted } from "./internal/budgetExhausted.ts"
import { Tokens } from "./internal/tokens.ts"

export * from "./budgetKind/index.ts"
export type { AttemptBudget, Entered, Snapshot }
export { BudgetExhausted }

/**
 * What a budget allows. Without one of the kinds, calls and time pay into a balance.
 *
 * A kind stands alone, beside `name`:
 *
 * - `expiring`: what was earned is forgotten after a while.
 * - `inFlight`: a share of the attempts in flight.
 * - `quota`: extra attempts have costs, and give them back where they help.
 * - `retryThrottling`: none while too many attempts fail.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Kinds {
  /** The dependency; errors, events and metrics carry it. Default `"default"`. */
  readonly name?: string | undefined
  /** Extra attempts earned by each first one; default 0.1, as Google's SRE book and Microsoft's handler have it. */
  readonly ratio?: number | undefined
  /** Extra attempts earned by each second, for dependencies that are seldom called; default 0.1. */
  readonly minPerSecond?: number | undefined
  /**
   * The most that can be saved up, and the balance at the start; default 10 seconds of `minPerSecond`, at least 10. Each process
   * has at least 1.
   */
  readonly burst?: number | undefined
  /**
   * How many processes share the dependency, each with a budget like this one; default 1. `minPerSecond` and `burst` are divided
   * by it.
   */
  readonly processes?: number | undefined
  /**
   * The former name of `minPerSecond`, which wins over it. It is for descriptions that are stored.
   *
   * @deprecated Use `minPerSecond`. The next version no longer reads this.
   */
  readonly floor?: number | undefined
}

/**
 * The kinds, each with its options.
 *
 * @category models
 * @since 0.1.0
 */
export type Kinds = { readonly [Kind in keyof typeof kinds]?: Field.Input<typeof kinds[Kind]> }

const amount = /* @__PURE__ */ Field.number({ min: 0 })

const atLeast1 = /* @__PURE__ */ Field.number({ min: 1 })

const kindFields = /* @__PURE__ */ optionalOf(kinds)

const ofAccount = {
  ratio: /* @__PURE__ */ Field.withDefault(amount, 0.1),
  minPerSecond: /* @__PURE__ */ Field.optional(amount),
  burst: /* @__PURE__ */ Field.optional(atLeast1),
  processes: /* @__PURE__ */ Field.withDefault(atLeast1, 1),
  floor: /* @__PURE__ */ Field.optional(amount)
} satisfies Field.Fields<Omit<Options, "name" | keyof Kinds>>

/**
 * The options of a budget that is none of the kinds, as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const accountFields: typeof ofAccount = ofAccount

// Bundlers keep an object with a spread, but not an unused call.
const unnamed = /* @__PURE__ */ (() => ({ ...ofAccount, ...kindFields }))() satisfies Field.Fields<
  Omit<Options, "name">
>

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = /* @__PURE__ */ (() => ({ name: Field.name, ...unnamed }))() satisfies Field.Fields<Options>

const struct = /* @__PURE__ */ Field.struct(unnamed)

/**
 * A budget as an option of something else, which has the name.
 *
 * @category fields
 * @since 0.1.0
 */
export const field: Field.Field<Omit<Options, "name">, Open> = /* @__PURE__ */ readBy(struct)

function readBy(struct: Field.Field<Omit<Options, "name">, Field.Settings<typeof unnamed>>): typeof field {
  return { ...struct, read }

  function read(options: Omit<Options, "name">, path: string): Open {
    const settings = struct.read(options, path)
    const written = Object.entries(options).flatMap(([name, value]) => value === undefined ? [] : name)
    const kind = written.find((name): name is keyof typeof kindFields => name in kindFields)
    if (kind === undefined) return accountOf(settings)
    requireArgument(written.length === 1, `${path}.${kind}`, "the only option beside name", written.join(", "))
    return settings[kind] ?? accountOf(settings)
  }
}

// Hoisted, since the fields above need it.
function optionalOf<F extends Field.Record>(fields: F) {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, Field.optional(field)])) as {
    readonly [K in keyof F]: Field.Field<Field.Input<F[K]> | undefined, Field.Output<F[K]> | undefined>
  }
}

const accountOf = (
  { burst, floor, minPerSecond = floor ?? 0.1, processes, ratio }: Field.Settings<typeof ofAccount>
): Open =>
(name) =>
  new Tokens({
    ratio,
    minPerSecond: minPerSecond / processes,
    burst: Math.max(1, (burst ?? Math.max(10, minPerSecond * 10)) / processes)
  }, name)

/**
 * Makes a budget. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ name, ...options }: Options = {}): Effect.Effect<AttemptBudget> => {
  const open = field.read(options, "AttemptBudget")
  const named = Field.name.read(name, "AttemptBudget.name")
  return Effect.sync(() => open(named))
}

/**
 * Makes a budget that is none of the kinds, which it does not bring into a bundle. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeAccount = (
  { name, ...options }: Omit<Options, keyof Kinds> = {}
): Effect.Effect<AttemptBudget> => {
  const open = accountOf(Field.read("AttemptBudget", ofAccount, options))
  const named = Field.name.read(name, "AttemptBudget.name")
  return Effect.sync(() => open(named))
}

/**
 * Makes a budget for each key on first use, for example for each host. Its key is its name.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. A budget that has spent something is kept until
 *   time has filled it again, unless `minPerSecond` is 0.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (
  { capacity, name: _, ...options }: Options & Keyed.Options = {}
): Effect.Effect<Keyed.Keyed<AttemptBudget>> => {
  const open = field.read(options, "AttemptBudget")
  return Effect.clockWith((clock) =>
    Effect.succeed(Keyed.make({
      capacity,
      make: open,
      isIdle: (account) => account.isIdle(Time.monotonicMillis(clock))
    }))
  )
}

/**
 * Allows every attempt.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: AttemptBudget = internal.noop

/**
 * Rejects every extra attempt, and counts none: for tests, and for switching all of them off at once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: AttemptBudget = /* @__PURE__ */ internal.make({
  name: "empty",
  depositUnsafe: internal.nothing,
  withdrawUnsafe: () => false,
  snapshot: /* @__PURE__ */ Effect.succeed({ balance: 0, rejected: 0 })
})

/**
 * Puts a budget in charge of the extra attempts inside an effect.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withAttemptBudget: Policy.Combinator<AttemptBudget, never> = Policy.withPolicy

/**
 * The budget of the running fiber; `noop` by default.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<AttemptBudget> = internal.current

/**
 * Tells the budget of a call that begins, unless something around it has, and returns the context for what runs inside,
 * where nothing deposits again. For policies that make attempts themselves; when they end they call `endUnsafe`.
 *
 * @category using
 * @since 0.1.0
 */
export const depositUnsafe = <R>(context: Context.Context<R>): Context.Context<R> => {
  const inside = internal.deposit(context)
  return inside === undefined ? context : Context.add(context, Current, inside)
}

/**
 * Tells the budget how a call ended, with the context that `depositUnsafe` returned.
 *
 * @category using
 * @since 0.1.0
 */
export const endUnsafe = (context: Context.Context<never>, exit: Exit.Exit<unknown, unknown>): void => {
  const budget = Context.get(context, Current)
  if (internal.isEntered(budget)) budget.endUnsafe(exit)
}

/**
 * Tells the budget of a first attempt. Policies do this themselves.
 *
 * @category using
 * @since 0.1.0
 */
export const deposit: Effect.Effect<void> = /* @__PURE__ */ Effect.withFiber((fiber) => {
  fiber.getRef(Current).depositUnsafe(fiber.context)
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
  return internal.withdraw(budget, fiber.context)
    ? Effect.void
    : Effect.fail(new BudgetExhausted({ budget: budget.name }))
})

/**
 * One budget for everything that is built with this layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<never> => Layer.effect(Current, make(options))

/**
 * No limit, where the surroundings have one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<never> = /* @__PURE__ */ Layer.succeed(Current, noop)

/**
 * No extra attempts at all: for tests of what happens without them.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerEmpty: Layer.Layer<never> = /* @__PURE__ */ Layer.succeed(Current, empty)
