/** Holds what was seen against what was expected; each deviation is a sentence. */
import type { Expectation, Scenario } from "./Scenario.ts"
import type { CallTrace, Trace } from "./Trace.ts"

type Range = readonly [from: number, to: number]

const within = (value: number, [from, to]: Range): boolean => value >= from && value <= to

const rangeText = ([from, to]: Range, unit = ""): string => from === to ? `${from}${unit}` : `${from} to ${to}${unit}`

const several = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

// Times that were added up are not exact.
const round = (millis: number): number => Math.round(millis * 10) / 10

/** All deviations of all runs, each once. */
export const check = (scenario: Scenario, traces: ReadonlyArray<Trace>): ReadonlyArray<string> => [
  ...new Set([
    ...traces.flatMap((trace) => checkRun(scenario.expect, trace)),
    ...checkSpread(scenario.expect, traces)
  ])
]

const checkRun = (expect: Expectation, trace: Trace): ReadonlyArray<string> => [
  ...Object.entries(expect.calls ?? {}).flatMap(([name, expected]) => {
    const call = trace.calls.get(name)
    return call === undefined ? [`there is no call ${name}`] : checkCall(name, call, expected)
  }),
  ...Object.entries(expect.groups ?? {}).flatMap(([name, expected]) => checkGroup(name, trace, expected)),
  ...checkOrder(expect, trace),
  ...(expect.states ?? []).flatMap(({ at, is }, i) =>
    trace.states[i] === is ? [] : [`the state at ${at} ms is ${trace.states[i] ?? "unknown"}, not ${is}`]
  )
]

const checkOrder = ({ order }: Expectation, { attempts }: Trace): ReadonlyArray<string> => {
  if (order === undefined) return []
  const seen = [...new Set(attempts.map(({ call }) => call))].filter((call) => order.includes(call))
  return seen.join() === order.join() ? [] : [`the order is ${seen.join(", ")}, not ${order.join(", ")}`]
}

type OfCall = NonNullable<Expectation["calls"]>[string]

const waitsOf = ({ attempts }: CallTrace): ReadonlyArray<number> =>
  attempts.slice(1).map(({ at }, i) => Math.round((at - (attempts[i]?.endedAt ?? Number.NaN)) * 1000) / 1000)

const checkCall = (name: string, call: CallTrace, expected: OfCall): ReadonlyArray<string> => {
  const { attempts, endedAt, ending, winner } = call
  const found: Array<string> = []
  const inRanges = (what: string, values: ReadonlyArray<number>, ranges: ReadonlyArray<Range> | undefined) => {
    if (ranges === undefined) return
    if (values.length !== ranges.length) {
      found.push(`${name} has ${several(values.length, what)}, not ${ranges.length}`)
    }
    const wrong = values.findIndex((value, i) => ranges[i] !== undefined && !within(value, ranges[i]))
    const range = ranges[wrong]
    if (range !== undefined) {
      found.push(`${what} ${wrong + 1} of ${name} is ${round(values[wrong] ?? 0)} ms, not ${rangeText(range, " ms")}`)
    }
  }
  inRanges("start", attempts.map(({ at }) => at), expected.attempts)
  inRanges("wait", waitsOf(call), expected.waits)
  const { everyWait } = expected
  const wrong = everyWait && waitsOf(call).find((wait) => !within(wait, everyWait))
  if (everyWait !== undefined && wrong !== undefined) {
    found.push(`a wait of ${name} is ${round(wrong)} ms, not ${rangeText(everyWait, " ms")}`)
  }
  if (expected.count !== undefined && !within(attempts.length, expected.count)) {
    found.push(`${name} has ${several(attempts.length, "attempt")}, not ${rangeText(expected.count)}`)
  }
  if (expected.ends !== undefined && (ending ?? "never") !== expected.ends) {
    found.push(ending === undefined ? `${name} does not end` : `${name} ends with ${ending}, not ${expected.ends}`)
  }
  if (expected.endsAt !== undefined) {
    if (ending !== undefined && !within(endedAt, expected.endsAt)) {
      found.push(`${name} ends at ${round(endedAt)} ms, not ${rangeText(expected.endsAt, " ms")}`)
    }
    // Where `ends` is expected, too, that has told it.
    if (ending === undefined && expected.ends === undefined) found.push(`${name} does not end`)
  }
  if (expected.winner !== undefined && winner !== expected.winner) {
    found.push(`${name} has the value of attempt ${winner ?? "none"}, not ${expected.winner}`)
  }
  if (expected.cancelled !== undefined) {
    const cancelled = attempts.filter((attempt) => attempt.cancelled).map(({ number }) => number)
    if (cancelled.join() !== expected.cancelled.join()) {
      found.push(
        `the cancelled attempts of ${name} are ${cancelled.join(", ") || "none"}, not ${
          expected.cancelled.join(", ") || "none"
        }`
      )
    }
  }
  return found
}

type OfGroup = NonNullable<Expectation["groups"]>[string]

const checkGroup = (name: string, trace: Trace, expected: OfGroup): ReadonlyArray<string> => {
  const calls = [...trace.calls].filter(([call]) => call.startsWith(`${name}/`)).map(([, call]) => call)
  const attempts = calls.flatMap(({ attempts }) => attempts)
  const found: Array<string> = []
  if (expected.attempts !== undefined && !within(attempts.length, expected.attempts)) {
    found.push(`${name} has ${several(attempts.length, "attempt")}, not ${rangeText(expected.attempts)}`)
  }
  for (const [ending, range] of Object.entries(expected.endings ?? {})) {
    const count = calls.filter((call) => (call.ending ?? "never") === ending).length
    if (!within(count, range)) found.push(`${count} calls of ${name} end with ${ending}, not ${rangeText(range)}`)
  }
  const { inAny, together } = expected
  if (together !== undefined) {
    const most = Math.max(
      ...attempts.map(({ at }) => attempts.filter((other) => other.at <= at && (other.endedAt ?? Infinity) > at).length)
    )
    if (most > together) found.push(`${most} attempts of ${name} run at once, not ${together}`)
  }
  if (inAny !== undefined) {
    const most = Math.max(
      ...attempts.map(({ at }) => attempts.filter((other) => other.at >= at && other.at < at + inAny.millis).length)
    )
    if (most > inAny.most) found.push(`${most} attempts of ${name} start within ${inAny.millis} ms, not ${inAny.most}`)
  }
  return found
}

const checkSpread = ({ calls, spread }: Expectation, traces: ReadonlyArray<Trace>): ReadonlyArray<string> => {
  if (spread === undefined) return []
  return Object.entries(calls ?? {}).flatMap(([name, { waits }]) =>
    (waits ?? []).flatMap(([from, to], i) => {
      const seen = traces.flatMap((trace) => {
        const call = trace.calls.get(name)
        return call === undefined ? [] : waitsOf(call).slice(i, i + 1)
      })
      const covered = (Math.max(...seen) - Math.min(...seen)) / (to - from)
      return covered >= spread
        ? []
        : [`wait ${i + 1} of ${name} covers ${Math.round(covered * 100)} % of ${from} to ${to} ms`]
    })
  )
}
