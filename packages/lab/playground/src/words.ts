/** What the page says in words. */
import type { Counts } from "../../src/LabResult.ts"
import type { Page } from "./page.ts"
import type { Run, Verdict } from "./protocol.ts"

export const whole = (value: number): string => Math.round(value).toLocaleString("en-US")

export const percent = (share: number): string => `${Math.round(share * 100)} %`

const seconds = (value: number): string => value === 1 ? "one second" : `${whole(value)} seconds`

/** The question that the first screen puts. */
export const question = (page: Page): string => {
  const facts = page.run("yours")?.facts
  if (facts === undefined) return "After an outage, why is it still down?"
  const { arrivals, others = {} } = page.scenario().world
  const calls = "bursts" in arrivals && arrivals.bursts !== undefined
    ? `${whole(arrivals.bursts.calls)} calls at once`
    : `${whole(facts.offered)} calls a second`
  const beside = Object.entries(others).map(([name, { arrivals }]) =>
    "open" in arrivals && arrivals.open !== undefined ? `, ${whole(arrivals.open.perSecond)} of ${name}` : `, ${name}`
  )
  const rates = `${calls}${beside.join("")}; the server can take ${whole(facts.capacity)}${
    "bursts" in arrivals ? " a second" : ""
  }.`
  const [outage] = facts.outages
  if (outage === undefined) return `${rates} What happens?`
  const down = page.run("yours")?.verdict.recoverySeconds === null
  const length = `an outage of ${seconds(outage.to - outage.from)}`
  return `${rates} ${down ? `After ${length}, why is it still down?` : `What did ${length} cost?`}`
}

/** What became of all calls, in as few words as a phone has room for. */
export const outcome = ({ result: { latency, others, total } }: Run): string =>
  `${percent(share(total))} of calls succeeded (99 % in ${time(latency.p99)})${
    Object.entries(others).map(([name, { total }]) => `; ${name}: ${percent(share(total))}`).join("")
  }`

const share = ({ good, offered }: Counts): number => offered === 0 ? 1 : good / offered

/** A run in a sentence, for those who cannot see the picture. */
export const sentence = ({ facts, result: { latency, total } }: Run): string =>
  `In ${seconds(facts.duration)}, ${whole(total.offered)} calls became ${whole(total.sent)} requests; ${
    percent(share(total))
  } of the calls succeeded, ${
    whole(total.rejected)
  } were rejected without a request. Half of the good calls took at most ${time(latency.p50)}, 99 % of them at most ${
    time(latency.p99)
  }.`

export const time = (millis: number): string =>
  millis < 1000 ? `${Math.round(millis)} ms` : `${(millis / 1000).toFixed(1)} s`

/** A verdict as a sentence. */
export const verdict = ({ words }: Verdict): string => `${words.slice(0, 1).toUpperCase()}${words.slice(1)}.`
