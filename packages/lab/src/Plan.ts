/**
 * Puts recorded traffic through another description than the one it went through.
 *
 * **Details**
 *
 * - The calls begin when they began. The attempts that a call made then take as long and end as they did; further ones are drawn from
 *   those that were sent at about the same time. One that was cut off is silent: how long it would have taken is not known.
 * - `compare` first replays the description that was in use. Where its attempts or good calls differ by more than 2 % from what was
 *   recorded, or the median by more than 10 %, it does not judge the other one: the log is of another description, or has not all.
 * - Times are as recorded: more load makes the server no slower here. `Lab.simulate` has a server that it does.
 * - All calls pass one instance of the policies, as they do in one process.
 *
 * **Example** (What fewer retries would have done)
 *
 * ```ts import.meta.vitest
 * import { Plan, Traffic } from "@effect-resilience/lab"
 *
 * const failing = (call: number, attempt: number) => {
 *   const time = new Date(call * 1000 + attempt * 10).toISOString()
 *   const entry = { time, kind: "attempt", call: String(call), attempt, durationMs: 10, outcome: "failure", recovery: "Retry" }
 *   return JSON.stringify(entry)
 * }
 * const traffic = Traffic.read(Array.from({ length: 50 }, (_, i) => [failing(i, 1), failing(i, 2), failing(i, 3)]).flat())
 *
 * const ledger = (times: number) => ({ name: "ledger", retry: { times, backoff: { base: 0, jitter: "none" } } }) as const
 * const { after, before, recorded } = Plan.compare(ledger(2), ledger(1), traffic)
 * recorded.attempts // => 150
 * before.attempts // => 150
 * after?.attempts // => 100
 * ```
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import type { Attempt, Call, Traffic } from "./Traffic.ts"
import * as VirtualTime from "./VirtualTime.ts"

/**
 * What became of the traffic.
 *
 * - `good`, `failed`, `rejected`: calls by how they ended; `rejected` were not asked by a policy. A log has those among `failed`.
 * - `p50`, `p90`, `p99`: how long calls took, in milliseconds, whatever came of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outcome {
  /** Calls that were made. */
  readonly calls: number
  /** Requests that were sent. */
  readonly attempts: number
  readonly good: number
  readonly failed: number
  readonly rejected: number
  /** The most requests in a second. */
  readonly peakPerSecond: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
}

/**
 * The comparison. `after` is absent where `doubts` say why the log is not that of the old description.
 *
 * @category models
 * @since 0.1.0
 */
export interface Comparison {
  /** What the log says. */
  readonly recorded: Outcome
  /** What the old description makes of the same traffic, to compare with the log. */
  readonly before: Outcome
  readonly after: Outcome | undefined
  readonly doubts: ReadonlyArray<string>
}

/**
 * Replays traffic through an old and a new description. Throws `RangeError` where an option makes no sense.
 *
 * - `seed`: of chance; default 0.
 *
 * @category comparing
 * @since 0.1.0
 */
export const compare = (
  before: Pipeline.Description,
  after: Pipeline.Description,
  traffic: Traffic,
  options: { readonly seed?: number | undefined } = {}
): Comparison => {
  const recorded = outcomeOf(traffic.calls.map(({ attempts, atMillis, good, millis }) => ({
    millis,
    end: good ? "good" : "failed",
    sent: attempts.map((attempt) => attempt.atMillis),
    atMillis
  })))
  const replayed = replay(before, traffic, options.seed)
  const doubts = doubtsOf(recorded, replayed)
  return {
    recorded,
    before: replayed,
    after: doubts.length > 0 ? undefined : replay(after, traffic, options.seed),
    doubts
  }
}

const doubtsOf = (recorded: Outcome, replayed: Outcome): ReadonlyArray<string> => {
  if (recorded.calls === 0) return ["The log has no calls."]
  const off = (name: "attempts" | "good" | "p50", most: number): ReadonlyArray<string> => {
    const [was, is] = [recorded[name], replayed[name]]
    const difference = was === is ? 0 : Math.abs(is - was) / Math.max(1e-9, was)
    const percent = Math.round(difference * 1000) / 10
    return difference > most
      ? [
        `${name}: ${Math.round(was)} recorded, ${Math.round(is)} replayed, ${percent} % apart; at most ${
          most * 100
        } % is judged.`
      ]
      : []
  }
  return [...off("attempts", 0.02), ...off("good", 0.02), ...off("p50", 0.1)]
}

/**
 * Replays traffic through a description.
 *
 * @category replaying
 * @since 0.1.0
 */
