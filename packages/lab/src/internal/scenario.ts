/** What a description is put through where nothing else is said, and what is made of the result. */
import * as Field from "@effect-resilience/kernel/Field"
import * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import type * as Schema from "effect/Schema"
import * as Lab from "../Lab.ts"
import type { LabResult } from "../LabResult.ts"
import * as LabResults from "../LabResult.ts"
import * as Outages from "../Outages.ts"
import { judge } from "../Verdict.ts"
import type { Json } from "./subject.ts"
import { isJson, number, time } from "./subject.ts"
import { surroundings } from "./surroundings.ts"

/** The outages that have names. */
export const outages: { readonly [name: string]: Lab.Outage | ReadonlyArray<Lab.Outage> } = {
  ...Record.map(Outages.standard, Outages.outageOf),
  none: []
}

/** A world: what `Lab.simulate` takes, but for the policy. */
export type World = Omit<Lab.Options, "policy">

/** What is said beside a world. */
export interface Changes {
  readonly outages?: unknown
  readonly processes?: number | undefined
  readonly load?: number | undefined
  readonly seed?: number | undefined
}

// Of 200 requests a second, as the tables of outages have it.
const server = { workers: 20, serviceTime: { exponential: "100 millis" } }

/** How long is looked at after the last outage. */
const afterMillis = 90_000

const fields = Field.struct(Lab.fields)

/** A world from what is written of one, with sensible values for the rest. */
export const world = (written: Json, changes: Changes = {}): Effect.Effect<World, Schema.SchemaError> => {
  const { others, policy: _, tiers, ...given } = written
  const put = changes.outages ?? given["outages"] ?? Outages.outageOf(Outages.standard.down)
  const complete: Json = {
    processes: 20,
    server,
    ...given,
    outages: put,
    ...changes.processes === undefined ? {} : { processes: changes.processes },
    ...changes.seed === undefined ? {} : { seed: changes.seed }
  }
  const capacity = surroundings(complete).capacity ?? 200
  const { load = 0.7 } = changes
  const decoded = FieldCodec.decode(
    fields,
    {
      ...complete,
      arrivals: changes.load === undefined && given["arrivals"] !== undefined
        ? given["arrivals"]
        : { open: { perSecond: load * capacity } },
      duration: changes.outages === undefined && given["duration"] !== undefined
        ? given["duration"]
        : endOf(put) + afterMillis
    },
    {},
    "simulation"
  )
  // Their policies may be anything, so `Lab.simulate` reads them.
  const read = { ...tiers === undefined ? {} : { tiers }, ...others === undefined ? {} : { others } }
  return Effect.map(decoded, (world) => ({ ...world, ...read }) as World)
}

const endOf = (outages: unknown): number =>
  Math.max(0, ...[outages].flat().map((outage) => isJson(outage) ? millis(outage["from"]) + millis(outage["for"]) : 0))

const millis = (input: unknown): number => {
  const duration = Duration.fromInput(input as Duration.Input)
  return duration._tag === "Some" ? Duration.toMillis(duration.value) : 0
}

/** An outage in seconds. */
export interface Span {
  readonly from: number
  readonly to: number
}

export const spans = ({ outages = [] }: World): ReadonlyArray<Span> =>
  [outages].flat().map(({ for: length, from }) => {
    const start = Duration.toSeconds(Duration.fromInputUnsafe(from))
    return { from: start, to: start + Duration.toSeconds(Duration.fromInputUnsafe(length)) }
  })

/**
 * What a simulation shows.
 *
 * - `amplification`: the most requests for each call in an outage or in the time to recover.
 * - `recoverySeconds`: from the end of the last outage until 95 % of the calls succeed; `null` where they do not.
 * - `storm`: it does not pass what `Verdict` expects where nothing else is said; `problems` tells why.
 */
export interface Verdict {
  readonly amplification: number
  readonly recoverySeconds: number | null
  readonly storm: boolean
  readonly problems: ReadonlyArray<string>
  readonly words: string
}

