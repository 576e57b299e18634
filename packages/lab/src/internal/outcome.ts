/** A description in a world, what came of it, and that as text: the same bytes for the command and for the page. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Chart from "../Chart.ts"
import * as Lab from "../Lab.ts"
import type { Counts, LabResult, States } from "../LabResult.ts"
import { policyOf } from "./policyOf.ts"
import * as scenario from "./scenario.ts"
import type { Json } from "./subject.ts"
import { surroundings } from "./surroundings.ts"

export interface Outcome {
  readonly name: string
  readonly world: scenario.World
  readonly result: LabResult
  readonly verdict: scenario.Verdict
}

/** What `Lab.simulate` says of options that make no sense, such as those of a tier. */
export class InvalidWorld extends Data.TaggedError("InvalidWorld")<{ readonly message: string }> {}

/** Simulates a description of a pipeline or a client. */
export const of = (
  description: Json,
  world: scenario.World
): Effect.Effect<Outcome, Schema.SchemaError | InvalidWorld> =>
  Effect.flatMap(policyOf(description), (policy) =>
    Effect.suspend(() => {
      const result = Lab.simulate({ ...world, policy })
      return Effect.succeed({ name: policy.name, world, result, verdict: scenario.verdict(result, world) })
    }).pipe(
      Effect.catchDefect((defect) =>
        defect instanceof RangeError
          ? Effect.fail(new InvalidWorld({ message: defect.message }))
          : Effect.die(defect)
      )
    ))

export const json = ({ name, result, verdict, world }: Outcome): string =>
  JSON.stringify({ version: 1, command: "simulate", name, world, verdict, ...result }, undefined, 2)

export const columns = ["offered", "sent", "good", "failed", "rejected"] as const satisfies ReadonlyArray<keyof Counts>

export const csv = ({ result: { seconds } }: Outcome): string =>
  [
    ["second", ...columns, "queue"].join(","),
    ...seconds.map((second, i) => [i, ...columns.map((column) => second[column]), second.queue].join(","))
  ].join("\n")

/** What a picture shows: of several tiers, what reaches the last one. */
export const drawn = ({ name, result, verdict, world }: Outcome): Chart.Data => {
  const tier = [world.tiers ?? []].flat().at(-1)
  const received = tier === undefined ? undefined : result.servers.at(-1)?.seconds
  return {
    title: `${name}: ${verdict.words}`,
    seconds: result.seconds.map(({ good, offered, sent, states }, i) => ({
      good,
      offered,
      sent: received?.[i]?.received ?? sent,
      open: openOf(states)
    })),
    outages: scenario.spans(world),
    capacity: surroundings({ ...world, ...tier === undefined ? {} : { server: tier.server } }).capacity
  }
}

/** The share of the breakers that are not closed; undefined where there are none. */
const openOf = (states: States): number | undefined => {
  const all = Object.values(states).reduce((sum, count) => sum + count, 0)
  return all === 0 ? undefined : 1 - (states["Closed"] ?? 0) / all
}

export const svg = (outcome: Outcome, options?: Chart.Options): string => Chart.svg(drawn(outcome), options)
