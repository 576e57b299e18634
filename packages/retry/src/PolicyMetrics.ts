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
 * Takes any policy and reads the numbers and the state in its snapshot. A token cache fits as
 * `{ name: "api", snapshot: cache.status }`, and so does anything else with a name and a snapshot.
 *
 * Attempts that a budget rejected are counted by `Telemetry`: `resilience.retries.stopped` with the reason `BudgetExhausted`.
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
 *   yield* PolicyMetrics.sample([circuit])
 *   const series = yield* Metric.snapshot
 *   return series.map(({ attributes, state }) => [attributes?.["resilience.state"], "value" in state ? state.value : 0])
 * })
 * await Effect.runPromise(Effect.provideService(program, Metric.MetricRegistry, new Map()))
 * // => [["Closed", 0], ["Open", 1], ["HalfOpen", 0], ["Isolated", 0]]
 * ```
 *
 * @since 0.1.0
 */
import type * as Policy from "@effect-resilience/kernel/Policy"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"

/**
 * What is looked at: its name becomes the attribute `resilience.policy`.
 *
 * | snapshot has | metric |
 * | --- | --- |
 * | `_tag` of a circuit | `circuitState` |
 * | `permits` or `limit` | `permits` |
 * | `running`, `waiting` | the same |
 * | `balance` | `budgetBalance` |
 * | `logins`, `failures` | `logins`; they count since the cache was made, so a name stands for one cache |
 *
 * @category models
 * @since 0.1.0
 */
export type Observed = Pick<Policy.Policy<unknown, unknown>, "name" | "snapshot">

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
 * Logins, including refreshes ahead of time. Attributes: `resilience.policy` and `resilience.outcome` (`success`,
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
export const sample = (policies: Iterable<Observed>): Effect.Effect<void> =>
  Effect.forEach(policies, ({ name, snapshot }) => Effect.flatMap(snapshot, (now) => record(name, now)), {
    discard: true
  })

/**
 * Looks at the policies now and every 5 seconds, or as often as `every` says.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  policies: Iterable<Observed>,
  options: { readonly every?: Duration.Input | undefined } = {}
): Layer.Layer<never> =>
  Layer.effectDiscard(
    sample(policies).pipe(
      Effect.repeat(Schedule.spaced(options.every ?? "5 seconds")),
      Effect.forkScoped({ startImmediately: true })
    )
  )

const record = (name: string, snapshot: unknown): Effect.Effect<void> => {
  const policy = { "resilience.policy": name }
  const updates: Array<Effect.Effect<void>> = []
  for (const [field, gauge] of gauges) {
    const value = numberOf(snapshot, field)
    if (Number.isFinite(value)) updates.push(Metric.update(Metric.withAttributes(gauge, policy), value))
  }
  for (const [field, outcome] of outcomes) {
    const total = numberOf(snapshot, field)
    if (Number.isFinite(total)) updates.push(countTo(total, { ...policy, "resilience.outcome": outcome }))
  }
  const tag = Predicate.hasProperty(snapshot, "_tag") ? snapshot._tag : undefined
  if (states.some((state) => state === tag)) {
    for (const state of states) {
      const attributes = { ...policy, "resilience.state": state }
      updates.push(Metric.update(Metric.withAttributes(circuitState, attributes), state === tag ? 1 : 0))
    }
  }
  return Effect.all(updates, { discard: true })
}

const numberOf = (snapshot: unknown, field: string): number => {
  const value = Predicate.hasProperty(snapshot, field) ? snapshot[field] : undefined
  return typeof value === "number" ? value : Number.NaN
}

const gauges = [
  ["permits", permits],
  ["limit", permits],
  ["running", running],
  ["waiting", waiting],
  ["balance", budgetBalance]
] as const

const outcomes = [["logins", "success"], ["failures", "failure"]] as const

const states = ["Closed", "Open", "HalfOpen", "Isolated"]

// A cache counts for itself, so what it has counted since the last look is added.
const countTo = (total: number, attributes: { readonly [name: string]: string }): Effect.Effect<void> => {
  const counter = Metric.withAttributes(logins, attributes)
  return Effect.flatMap(Metric.value(counter), ({ count }) => Metric.update(counter, Math.max(0, total - count)))
}
