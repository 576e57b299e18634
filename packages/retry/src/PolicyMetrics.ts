/**
 * What bulkheads, circuit breakers, limits, budgets and token caches look like right now.
 *
 * **Why**
 *
 * Counters tell what happened; a gauge tells whether a circuit is open at this moment and how long its queue is. Policies
 * do not measure themselves on each call, so they are looked at now and then.
 *
 * **Details**
 *
 * Takes policies by their shape: those of `@effect-resilience/limit`, `retry` and `auth` fit, and so does anything that can
 * tell the same.
 *
 * What a budget refused is counted by `Telemetry`: `resilience.retries.stopped` with the reason `BudgetExhausted`.
 *
 * **Example** (A circuit on a dashboard)
 *
 * ```ts import.meta.vitest
 * import { PolicyMetrics } from "@effect-resilience/retry"
 * import { Effect, Metric } from "effect"
 *
 * const circuit = { name: "api", snapshot: Effect.succeed({ _tag: "Open" }) }
 *
 * const program = Effect.gen(function*() {
 *   yield* PolicyMetrics.sample({ circuits: [circuit] })
 *   const series = yield* Metric.snapshot
 *   return series.map(({ attributes, state }) => [attributes?.["resilience.state"], "value" in state ? state.value : 0])
 * })
 * await Effect.runPromise(Effect.provideService(program, Metric.MetricRegistry, new Map()))
 * // => [["Closed", 0], ["Open", 1], ["HalfOpen", 0], ["Isolated", 0]]
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"

/**
 * What is looked at. `key`, of a budget `name`, becomes the attribute `resilience.policy`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policies {
  readonly bulkheads?: Iterable<Bulkhead> | undefined
  readonly circuits?: Iterable<Circuit> | undefined
  readonly limits?: Iterable<Limit> | undefined
  readonly budgets?: Iterable<Budget> | undefined
  readonly tokens?: Iterable<Tokens> | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Budget {
  readonly name: string
  readonly snapshot: Effect.Effect<{ readonly balance: number }>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Bulkhead {
  readonly name: string
  readonly snapshot: Effect.Effect<{ readonly permits: number; readonly running: number; readonly waiting: number }>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Circuit {
  readonly name: string
  readonly snapshot: Effect.Effect<{ readonly _tag: string }>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Limit {
  readonly name: string
  readonly snapshot: Effect.Effect<{ readonly limit: number; readonly running: number }>
}

/**
 * A token cache: `{ key: "api", status: cache.status }`. `logins` and `failures` count since the cache was made; a key
 * stands for one cache.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tokens {
  readonly key: string
  readonly status: Effect.Effect<{ readonly logins: number; readonly failures: number }>
}

/**
 * 1 for the state that a circuit is in, 0 for the others. Attributes: `resilience.policy`, `resilience.state`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const circuitState: Metric.Gauge<number> = Metric.gauge("resilience.circuit.state", {
  description: "1 for the state that the circuit is in"
})

/**
 * How many calls may run at once, by a bulkhead or an adaptive limit. Attribute: `resilience.policy`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const permits: Metric.Gauge<number> = Metric.gauge("resilience.permits", {
  description: "Calls that may run at once"
})

/**
 * How many calls are running. Attribute: `resilience.policy`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const running: Metric.Gauge<number> = Metric.gauge("resilience.running", { description: "Calls that run" })

/**
 * How many calls wait for a permit. Attribute: `resilience.policy`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const waiting: Metric.Gauge<number> = Metric.gauge("resilience.waiting", {
  description: "Calls that wait for a permit"
})

/**
 * How many extra attempts a budget would allow; absent where it is unlimited. Attribute: `resilience.policy`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const budgetBalance: Metric.Gauge<number> = Metric.gauge("resilience.budget.balance", {
  description: "Extra attempts that the budget would allow"
})

/**
 * Logins, renewals ahead of time among them. Attributes: `resilience.policy` and `resilience.outcome` (`success`,
 * `failure`).
 *
 * @category metrics
 * @since 0.1.0
 */
export const logins: Metric.Counter<number> = Metric.counter("resilience.logins", {
  description: "Logins for a new token",
  incremental: true
})

/**
 * Looks at the policies once.
 *
 * @category sampling
 * @since 0.1.0
 */
export const sample = (policies: Policies): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (const { name, snapshot } of policies.circuits ?? []) {
      const { _tag } = yield* snapshot
      for (const state of states) {
        const attributes = { "resilience.policy": name, "resilience.state": state }
        yield* Metric.update(Metric.withAttributes(circuitState, attributes), state === _tag ? 1 : 0)
      }
    }
    for (const { name, snapshot } of policies.bulkheads ?? []) {
      const now = yield* snapshot
      const attributes = { "resilience.policy": name }
      yield* Metric.update(Metric.withAttributes(permits, attributes), now.permits)
      yield* Metric.update(Metric.withAttributes(running, attributes), now.running)
      yield* Metric.update(Metric.withAttributes(waiting, attributes), now.waiting)
    }
    for (const { name, snapshot } of policies.limits ?? []) {
      const now = yield* snapshot
      const attributes = { "resilience.policy": name }
      yield* Metric.update(Metric.withAttributes(permits, attributes), now.limit)
      yield* Metric.update(Metric.withAttributes(running, attributes), now.running)
    }
    for (const budget of policies.budgets ?? []) {
      const { balance } = yield* budget.snapshot
      if (balance === Infinity) continue
      yield* Metric.update(Metric.withAttributes(budgetBalance, { "resilience.policy": budget.name }), balance)
    }
    for (const { key, status } of policies.tokens ?? []) {
      const now = yield* status
      yield* countTo(now.logins, { "resilience.policy": key, "resilience.outcome": "success" })
      yield* countTo(now.failures, { "resilience.policy": key, "resilience.outcome": "failure" })
    }
  })

/**
 * Looks at the policies now and every 5 seconds, or as often as `every` says.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  policies: Policies,
  options: { readonly every?: Duration.Input | undefined } = {}
): Layer.Layer<never> =>
  Layer.effectDiscard(
    sample(policies).pipe(
      Effect.repeat(Schedule.spaced(options.every ?? "5 seconds")),
      Effect.forkScoped({ startImmediately: true })
    )
  )

// A cache counts for itself, so what it has counted since the last look is added.
const countTo = (total: number, attributes: { readonly [name: string]: string }): Effect.Effect<void> => {
  const counter = Metric.withAttributes(logins, attributes)
  return Effect.flatMap(Metric.value(counter), ({ count }) => Metric.update(counter, Math.max(0, total - count)))
}

const states = ["Closed", "Open", "HalfOpen", "Isolated"]
