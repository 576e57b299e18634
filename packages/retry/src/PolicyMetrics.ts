/**
 * What policies of any kind look like right now, and how much they have rejected.
 *
 * **Why**
 *
 * Counters tell what happened; a gauge tells whether a circuit is open at this moment and how long its queue is. Policies
 * do not measure themselves on each call, so they are looked at now and then.
 *
 * **Details**
 *
 * Takes any policy and reads the numbers and the state in its snapshot. Of a pipeline it looks at each part. A token cache fits
 * as `{ name: "api", snapshot: cache.status }`, and so does anything else with a name and a snapshot.
 *
 * Counters are those of the snapshots, so a rejection costs no more than an addition. To hear of each one as it happens, use
 * `PolicyEvent.observe`. Keyed policies are not looked at: a series for each key could be more than a metrics store takes.
 *
 * `Telemetry` counts `resilience.rejections` for each operation: calls for which nothing was sent. `policyRejections` counts for
 * each policy, and a call with three attempts may be rejected three times.
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
 *   const values = series.map(({ attributes, state }) => [attributes?.["resilience.state"], "value" in state ? state.value : 0])
 *   return values.filter(([, value]) => value === 1)
 * })
 * await Effect.runPromise(Effect.provideService(program, Metric.MetricRegistry, new Map()))
 * // => [["Open", 1]]
 * ```
 *
 * @stability stable
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
 * What is looked at: its name becomes the attribute `resilience.policy`, its kind `resilience.kind`.
 *
 * | snapshot has | metric |
 * | --- | --- |
 * | `_tag` of a circuit | `circuitState` |
 * | `permits` or `limit` | `permits` |
 * | `running`, `waiting`, `inFlight`, `failureRate`, `slowRate`, `probability` | the same |
 * | `balance` | `budgetBalance` |
 * | `healthy`, `ejected` | `endpoints` |
 * | `rejected` | `policyRejections` |
 * | `hedges`, `winners` | `hedges`, `hedgesWon` |
 * | `agreed`, `wouldHaveRejected`, `wouldHaveAdmitted` | `shadowDecisions` |
 * | `logins`, `failures` | `logins` |
 *
 * Counters count since the instance was made, so a name and a kind stand for one instance at a time. Where a reload puts another in its
 * place, `layer` goes on counting.
 *
 * `policies` are looked at instead where there are some: the parts of a pipeline.
 *
 * @category models
 * @since 0.1.0
 */
export interface Observed extends Pick<Policy.Policy<unknown, unknown>, "name" | "kind" | "snapshot"> {
  readonly policies?: Effect.Effect<{ readonly [key: string]: Observed | undefined }> | undefined
}

/**
 * 1 for the state that a circuit is in, 0 for the others. Attributes: those of the policy and `resilience.state`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const circuitState: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.circuit.state", {
  description: "1 for the state that the circuit is in"
})

/**
 * How many calls may run at once, by a bulkhead or an adaptive limit.
 *
 * @category metrics
 * @since 0.1.0
 */
export const permits: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.permits", {
  description: "Calls that may run at once"
})

/**
 * How many calls are running.
 *
 * @category metrics
 * @since 0.1.0
 */
export const running: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.running", {
  description: "Calls that run"
})

/**
 * How many calls wait for a permit.
 *
 * @category metrics
 * @since 0.1.0
 */
export const waiting: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.waiting", {
  description: "Calls that wait for a permit"
})

/**
 * How many extra attempts or requests are under way.
 *
 * @category metrics
 * @since 0.1.0
 */
export const inFlight: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.in_flight", {
  description: "Requests that are under way"
})

/**
 * How many extra attempts a budget would allow; absent where it is unlimited.
 *
 * @category metrics
 * @since 0.1.0
 */
export const budgetBalance: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.budget.balance", {
  description: "Extra attempts that the budget would allow"
})

/**
 * The share of outcomes that a breaker has in mind and that are failures, from 0 to 1.
 *
 * @category metrics
 * @since 0.1.0
 */
export const failureRate: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.failure_rate", {
  description: "Share of failures among the outcomes that count"
})

/**
 * The share of outcomes that a breaker has in mind and that are slow, from 0 to 1.
 *
 * @category metrics
 * @since 0.1.0
 */
export const slowRate: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.slow_rate", {
  description: "Share of slow calls among the outcomes that count"
})