export const replay = (description: Pipeline.Description, traffic: Traffic, seed = 0): Outcome => {
  const time = VirtualTime.make({ seed: `${seed} policies`, startMillis: 1 })
  const context = Context.add(time.context, References.MinimumLogLevel, "None")
  const policy = Effect.runSyncWith(context)(Pipeline.make(description))
  const near = nearby(traffic, VirtualTime.random(`${seed} attempts`))
  const calls: Array<Ended> = []
  let running = traffic.calls.length
  for (const call of traffic.calls) {
    const { atMillis } = call
    time.at(atMillis, () => {
      const sent: Array<number> = []
      // A call without a limit may wait for a silent attempt for ever: it has failed after an hour.
      const place = calls.push({ atMillis, millis: longestMillis, end: "failed", sent }) - 1
      const fiber = Effect.runForkWith(context)(policy.execute(request(call, sent, time, near)))
      fiber.addObserver((exit) => {
        running--
        const error = exit._tag === "Failure" ? Cause.findErrorOption(exit.cause) : undefined
        const rejected = error?._tag === "Some" && NotAsked.isNotAsked(error.value)
        const end = exit._tag === "Success" ? "good" : rejected ? "rejected" : "failed"
        calls[place] = { atMillis, millis: time.nowMillis() - atMillis, end, sent }
      })
    })
  }
  const last = (traffic.calls.at(-1)?.atMillis ?? 0) + longestMillis
  while (running > 0 && time.nowMillis() < last && time.next());
  return outcomeOf(calls)
}

const longestMillis = 3_600_000

class Failed extends Data.TaggedError("Failed")<{ readonly recovery: Recovery.Recovery }> {
  [Recovery.symbol](): Recovery.Recovery {
    return this.recovery
  }
}

const transient = /* @__PURE__ */ Effect.fail(/* @__PURE__ */ new Failed({ recovery: Recovery.retry }))

const permanent = /* @__PURE__ */ Effect.fail(/* @__PURE__ */ new Failed({ recovery: Recovery.giveUp }))

const request = (
  call: Call,
  sent: Array<number>,
  time: VirtualTime.VirtualTime,
  near: (atMillis: number) => Attempt | undefined
): Effect.Effect<void, Failed> =>
  Effect.callback((resume) => {
    const now = time.nowMillis()
    const attempt = call.attempts[sent.length] ?? near(now)
    sent.push(now)
    if (attempt === undefined) return resume(permanent)
    const { millis, outcome } = attempt
    const wait = time.at(outcome === "cut" ? Infinity : millis, () =>
      resume(outcome === "good" ? Effect.void : outcome === "transient" ? transient : permanent))
    return Effect.sync(() =>
      wait.cancel()
    )
  })

/** One of the attempts that began at about this time. */
const nearby = ({ calls }: Traffic, random: { readonly nextDoubleUnsafe: () => number }) => {
  const attempts = calls.flatMap((call) => call.attempts).sort((a, b) => a.atMillis - b.atMillis)
  return (atMillis: number): Attempt | undefined => {
    let [low, high] = [0, attempts.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((attempts[middle]?.atMillis ?? 0) < atMillis) low = middle + 1
      else high = middle
    }
    const from = Math.max(0, Math.min(low - 10, attempts.length - 20))
    const span = Math.min(20, attempts.length)
    return attempts[from + Math.floor(random.nextDoubleUnsafe() * span)]
  }
}

interface Ended {
  readonly atMillis: number
  readonly millis: number
  readonly end: "good" | "failed" | "rejected"
  readonly sent: ReadonlyArray<number>
}

const outcomeOf = (calls: ReadonlyArray<Ended>): Outcome => {
  const count = (end: Ended["end"]) => calls.filter((call) => call.end === end).length
  const bySecond = new Map<number, number>()
  for (const { sent } of calls) {
    for (const at of sent) bySecond.set(Math.floor(at / 1000), (bySecond.get(Math.floor(at / 1000)) ?? 0) + 1)
  }
  const times = Float64Array.from(calls, ({ millis }) => millis).sort()
  return {
    calls: calls.length,
    attempts: calls.reduce((sum, { sent }) => sum + sent.length, 0),
    good: count("good"),
    failed: count("failed"),
    rejected: count("rejected"),
    peakPerSecond: [...bySecond.values()].reduce((most, each) => Math.max(most, each), 0),
    p50: quantile(times, 0.5),
    p90: quantile(times, 0.9),
    p99: quantile(times, 0.99)
  }
}

const quantile = (sorted: Float64Array, p: number): number => sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? 0
