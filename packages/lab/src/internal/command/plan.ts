import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Plan from "../../Plan.ts"
import * as Proposal from "../../Proposal.ts"
import * as Traffic from "../../Traffic.ts"
import { policyOf } from "../policyOf.ts"
import { isJson } from "../subject.ts"
import { exit, Failure } from "./failure.ts"
import * as input from "./input.ts"
import * as output from "./output.ts"

/** About a million lines. */
const maxLog = 256 * 1024 * 1024

export const plan = Command.make("plan", {
  old: Argument.String("OLD").pipe(Argument.withDescription("The description that the traffic went through")),
  next: Argument.String("NEW").pipe(
    Argument.withDescription("The one that it might go through; without it, changes are proposed"),
    Argument.optional
  ),
  traffic: Flag.String("traffic").pipe(
    Flag.withDescription("An access log of ours, Envoy's or nginx's with durations, or a recording")
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("One JSON document"), Flag.withDefault(false))
}, ({ json, next, old, traffic }) =>
  Effect.gen(function*() {
    const before = yield* descriptionOf(old)
    const after = Option.isSome(next) ? yield* descriptionOf(next.value) : undefined
    const read = Traffic.read((yield* input.readText(traffic, maxLog)).split("\n"))
    if (read.calls.length === 0) {
      return yield* new Failure({ message: `${traffic}: no line is of a known format`, status: exit.noInput })
    }
    const run = yield* Effect.mapError(
      Effect.fromResult(Result.try(() => Plan.compare(before, after ?? before, read))),
      (error) => new Failure({ message: error instanceof Error ? error.message : String(error), status: exit.usage })
    )
    const proposals = after === undefined ? Proposal.from(before, read) : []
    const { doubts } = run
    if (json) {
      yield* output.json("plan", { ...run, unread: read.unread, ...after === undefined ? { proposals } : {} })
    } else {
      yield* Console.log(table(run, after !== undefined))
      if (read.unread > 0) yield* Console.log(`${read.unread} lines are of no known format`)
      if (after === undefined && doubts.length === 0) yield* Console.log(diff(proposals))
    }
    if (doubts.length > 0) {
      return yield* new Failure({ message: `does not judge: ${doubts.join(" ")}`, status: exit.found })
    }
  })).pipe(Command.withDescription("Replays recorded traffic through an old and a new description"))

const descriptionOf = (file: string) =>
  Effect.flatMap(
    input.read(file),
    ({ value }) =>
      isJson(value)
        ? Effect.mapError(
          policyOf(value),
          ({ message }) => new Failure({ message: `${file}: ${message}`, status: exit.usage })
        )
        : Effect.fail(new Failure({ message: `${file}: a description is an object`, status: exit.usage }))
  )

const rows = [
  ["calls", "calls"],
  ["attempts", "attempts"],
  ["good", "good"],
  ["failed", "failed"],
  ["rejected", "rejected"],
  ["peakPerSecond", "most attempts/s"],
  ["p50", "p50, ms"],
  ["p90", "p90, ms"],
  ["p99", "p99, ms"]
] as const

const table = ({ after, before, recorded }: Plan.Comparison, isCompared: boolean): string => {
  const columns = [recorded, before, ...after === undefined || !isCompared ? [] : [after]]
  return output.table(
    ["", "recorded", "before", ...columns.length > 2 ? ["after"] : []],
    rows.map(([key, name]) => [name, ...columns.map((outcome) => String(Math.round(outcome[key])))])
  )
}

const diff = (proposals: ReadonlyArray<Proposal.Proposal>): string =>
  proposals.length === 0
    ? "nothing to propose"
    : ["proposals, none of which is applied:"].concat(proposals.flatMap(({ from, path, reason, to }) => [
      `  # ${reason}`,
      ...from === undefined ? [] : [`- ${path.join(".")}: ${JSON.stringify(from)}`],
      `+ ${path.join(".")}: ${JSON.stringify(to)}`
    ])).join("\n")
