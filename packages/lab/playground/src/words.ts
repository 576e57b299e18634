/** What the page says in words. */
import type { Page } from "./page.ts"
import type { Run, Verdict } from "./protocol.ts"

export const whole = (value: number): string => Math.round(value).toLocaleString("en-US")

export const percent = (share: number): string => `${Math.round(share * 100)} %`

const seconds = (value: number): string => value === 1 ? "one second" : `${whole(value)} seconds`

/** The question that the first screen puts. */
export const question = (page: Page): string => {
  const facts = page.run("yours")?.facts
  if (facts === undefined) return "An outage has just ended. Why is it still down?"
  const rates = `${whole(facts.offered)} calls a second, capacity ${whole(facts.capacity)}.`
  const [outage] = facts.outages
  if (outage === undefined) return `${rates} What happens?`
  const down = page.run("yours")?.verdict.recoverySeconds === null
  return `${rates} An outage of ${seconds(outage.to - outage.from)} has just ended. ${
    down ? "Why is it still down?" : "What did it cost?"
  }`
}

/** What became of all calls, in as few words as a phone has room for. */
export const outcome = ({ result: { latency, total } }: Run): string =>
  `${percent(total.offered === 0 ? 1 : total.good / total.offered)} of calls succeed, 99 % within ${time(latency.p99)}`

/** A run in a sentence, for those who cannot see the picture. */
export const sentence = ({ facts, result: { latency, total } }: Run): string =>
  `In ${seconds(facts.duration)}, ${whole(total.offered)} calls became ${whole(total.sent)} requests; ${
    percent(total.offered === 0 ? 1 : total.good / total.offered)
  } of the calls succeeded, ${
    whole(total.rejected)
  } were rejected without a request. Half of the good calls took at most ${time(latency.p50)}, 99 % of them at most ${
    time(latency.p99)
  }.`

export const time = (millis: number): string =>
  millis < 1000 ? `${Math.round(millis)} ms` : `${(millis / 1000).toFixed(1)} s`

/** A verdict as a sentence. */
export const verdict = ({ words }: Verdict): string => `${words.slice(0, 1).toUpperCase()}${words.slice(1)}.`