/**
 * How likely the next call is rejected, from 0 to 1.
 *
 * @category metrics
 * @since 0.1.0
 */
export const probability: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.rejection.probability", {
  description: "Probability that the next call is rejected"
})

/**
 * How many endpoints get calls, and how many are ejected. Attributes: those of the policy and `resilience.endpoint.state`
 * (`healthy`, `ejected`).
 *
 * @category metrics
 * @since 0.1.0
 */
export const endpoints: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.endpoints", {
  description: "Endpoints by whether they get calls"
})

/**
 * Calls and further attempts that a policy rejected.
 *
 * @category metrics
 * @since 0.1.0
 */
export const policyRejections: Metric.Counter<number> = /* @__PURE__ */ Metric.counter("resilience.policy.rejections", {
  description: "Calls that the policy rejected",
  incremental: true
})

/**
 * Attempts that began beside those under way.
 *
 * @category metrics
 * @since 0.1.0
 */
export const hedges: Metric.Counter<number> = /* @__PURE__ */ Metric.counter("resilience.hedges", {
  description: "Attempts that began beside those under way",
  incremental: true
})

/**
 * Hedges whose result the caller got.
 *
 * @category metrics
 * @since 0.1.0
 */
export const hedgesWon: Metric.Counter<number> = /* @__PURE__ */ Metric.counter("resilience.hedges.won", {
  description: "Hedges whose result the caller got",
  incremental: true
})

/**
 * What a shadow decided beside a policy. Attributes: those of the shadow, its `resilience.kind` being a part, and
 * `resilience.decision` (`agreed`, `wouldHaveRejected`, `wouldHaveAdmitted`).
 *
 * @category metrics
 * @since 0.1.0
 */
export const shadowDecisions: Metric.Counter<number> = /* @__PURE__ */ Metric.counter("resilience.shadow.decisions", {
  description: "Decisions of a shadow",
  incremental: true
})

/**
 * Logins, including refreshes ahead of time. Attributes: those of the policy and `resilience.outcome` (`success`,
 * `failure`).
 *
 * @category metrics
 * @since 0.1.0
 */
export const logins: Metric.Counter<number> = /* @__PURE__ */ Metric.counter("resilience.logins", {
  description: "Logins for a new token",
  incremental: true
})

/**
 * Looks at the policies once.
 *
 * @category sampling
 * @since 0.1.0
 */
export const sample = (policies: Iterable<Observed>): Effect.Effect<void> => lookAt(policies, nothing(), nothing())

/**
 * Looks at the policies now and every 5 seconds, or as often as `every` says. Policies that come and go, such as those of a
 * registry, are given as an effect. The gauges of one that is gone, or of a part that a reload has taken out, go to 0.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  policies: Iterable<Observed> | Effect.Effect<Iterable<Observed>>,
  options: { readonly every?: Duration.Input | undefined } = {}
): Layer.Layer<never> =>
  Layer.effectDiscard(
    Effect.suspend(() => {
      let before = nothing()
      const present = Effect.isEffect(policies)
        ? policies
        // The values of a map can be read once.
        : Effect.succeed(Predicate.hasProperty(policies, "next") ? [...policies] : policies)
      const look = Effect.flatMap(present, (policies) => {
        const shown = nothing()
        const goneSince = Effect.suspend(() => {
          const gone = [...before.gauges].filter(([key]) => !shown.gauges.has(key))
          before = shown
          return Effect.forEach(gone, ([, gauge]) => Metric.update(gauge, 0), { discard: true })
        })
        return Effect.andThen(lookAt(policies, shown, before), goneSince)
      })
      return look.pipe(
        Effect.repeat(Schedule.spaced(options.every ?? "5 seconds")),
        Effect.forkScoped({ startImmediately: true })
      )
    })
  )

/** What a look has shown, by the names and attributes of metrics. */
interface Shown {
  readonly gauges: Map<string, Metric.Gauge<number>>
  readonly totals: Map<string, Total>
}

/** What an instance has counted, and those of the same name before it. */
interface Total {
  readonly total: number
  readonly earlier: number
}

const nothing = (): Shown => ({ gauges: new Map(), totals: new Map() })

const lookAt = (policies: Iterable<Observed>, shown: Shown, before: Shown): Effect.Effect<void> =>
  Effect.forEach(policies, (policy) => look(policy, shown, before), { discard: true })

