import { type FaultRule, Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Ended, folder, settingsFor, tbmStudio, write } from "./command.ts"

const documentOf = ({ stdout }: Ended) => JSON.parse(stdout)
const statuses = (ended: Ended) => documentOf(ended).items.map(({ status }: { status: string }) => status)
const reasons = (ended: Ended) =>
  documentOf(ended).items.map(({ error }: { error?: { reason: string } }) => error?.reason ?? null)

const simulated = <A, E, R>(
  options: Simulator.Options,
  test: (
    simulator: Simulator.Simulator["Service"],
    run: (...args: ReadonlyArray<string>) => Effect.Effect<Ended>,
    list: (...rows: ReadonlyArray<string>) => string
  ) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function*() {
    const simulator = yield* Simulator.Simulator
    const dir = yield* folder
    for (const name of ["a", "b", "c"]) write(dir, `${name}.csv`, `Account,Amount\n${name},1\n`)
    const run = (...args: ReadonlyArray<string>) => tbmStudio(args, settingsFor(simulator.url), dir)
    const list = (...rows: ReadonlyArray<string>) =>
      write(dir, "m.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
    return yield* test(simulator, run, list)
  }).pipe(Effect.scoped, Effect.provide(Simulator.layer({ seed: 1, processingTime: 20, ...options })))

const three = ["a.csv,P,A,Jan:2024,overwrite", "b.csv,P,B,Feb:2024,append", "c.csv,P,C,Jan:2024,overwrite"]
const group = ["batch", "m.csv", "--via", "uploader", "--group", "--json"]

describe("tbm-studio batch --group", () => {
  it.live("has all files processed by one request, also if fewer are sent at once", () =>
    simulated({ processingReport: "group" }, ({ state }, run, list) =>
      Effect.gen(function*() {
        list(...three)
        const ended = yield* run(...group, "--concurrency", "1")
        assert.deepStrictEqual([ended.status, statuses(ended)], [0, ["uploaded", "uploaded", "uploaded"]], ended.stdout)
        const { uploader, uploads } = yield* state
        assert.deepStrictEqual(uploader.processes.map(({ uploadIds }) => uploadIds.length), [3])
        assert.deepStrictEqual(
          uploads.map(({ action, fileName, period, table }) => [table, period, action, fileName]).toSorted(),
          [
            ["A", "Jan:2024", "overwrite", "a.csv"],
            ["B", "Feb:2024", "append", "b.csv"],
            ["C", "Jan:2024", "overwrite", "c.csv"]
          ]
        )
        const again = yield* run(...group)
        assert.deepStrictEqual([again.status, statuses(again)], [0, ["skipped", "skipped", "skipped"]])
      })))

  it.live("stores nothing if one file does not arrive, and the next run sends all", () => {
    const fault: FaultRule.FaultRule = {
      match: { operation: "single" },
      after: 1,
      times: 1,
      fault: { type: "status", status: 400 }
    }
    return simulated({ faults: [fault] }, ({ state }, run, list) =>
      Effect.gen(function*() {
        list(...three)
        const ended = yield* run(...group)
        assert.deepStrictEqual([ended.status, statuses(ended)], [65, ["failed", "failed", "failed"]], ended.stdout)
        assert.deepStrictEqual(reasons(ended).toSorted(), ["BadRequest", "GroupNotProcessed", "GroupNotProcessed"])
        const { uploader, uploads } = yield* state
        assert.deepStrictEqual([uploader.processes, uploads], [[], []])
        const again = yield* run(...group)
        assert.deepStrictEqual([again.status, (yield* state).uploads.length], [0, 3], again.stdout)
      }))
  })

  it.live.each([0, 1, 2])(
    "stores nothing if the file at %i fails before others arrive, and the next run is in no doubt",
    (after) => {
      const fault: FaultRule.FaultRule = {
        match: { operation: "single" },
        after,
        times: 1,
        fault: { type: "status", status: 400 }
      }
      return simulated({ faults: [fault] }, ({ state }, run, list) =>
        Effect.gen(function*() {
          list(...three)
          const oneByOne = [...group, "--concurrency", "1", "--sessions", "sessions"]
          const ended = yield* run(...oneByOne)
          assert.deepStrictEqual(reasons(ended).toSorted(), ["BadRequest", "GroupNotProcessed", "GroupNotProcessed"])
          const { uploader, uploads } = yield* state
          assert.deepStrictEqual([uploader.processes, uploads], [[], []])
          const again = yield* run(...oneByOne)
          assert.deepStrictEqual(
            [again.status, statuses(again)],
            [0, ["uploaded", "uploaded", "uploaded"]],
            again.stdout
          )
          assert.lengthOf((yield* state).uploads, 3)
        }))
    }
  )

  it.live("stores nothing if one table does not accept its file, and says so of each", () =>
    simulated({ checkedOut: [{ project: "P", table: "C" }] }, ({ state }, run, list) =>
      Effect.gen(function*() {
        list(...three)
        const ended = yield* run(...group)
        assert.deepStrictEqual([ended.status, reasons(ended)], [65, Array(3).fill("IncompleteGroupSession")])
        assert.deepStrictEqual(
          documentOf(ended).items.map(({ error }: { error: { message: string } }) => error.message.split(" ")[0]),
          ["a.csv", "b.csv", "c.csv"]
        )
        assert.lengthOf((yield* state).uploads, 0)
      })))

  it.live("never asks for the processing of an append twice", () => {
    const fault: FaultRule.FaultRule = {
      match: { operation: "process" },
      times: 1,
      apply: true,
      fault: { type: "reset", at: "beforeResponse" }
    }
    return simulated({ faults: [fault] }, ({ state }, run, list) =>
      Effect.gen(function*() {
        list(...three)
        const ended = yield* run(...group)
        assert.deepStrictEqual([ended.status, statuses(ended)], [75, ["unknown", "unknown", "unknown"]], ended.stdout)
        assert.lengthOf((yield* state).uploader.processes, 1)
        const again = yield* run(...group)
        assert.deepStrictEqual([again.status, reasons(again)[1]], [75, "InDoubt"])
        const { uploads } = yield* state
        assert.lengthOf(uploads.filter(({ table }) => table === "B"), 1)
      }))
  })

  it.live("is for one project and one upload to each table and period, through the uploader service", () =>
    simulated({}, ({ state }, run, list) =>
      Effect.gen(function*() {
        const row = "a.csv,P,A,Jan:2024,overwrite"
        for (
          const [rows, args, says] of [
            [[row, "b.csv,Q,B,Jan:2024,overwrite"], group, "one project, but there are P and Q"],
            [[row, "b.csv,P,A,January:2024,append"], group, "several for P / A / January:2024"],
            [[row, "b.csv,P,A,January:2024,append"], [...group, "--dry-run"], "several for P / A / January:2024"],
            [[row], ["batch", "m.csv", "--group", "--json"], "Add --via uploader"]
          ] as const
        ) {
          list(...rows)
          const ended = yield* run(...args)
          assert.deepStrictEqual([ended.status, documentOf(ended).error.tag], [64, "InvalidOption"])
          assert.include(documentOf(ended).error.message, says)
        }
        assert.strictEqual((yield* state).requests, 0)
      })))
})
