/** What a description is put through where nothing else is said, and what is made of the result. */
import * as Field from "@effect-resilience/kernel/Field"
import * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Lab from "../Lab.ts"
import type { LabResult } from "../LabResult.ts"
import * as Result from "../LabResult.ts"
import type { Json } from "./subject.ts"
import { isJson, number } from "./subject.ts"
import { surroundings } from "./surroundings.ts"

/** The outages that have names. They begin after 20 seconds. */
export const outages = {
  down: { from: "20 seconds", for: "10 seconds", fault: "down" },
  long: { from: "20 seconds", for: "3 minutes", fault: "down" },
  failing: { from: "20 seconds", for: "1 minute", fault: { failing: 0.5 } },
  slow: { from: "20 seconds", for: "1 minute", fault: { slow: 10 } }
} as const satisfies { readonly [name: string]: Lab.Outage }

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
  const { policy: _, ...given } = written
  const put = changes.outages ?? given["outages"] ?? outages.down
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
  return FieldCodec.decode(
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
  ) as Effect.Effect<World, Schema.SchemaError>
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
 * - `amplification`: the most requests for each call in an outage.
 * - `recoverySeconds`: from the end of the last outage until 95 % of the calls succeed; `null` where they do not.
 * - `storm`: more than 1.2 requests for each call, or no recovery within 30 seconds.
 */
export interface Verdict {
  readonly amplification: number
  readonly recoverySeconds: number | null
  readonly storm: boolean
  readonly words: string
}

export const most = { amplification: 1.2, recoverySeconds: 30 } as const

export const verdict = (result: LabResult, world: World): Verdict => {
  const during = spans(world)
  const amplification = Math.max(
    0,
    ...during.map(({ from, to }) => {
      const { offered, sent } = Result.between(result, Duration.seconds(from), Duration.seconds(to))
      return offered === 0 ? 0 : sent / offered
    })
  )
  const end = Math.max(0, ...during.map(({ to }) => to))
  const recovery = Result.recovery(result, { from: Duration.seconds(end) })
  const recoverySeconds = recovery === undefined ? null : Duration.toSeconds(recovery)
  const last = Result.between(
    result,
    Duration.seconds(Math.max(end, result.seconds.length - 30)),
    Duration.seconds(result.seconds.length)
  )
  const sentFor = last.offered === 0 ? 0 : last.sent / last.offered
  return {
    amplification,
    recoverySeconds,
    storm: amplification > most.amplification || recoverySeconds === null || recoverySeconds > most.recoverySeconds,
    words: recoverySeconds === null
      ? `never recovers: ${number(sentFor)} requests are sent for each call long after the outage`
      : `recovers ${number(recoverySeconds)} s after the outage, in which ${
        number(amplification)
      } requests were sent for each call`
  }
}
