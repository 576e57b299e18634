import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { readFileSync } from "node:fs"
import { cpus } from "node:os"
import { fileURLToPath } from "node:url"
import * as Measurement from "./Measurement.ts"
import * as Report from "./Report.ts"
import type { Suite } from "./Suite.ts"
import { suites } from "./suites/index.ts"

const results = fileURLToPath(new URL("../RESULTS.md", import.meta.url))

const bench = Command.make(
  "bench",
  {
    names: Argument.String("SUITE").pipe(Argument.withDescription("Suites to run; default all"), Argument.variadic()),
    quick: Flag.Boolean("quick").pipe(
      Flag.withDescription("Fewer and shorter rounds; RESULTS.md stays as it is"),
      Flag.withDefault(false)
    ),
    json: Flag.String("json").pipe(Flag.withDescription("Write the rows to this file"), Flag.optional)
  },
  Effect.fnUntraced(function*({ json, names, quick }) {
    const fs = yield* FileSystem.FileSystem
    const known = Object.keys(suites)
    const unknown = names.filter((name) => !known.includes(name))
    if (unknown.length > 0) {
      return yield* Effect.fail(`no such suite: ${unknown.join(", ")}; there is ${known.join(", ")}`)
    }
    const all: Array<Measurement.Row> = []
    for (const name of names.length === 0 ? known : names) {
      const suite = yield* load(name)
      // In a process of its own: what a suite leaves in the heap and in compiled code would count in the next one.
      const rows = yield* Effect.sync((): ReadonlyArray<Measurement.Row> =>
        JSON.parse(Measurement.inProcess(["suite", name, quick ? "quick" : "thorough"]))
      )
      all.push(...rows)
      const text = Report.section(suite, rows, conditions(suite, yield* DateTime.now, quick))
      yield* Console.log(text)
      if (!quick) {
        const before = (yield* fs.exists(results)) ? yield* fs.readFileString(results) : preamble
        yield* fs.writeFileString(results, Report.insert(before, suite.name, text))
      }
    }
    if (Option.isSome(json)) yield* fs.writeFileString(json.value, `${JSON.stringify(all, null, 2)}\n`)
  })
).pipe(Command.withDescription("Compares this repository with its peers, in one process"))

const load = (name: string): Effect.Effect<Suite> => {
  const read = suites[name]
  return read === undefined
    ? Effect.die(`no such suite: ${name}`)
    : Effect.map(Effect.promise(read), (module) => module.default)
}

const preamble = `# Results

Written by \`npm run bench\`. A ratio below 1 means that ours needs less. The subjects of a table ran in interleaved rounds, in one
process, or each in processes of its own where a run is large or its memory counts. What counts is the median over the rounds: CPU
time, where the heading does not say "on the clock" or "MB". Machines differ: compare ratios, not times.
`

const conditions = (suite: Suite, now: DateTime.Utc, quick: boolean): string =>
  [
    DateTime.formatIsoDateUtc(now),
    `Node ${process.versions.node}`,
    `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown CPU"}`,
    ...suite.packages.map((name) => `${name} ${version(name)}`),
    ...(quick ? ["quick"] : [])
  ].join(" · ")

const version = (name: string): string =>
  JSON.parse(readFileSync(new URL(`../../../node_modules/${name}/package.json`, import.meta.url), "utf8")).version

const measureSuite = Effect.fnUntraced(function*(name = "", quick = "") {
  const suite = yield* load(name)
  const effort = quick === "quick" ? Measurement.quick : Measurement.thorough
  const rows: Array<Measurement.Row> = []
  for (const case_ of suite.cases) {
    yield* Console.error(`${suite.name}: ${case_.name}`)
    rows.push(...yield* Measurement.measure(suite, case_, effort))
  }
  yield* Console.log(JSON.stringify(rows))
})

const measureSubject = Effect.fnUntraced(function*(suite = "", name = "", subject = "") {
  const case_ = (yield* load(suite)).cases.find((found) => found.name === name)
  const run = case_?.subjects[subject]
  if (case_ === undefined || run === undefined) return yield* Effect.die(`no such subject: ${subject}`)
  yield* Console.log(JSON.stringify(yield* Measurement.runApart(case_, subject, run)))
})

const [, , part, ...rest] = process.argv
const main = part === "suite"
  ? measureSuite(...rest)
  : part === "subject"
  ? measureSubject(...rest)
  : Command.run(bench, { version: "0.0.0" })

NodeRuntime.runMain(Effect.provide(main, NodeServices.layer))