const look = ({ kind, name, policies, snapshot }: Observed, shown: Shown, before: Shown): Effect.Effect<void> =>
  policies === undefined
    ? Effect.flatMap(
      snapshot,
      (now) =>
        record(
          now,
          { "resilience.policy": name, ...(kind !== undefined && { "resilience.kind": kind }) },
          shown,
          before
        )
    )
    : Effect.flatMap(policies, (parts) => lookAt(Object.values(parts).filter(Predicate.isNotUndefined), shown, before))

const record = (
  snapshot: unknown,
  policy: Metric.Metric.AttributeSet,
  shown: Shown,
  before: Shown
): Effect.Effect<void> => {
  const updates: Array<Effect.Effect<void>> = []
  const show = (gauge: Metric.Gauge<number>, attributes: Metric.Metric.AttributeSet, value: number) => {
    const series = Metric.withAttributes(gauge, attributes)
    shown.gauges.set(keyOf(gauge, attributes), series)
    updates.push(Metric.update(series, value))
  }
  for (const [field, gauge, attributes] of gauges) {
    const value = numberOf(snapshot, field)
    if (Number.isFinite(value)) show(gauge, { ...policy, ...attributes }, value)
  }
  for (const [field, counter, attributes] of counters) {
    const total = numberOf(snapshot, field)
    if (Number.isFinite(total)) updates.push(countTo(counter, { ...policy, ...attributes }, total, shown, before))
  }
  const tag = Predicate.hasProperty(snapshot, "_tag") ? snapshot._tag : undefined
  if (states.some((state) => state === tag)) {
    for (const state of states) show(circuitState, { ...policy, "resilience.state": state }, state === tag ? 1 : 0)
  }
  return Effect.all(updates, { discard: true })
}

const numberOf = (snapshot: unknown, field: string): number => {
  const value = Predicate.hasProperty(snapshot, field) ? snapshot[field] : undefined
  return typeof value === "number" ? value : Number.NaN
}

type Table<M> = ReadonlyArray<readonly [field: string, metric: M, attributes?: Metric.Metric.AttributeSet]>

const gauges: Table<Metric.Gauge<number>> = [
  ["permits", permits],
  ["limit", permits],
  ["running", running],
  ["waiting", waiting],
  ["inFlight", inFlight],
  ["balance", budgetBalance],
  ["failureRate", failureRate],
  ["slowRate", slowRate],
  ["probability", probability],
  ["healthy", endpoints, { "resilience.endpoint.state": "healthy" }],
  ["ejected", endpoints, { "resilience.endpoint.state": "ejected" }]
]

const counters: Table<Metric.Counter<number>> = [
  ["rejected", policyRejections],
  ["hedges", hedges],
  ["winners", hedgesWon],
  ["agreed", shadowDecisions, { "resilience.decision": "agreed" }],
  ["wouldHaveRejected", shadowDecisions, { "resilience.decision": "wouldHaveRejected" }],
  ["wouldHaveAdmitted", shadowDecisions, { "resilience.decision": "wouldHaveAdmitted" }],
  ["logins", logins, { "resilience.outcome": "success" }],
  ["failures", logins, { "resilience.outcome": "failure" }]
]

const states = ["Closed", "Partial", "Open", "HalfOpen", "Isolated", "MetricsOnly", "ForcedClosed"]

const keyOf = ({ id }: { readonly id: string }, attributes: Metric.Metric.AttributeSet): string =>
  id + JSON.stringify(attributes)

// A policy counts for itself, so what it has counted since the last look is added. One that has counted less than at the last look
// stands in the place of another, as after a reload.
const countTo = (
  counter: Metric.Counter<number>,
  attributes: Metric.Metric.AttributeSet,
  counted: number,
  shown: Shown,
  before: Shown
): Effect.Effect<void> => {
  const series = Metric.withAttributes(counter, attributes)
  const key = keyOf(counter, attributes)
  return Effect.flatMap(Metric.value(series), ({ count }) => {
    const last = before.totals.get(key)
    const total = Math.max(counted, shown.totals.get(key)?.total ?? 0)
    const earlier = last === undefined
      ? Math.max(0, count - total)
      : last.earlier + (total < last.total ? last.total : 0)
    shown.totals.set(key, { total, earlier })
    return Metric.update(series, Math.max(0, earlier + total - count))
  })
}
