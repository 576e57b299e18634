/** `npm run outages`: puts policies through outages in virtual time, and writes what came of it. */
import type * as Sweep from "@effect-resilience/lab/Sweep"
import * as SweepThreads from "@effect-resilience/lab/SweepThreads"
import type * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { fileURLToPath } from "node:url"
import * as Matrix from "./Matrix.ts"
import * as policies from "./policies.ts"
import * as Tables from "./Tables.ts"

const seeds = [1, 2, 3]

const short = Matrix.cells.filter(({ outage }) => outage === Matrix.outages[0])

const cellsOf = (
  named: { readonly [name: string]: Pipeline.Description | undefined },
  cells: ReadonlyArray<Matrix.Cell>,
  seeds: ReadonlyArray<number>
): ReadonlyArray<Sweep.Cell> =>
  Object.entries(named).flatMap(([name, policy]) =>
    cells.flatMap((cell) => seeds.map((seed) => Matrix.cellOf(Tables.keyOf(name, cell), cell, seed, policy)))
  )

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const { "breaker `proportional` (the standard)": _, ...others } = policies.rules
  const rows = yield* SweepThreads.run([
    ...cellsOf(policies.ours, Matrix.cells, seeds),
    ...cellsOf(policies.peers, short, seeds),
    ...cellsOf(others, Matrix.cells, [1])
  ], { threads: 2 })
  const runs = Map.groupBy(rows, ({ key }) => key)
  const today = DateTime.formatIsoDateUtc(yield* DateTime.now)
  const report = Tables.report(new Map(Array.from(runs, ([key, rows]) => [key, rows.map(Matrix.read)])), today)
  yield* fs.writeFileString(file("../../OUTAGES.md"), report.page)
  const readme = file("../../../pipeline/README.md")
  yield* fs.writeFileString(readme, Tables.insert(yield* fs.readFileString(readme), report.summary))
  yield* Console.log(report.summary)
})

NodeRuntime.runMain(Effect.provide(program, NodeServices.layer))
