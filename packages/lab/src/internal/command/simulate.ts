import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { between } from "../../LabResult.ts"
import * as outcome from "../outcome.ts"
import { columns } from "../outcome.ts"
import * as scenario from "../scenario.ts"
import { isJson, number, time } from "../subject.ts"
import { exit, Failure } from "./failure.ts"
import * as input from "./input.ts"
import * as output from "./output.ts"

const choice = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

export const simulate = Command.make("simulate", {
  file: Argument.String("FILE").pipe(
    Argument.withDescription("A description, or the options of a simulation with its policy, JSON or YAML")
  ),
  outage: Flag.String("outage").pipe(
    Flag.withDescription(`${Object.keys(scenario.outages).join(", ")}, or a file with outages; default down`),
    Flag.optional
  ),
  processes: Flag.Int("processes").pipe(
    Flag.withDescription("How many processes have the policy; default 20"),
    Flag.optional
  ),
  load: Flag.Finite("load").pipe(
    Flag.withDescription("Calls as a share of what the server can take; default 0.7"),
    Flag.optional
  ),
  seed: Flag.Int("seed").pipe(Flag.withDescription("Of chance; default 0"), Flag.optional),
  expectNoStorm: choice(
    "expect-no-storm",
    "Status 1 above 1.2 requests for each call in the outage, or 30 s to recover"
  ),
  json: choice("json", "One JSON document"),
  svg: choice("svg", "A picture"),
  theme: Flag.Literals("theme", ["light", "dark"]).pipe(
    Flag.withDescription("Of the picture; default the reader's"),
    Flag.optional
  ),
  csv: choice("csv", "The numbers of each second")
}, (flags) =>
  Effect.gen(function*() {
    if ([flags.json, flags.svg, flags.csv].filter(Boolean).length > 1) {
      return yield* new Failure({ message: "--json, --svg and --csv exclude each other", status: exit.usage })
    }
    if (Option.isSome(flags.theme) && !flags.svg) {
      return yield* new Failure({ message: "--theme is one of --svg", status: exit.usage })
    }
    const { value } = yield* input.read(flags.file)
    const written = isJson(value) ? value : {}
    const description = written["policy"] ?? value
    if (!isJson(description)) {
      return yield* new Failure({ message: `${flags.file}: a description is an object`, status: exit.usage })
    }
    const inFile = <A>(effect: Effect.Effect<A, { readonly message: string }>) =>
      Effect.mapError(
        effect,
        ({ message }) => new Failure({ message: `${flags.file}: ${message}`, status: exit.usage })
      )
    const world = yield* inFile(scenario.world(written["policy"] === undefined ? {} : written, {
      outages: yield* outagesOf(Option.getOrUndefined(flags.outage)),
      processes: Option.getOrUndefined(flags.processes),
      load: Option.getOrUndefined(flags.load),
      seed: Option.getOrUndefined(flags.seed)
    }))
    const found = yield* inFile(outcome.of(description, world))
    yield* Console.log(
      flags.json
        ? outcome.json(found)
        : flags.csv
        ? outcome.csv(found)
        : flags.svg
        ? outcome.svg(found, { theme: Option.getOrUndefined(flags.theme) })
        : text(found)
    )
    const { verdict } = found
    if (flags.expectNoStorm && verdict.storm) {
      return yield* new Failure({
        message: `expected no storm, but ${verdict.problems.join("; ")}`,
        status: exit.found
      })
    }
  })).pipe(Command.withDescription("Puts a description through an outage, in virtual time"))

const outagesOf = (named: string | undefined) => {
  if (named === undefined) return Effect.succeed(undefined)
  return Object.hasOwn(scenario.outages, named)
    ? Effect.succeed<unknown>(scenario.outages[named])
    : Effect.map(
      input.read(named),
      ({ value }) => isJson(value) && value["outages"] !== undefined ? value["outages"] : value
    )
}

const text = ({ name, result, verdict, world }: outcome.Outcome): string => {
  const end = result.seconds.length
  const marks = [0, ...scenario.spans(world).flatMap(({ from, to }) => [from, to]), end]
  const edges = [...new Set(marks.filter((mark) => mark <= end))].sort((a, b) => a - b)
  const during = (from: number) => scenario.spans(world).some((span) => span.from <= from && from < span.to)
  const rows = edges.slice(1).map((to, i) => {
    const from = edges[i] ?? 0
    const counts = between(result, Duration.seconds(from), Duration.seconds(to))
    const rate = (count: number) => (count / Math.max(1, to - from)).toFixed(1)
    return [
      `${from} to ${to} s${during(from) ? ", outage" : ""}`,
      ...columns.map((column) => rate(counts[column])),
      counts.offered === 0 ? "" : (counts.sent / counts.offered).toFixed(2)
    ]
  })
  const { p50, p99, p999 } = result.latency
  return [
    `${output.shown(name)}: ${verdict.words}`,
    "",
    output.table(["", ...columns.map((column) => `${column}/s`), "sent for each"], rows),
    "",
    `good calls took ${time(p50)} (p50), ${time(p99)} (p99), ${time(p999)} (p99.9); ${
      number(100 * result.total.good / Math.max(1, result.total.offered))
    } % of the calls were good`
  ].join("\n")
}
