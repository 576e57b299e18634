/**
 * Proposes limits of time, hedges, budgets and bulkheads from recorded traffic. It changes nothing.
 *
 * **Details**
 *
 * - `attemptTimeout`: the time that all but one in a thousand of the good attempts stay below, and half as much again. The reason has the
 *   false-timeout rate: the share of good attempts that it would have cut off, and that of the present one.
 * - `hedge`: after the 95th percentile, if one attempt in a hundred takes more than 3 times as long as that, so that a second one is
 *   likely to be quicker. Only for calls that are declared idempotent.
 * - `budget`: a share of twice the usual rate of attempts that another may mend, between 5 and 20 %.
 * - `bulkhead`: twice the most calls that ran at once.
 *
 * At least 200 good attempts are needed. A quiet log proposes limits for quiet times: record a busy hour.
 *
 * **Example** (A limit that waits far too long)
 *
 * ```ts import.meta.vitest
 * import { Proposal, Traffic } from "@effect-resilience/lab"
 *
 * const traffic = Traffic.read(Array.from({ length: 1000 }, (_, i) =>
 *   JSON.stringify({ time: new Date(i * 1000).toISOString(), status: 200, durationMs: 50 + i % 50 })))
 * const [first] = Proposal.from({ name: "ledger", attemptTimeout: "10 seconds" }, traffic)
 * first?.path // => ["attemptTimeout"]
 * first?.to // => 150
 * ```
 *
 * @stability experimental
 * @since 0.1.0
 */
import type * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import { millisOf, number, time } from "./internal/subject.ts"
import type { Traffic } from "./Traffic.ts"

/**
 * A change that the traffic suggests.
 *
 * - `from`, `to`: as JSON writes them; `from` is absent where nothing is written.
 *
 * @category models
 * @since 0.1.0
 */
export interface Proposal {
  /** Of the option in the description of a pipeline. */
  readonly path: ReadonlyArray<string>
  readonly from?: unknown
  readonly to: unknown
  /** The numbers that suggest it. */
  readonly reason: string
}

/** So few say nothing of one in a thousand. */
const fewest = 200

/**
 * What traffic suggests for a description.
 *
 * @category proposing
 * @since 0.1.0
 */
export const from = (description: Pipeline.Description, { calls }: Traffic): ReadonlyArray<Proposal> => {
  const attempts = calls.flatMap((call) => call.attempts)
  const good = Float64Array.from(attempts.filter(({ outcome }) => outcome === "good"), ({ millis }) => millis).sort()
  if (good.length < fewest) return []
  const at = (p: number) => good[Math.max(0, Math.ceil(p * good.length) - 1)] ?? 0
  const [p95, p99, p999] = [at(0.95), at(0.99), at(0.999)]
  return [
    ...timeout(description, good, p999),
    ...hedge(description, p95, p99),
    ...budget(description, attempts.filter(({ outcome }) => outcome === "transient").length, calls.length),
    ...bulkhead(description, mostAtOnce(calls))
  ]
}

const timeout = (
  { attemptTimeout }: Pipeline.Description,
  good: Float64Array,
  p999: number
): ReadonlyArray<Proposal> => {
  const to = roundUp(1.5 * p999)
  const present = millisOf(attemptTimeout)
  // What is within a fifth is as good.
  if (present !== undefined && Math.abs(present - to) <= to / 5) return []
  const cut = (limit: number) => `${number(100 * good.filter((millis) => millis >= limit).length / good.length)} %`
  const now = present === undefined ? "there is none now" : `${time(present)} cuts off ${cut(present)}`
  return [{
    path: ["attemptTimeout"],
    from: attemptTimeout,
    to,
    reason: `99.9 % of ${good.length} good attempts took at most ${time(p999)}; ${time(to)} would have cut off ${
      cut(to)
    } of them, ${now}`
  }]
}

const hedge = (description: Pipeline.Description, p95: number, p99: number): ReadonlyArray<Proposal> =>
  p99 <= 3 * p95 || description.hedge !== undefined ? [] : [{
    path: ["hedge"],
    to: { after: roundUp(p95) },
    reason: `95 % of the good attempts took at most ${time(p95)}, 99 % ${time(p99)}: a second one after ${
      time(p95)
    } is likely to be quicker, at 5 % more requests; for calls that are idempotent`
  }]

const budget = (description: Pipeline.Description, transient: number, calls: number): ReadonlyArray<Proposal> => {
  if (description.retry === undefined && description.budget === undefined) return []
  const usual = transient / Math.max(1, calls)
  const to = Math.round(100 * Math.min(0.2, Math.max(0.05, 2 * usual))) / 100
  const present = description.budget
  // The kinds are measured otherwise.
  if (present !== undefined && ["expiring", "inFlight", "quota", "retryThrottling"].some((kind) => kind in present)) {
    return []
  }
  const ratio = present?.ratio ?? 0.1
  return present !== undefined && Math.abs(ratio - to) <= 0.05 ? [] : [{
    path: present === undefined ? ["budget"] : ["budget", "ratio"],
    ...present === undefined ? {} : { from: ratio },
    to: present === undefined ? { ratio: to, burst: 3 } : to,
    reason: `${transient} attempts of ${calls} calls failed so that another may help, ${
      number(100 * usual)
    } %; twice that is room for usual times, and an outage adds no more`
  }]
}

const bulkhead = ({ bulkhead }: Pipeline.Description, most: number): ReadonlyArray<Proposal> => {
  const to = Math.max(2, 2 * most)
  const present = bulkhead?.permits
  return present !== undefined && present >= most && present <= 2 * to ? [] : [{
    path: present === undefined ? ["bulkhead"] : ["bulkhead", "permits"],
    ...present === undefined ? {} : { from: present },
    to: present === undefined ? { permits: to } : to,
    reason: `at most ${most} calls ran at once; ${to} permits leave room, and bound what waits for a silent server`
  }]
}

const mostAtOnce = (calls: Traffic["calls"]): number => {
  const changes = calls.flatMap(({ atMillis, millis }) => [[atMillis, 1], [atMillis + millis, -1]] as const)
    // Of two at the same time the end comes first.
    .sort(([a, x], [b, y]) => a - b || x - y)
  let running = 0
  let most = 0
  for (const [, change] of changes) most = Math.max(most, running += change)
  return most
}

/** To two digits, as people write limits. */
const roundUp = (millis: number): number => {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, millis))) - 1)
  return Math.ceil(millis / unit) * unit
}