export const verdict = (result: LabResult, world: World): Verdict => {
  const { outages, passes, problems } = judge(result)
  const amplification = Math.max(0, ...outages.map(({ amplification }) => amplification))
  const [last] = outages.toSorted((a, b) => b.toMillis - a.toMillis)
  const recovered = last?.recoveredMillis
  const recoverySeconds = recovered === undefined ? null : recovered / 1000
  return {
    amplification,
    recoverySeconds,
    storm: !passes,
    problems,
    words: wordsOf(result, world, amplification, recoverySeconds)
  }
}

const requests = (count: number): string => number(count) === "1" ? "1 request" : `${number(count)} requests`

/** The most requests that reached a server for each call while an outage lasted. */
const peak = (result: LabResult, { seconds }: LabResult["servers"][number]): number =>
  Math.max(...result.outages.map(({ fromMillis, toMillis }) => {
    const [from, to] = [fromMillis / 1000, toMillis / 1000]
    const sum = (of: ReadonlyArray<number>) => of.slice(Math.floor(from), Math.ceil(to)).reduce((a, b) => a + b, 0)
    const clients = [result, ...Object.values(result.others)]
    const offered = clients.reduce((all, { seconds }) => all + sum(seconds.map((second) => second.offered)), 0)
    return offered === 0 ? 0 : sum(seconds.map(({ received }) => received)) / offered
  }))

/** The share of the calls that succeeded, of those that began in an outage. */
const succeeded = (result: LabResult): number => {
  const counts = result.outages.map(({ fromMillis, toMillis }) => LabResults.between(result, fromMillis, toMillis))
  const sum = (name: "good" | "offered") => counts.reduce((all, count) => all + count[name], 0)
  return sum("offered") === 0 ? 1 : sum("good") / sum("offered")
}

const shareOf = (share: number): string =>
  share === 0 ? "no call" : share === 1 ? "all calls" : `${Math.round(100 * share)} % of the calls`

/** Whether most of what the server did was for callers who had gone. */
const late = ({ others, servers: [server], total }: LabResult): boolean => {
  const good = Object.values(others).reduce((sum, { total }) => sum + total.good, total.good)
  return server !== undefined && server.served > 2 * good
}

/** How long before its end a simulation is looked at for what does not end. */
const lastSeconds = 30

const wordsOf = (
  result: LabResult,
  world: World,
  amplification: number,
  recoverySeconds: number | null
): string => {
  if (result.outages.length === 0) {
    return `${requests(LabResults.amplification(result))} for each call; 99 % of the good calls take at most ${
      time(Math.round(result.latency.p99))
    }`
  }
  if (recoverySeconds !== null) {
    const when = recoverySeconds === 0 ? "at once" : `${number(recoverySeconds)} s`
    const inner = result.servers.length > 1 ? result.servers.at(-1) : undefined
    const made = inner === undefined ? amplification : peak(result, inner)
    const where = inner === undefined ? "" : ` to ${inner.name}`
    return `recovers ${when} after the outage, during which ${shareOf(succeeded(result))} succeeded${
      made > 1 ? ` and each became up to ${requests(made)}${where}` : ""
    }`
  }
  const end = result.seconds.length
  const from = Math.max(0, end - lastSeconds)
  const { offered, sent } = LabResults.between(result, Duration.seconds(from), Duration.seconds(end))
  const { capacity } = surroundings({ ...world })
  // Of all clients.
  const received = result.servers[0]?.seconds.slice(from).reduce((sum, { received }) => sum + received, 0) ?? 0
  const load = capacity === undefined ? 0 : received / (end - from) / capacity
  const each = offered === 0 ? 0 : sent / offered
  return load > 1
    ? `never recovers: calls and their retries are ${number(load)} times what the server can take${
      late(result) ? ", so its responses come after callers have given up and sent again" : ""
    }`
    : `never recovers: each call becomes ${requests(each)} long after the outage`
}
