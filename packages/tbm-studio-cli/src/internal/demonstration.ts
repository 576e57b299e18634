import type { FaultRule } from "@effect-resilience/tbm-simulator/FaultRule"
import { Simulator } from "@effect-resilience/tbm-simulator/Simulator"
import type { SimulatorState } from "@effect-resilience/tbm-simulator/SimulatorState"
import * as SimulatedStudio from "@effect-resilience/tbm-studio/SimulatedStudio"
import * as TableUploads from "@effect-resilience/tbm-studio/TableUploads"
import * as Journal from "@effect-resilience/upload/Journal"
import * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as ExitStatus from "../ExitStatus.ts"
import { AccessLogFile } from "./options.ts"
import * as Output from "./output.ts"
import * as Report from "./report.ts"
import { accessLog as accessLogAsAsked, studio } from "./runtime.ts"
import * as sampleData from "./sampleData.ts"
import * as Uploads from "./uploads.ts"

/** Uploads sample data to a simulator that misbehaves on purpose, and checks what it stored. */
export const demonstrate = Effect.fnUntraced(function*(seed: number) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const folder = yield* fs.makeTempDirectory({ prefix: "tbm-studio-demo-" })
  const accessLog = Option.getOrElse(yield* AccessLogFile, () => paths.join(folder, "access.jsonl"))
  const data = yield* fs.makeTempDirectoryScoped({ directory: folder })
  yield* sampleData.write(data, seed)
  return yield* run(data, accessLog).pipe(
    Effect.provide(studio.pipe(
      Layer.provideMerge(SimulatedStudio.layer({ seed, faults })),
      Layer.provideMerge(accessLogAsAsked)
    )),
    Effect.provideService(AccessLogFile, Option.some(accessLog))
  )
})

/** The faults of the demonstration, as descriptions and as rules for the simulator. */
const troubles: ReadonlyArray<readonly [string, FaultRule]> = [
  ["503 twice in a row", {
    match: { operation: "upload" },
    after: 1,
    times: 2,
    fault: { type: "status", status: 503 }
  }],
  ["every token expires while uploads are in flight", {
    match: { operation: "upload" },
    after: 4,
    times: 1,
    fault: { type: "expireTokens" }
  }],
  ["a connection is reset before the response", {
    match: { path: "GL Data/April" },
    times: 1,
    fault: { type: "reset", at: "beforeResponse" }
  }],
  ["429 with Retry-After: 1", {
    match: { path: "Labor & Contractors/February" },
    times: 1,
    fault: { type: "status", status: 429, headers: { "retry-after": "1" } }
  }],
  ["a server that reads slowly", {
    match: { path: "Vendor Invoices/January" },
    times: 1,
    fault: { type: "slow", bytesPerSecond: 120_000 }
  }]
]

const faults = troubles.map(([, rule]) => rule)

const run = Effect.fnUntraced(function*(data: string, accessLog: string) {
  const paths = yield* Path.Path
  const simulator = yield* Simulator
  const jobs = yield* Effect.forEach(sampleData.tables, ({ fileName, ...table }) =>
    Effect.map(
      TableUploads.make({ ...table, source: UploadSource.file(paths.join(data, fileName)) }),
      (upload): Uploads.Job => ({ ...upload, file: fileName, name: fileName })
    ))
  yield* Output.print("stderr", [
    `Uploading ${jobs.length} cost tables to a simulated TBM Studio at ${simulator.url}. Its faults:`,
    ...troubles.map(([words]) => `  · ${words}`),
    ""
  ])
  const report = yield* Uploads.run(jobs, { concurrency: 4 }).pipe(Effect.provide(Journal.layerMemory))
  const problems = compare(report.items, yield* simulator.state)
  return {
    json: { items: report.items, totals: report.totals, storedExactlyOnce: problems.length === 0, accessLog },
    text: (width: number) => [
      "",
      ...Report.table(report, { width }),
      problems.length === 0
        ? `The simulator's record agrees: ${report.items.length} uploads, each stored exactly once, byte for byte.`
        : "",
      `Access log: ${accessLog}`
    ],
    problems,
    exitStatus: problems.length === 0 ? report.exitStatus : ExitStatus.bug
  }
})

/** Compares what the simulator stored with what was reported. Each difference is one line. */
const compare = (items: ReadonlyArray<Report.ItemReport>, state: SimulatorState): ReadonlyArray<string> => {
  const name = (item: { readonly project: string; readonly table: string; readonly period: string }) =>
    `${item.project}/${item.table}/${item.period}`
  const recorded = items.flatMap((item) => {
    const stored = state.uploads.filter((upload) =>
      name(upload) === name(item) && upload.action === item.action && upload.md5 === item.md5
    )
    return stored.length === 1 ? [] : [`${item.file} was stored ${stored.length} times in ${name(item)}.`]
  })
  const bytesOf = (table: string) =>
    items.filter((item) => name(item) === table).reduce((sum, { bytes }) => sum + bytes, 0)
  const tables = Object.entries(state.tables).flatMap(([table, { bytes }]) =>
    bytes === bytesOf(table) ? [] : [`${table} has ${bytes} bytes where ${bytesOf(table)} were sent.`]
  )
  const extra = state.uploads.length === items.length
    ? []
    : [`The simulator stored ${state.uploads.length} uploads where ${items.length} were sent.`]
  return [...recorded, ...tables, ...extra]
}
