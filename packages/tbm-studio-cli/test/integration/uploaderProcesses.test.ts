import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { createHash } from "node:crypto"
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as command from "../command.ts"

vi.setConfig({ testTimeout: 180_000 })

const mebibyte = 1024 * 1024
const block = Buffer.alloc(mebibyte, "5100000;12.5000\n")

/** A file of this many MiB, written without keeping it in memory, and its md5. */
const large = (folder: string, size: number) =>
  Effect.sync(() => {
    const path = `${folder}/gl-${size}.csv`
    const hash = createHash("md5")
    const file = openSync(path, "w")
    for (let i = 0; i < size; i++) {
      writeSync(file, block)
      hash.update(block)
    }
    closeSync(file)
    return { path, md5: hash.digest("hex") }
  })

const to = ["--project", "Cost Transparency", "--table", "GL Data", "--period", "January:2024", "--via", "uploader"]

const simulated = <A, E>(test: Effect.Effect<A, E, Simulator.Simulator | Scope.Scope>) =>
  test.pipe(Effect.scoped, Effect.provide(Simulator.layer({ seed: 1, processingTime: 0 })))

const documentOf = ({ stdout }: command.Ended): Record<string, unknown> => JSON.parse(stdout)

describe("tbm-studio upload --via uploader", () => {
  it.live("killed while it sends, sends only what is missing when it is run again", () =>
    simulated(Effect.gen(function*() {
      const simulator = yield* Simulator.Simulator
      const env = command.settingsFor(simulator.url)
      const folder = yield* command.folder
      const { md5, path } = yield* large(folder, 90)
      const sessions = `${folder}/sessions`
      const args = ["upload", path, ...to, "--action", "append", "--sessions", sessions, "--json"]
      yield* simulator.addFaults([{ match: { operation: "part" }, after: 3, fault: { type: "hang" } }])
      const first = yield* command.start(process.execPath, [command.bin, ...args], env)
      yield* Effect.eventually(Effect.suspend(() => keptParts(sessions) === 3 ? Effect.void : Effect.fail("not yet")))
      first.kill("SIGKILL")
      yield* first.ended
      yield* simulator.clearFaults

      const ended = yield* command.tbmStudio(args, env)
      assert.strictEqual(ended.status, 0, ended.stderr)
      assert.deepInclude(documentOf(ended), { status: "uploaded", bytes: 90 * mebibyte, attempts: 1 })
      const { uploader, uploads } = yield* simulator.state
      assert.deepStrictEqual(uploader.sessions.map(({ parts }) => parts.map(({ puts }) => puts)), [[1, 1, 1, 1, 1, 1]])
      assert.deepStrictEqual(uploads.map(({ action, md5 }) => [action, md5]), [["append", md5]])
      assert.deepStrictEqual(readdirSync(sessions), [])
    })))

  it.live("killed while the service processes an append, exits with 75 until it is told to send it again", () =>
    simulated(Effect.gen(function*() {
      const simulator = yield* Simulator.Simulator
      const env = command.settingsFor(simulator.url)
      const folder = yield* command.folder
      const path = command.write(folder, "late.csv", "a;b\n1;2\n")
      const args = ["upload", path, ...to, "--action", "append", "--sessions", `${folder}/sessions`, "--json"]
      yield* simulator.addFaults([{ match: { operation: "process" }, apply: true, fault: { type: "hang" } }])
      const stored = Effect.map(simulator.state, ({ uploads }) => uploads.length)
      const first = yield* command.start(process.execPath, [command.bin, ...args], env)
      yield* Effect.eventually(Effect.flatMap(stored, (count) => count === 1 ? Effect.void : Effect.fail("not yet")))
      first.kill("SIGKILL")
      yield* first.ended
      yield* simulator.clearFaults

      for (let run = 2; run <= 3; run++) {
        const ended = yield* command.tbmStudio(args, env)
        assert.strictEqual(ended.status, 75, ended.stderr)
        assert.include(ended.stderr, "--unknown retry")
        assert.strictEqual(yield* stored, 1)
      }
      const told = yield* command.tbmStudio([...args, "--unknown", "retry"], env)
      assert.strictEqual(told.status, 0, told.stderr)
      assert.strictEqual(yield* stored, 2)
    })))

  it.live("aborts on SIGINT without a directory for sessions", () =>
    simulated(Effect.gen(function*() {
      const simulator = yield* Simulator.Simulator
      const folder = yield* command.folder
      const { path } = yield* large(folder, 40)
      yield* simulator.addFaults([{ match: { operation: "part" }, after: 1, fault: { type: "hang" } }])
      const args = [command.bin, "upload", path, ...to, "--json"]
      const running = yield* command.start(process.execPath, args, command.settingsFor(simulator.url))
      yield* Effect.eventually(Effect.flatMap(simulator.state, ({ uploader }) =>
        uploader.sessions[0]?.parts.length === 1 ? Effect.void : Effect.fail("not yet")))
      running.kill("SIGINT")
      assert.strictEqual((yield* running.ended).status, 130)
      assert.deepStrictEqual(
        (yield* simulator.state).uploader.sessions.map(({ state }) =>
          state
        ),
        ["aborted"]
      )
    })))

  it.live("uploads a manifest, and reports the failures of parts that it recovered from", () =>
    simulated(Effect.gen(function*() {
      const simulator = yield* Simulator.Simulator
      const folder = yield* command.folder
      const { md5, path } = yield* large(folder, 20)
      const small = command.write(folder, "small.csv", "a;b\n1;2\n")
      const manifest = command.write(
        folder,
        "manifest.csv",
        [
          "file,project,table,period,action",
          `${path},P,Large,January:2024,overwrite`,
          `${small},P,Small,January:2024,append`
        ].join("\n")
      )
      yield* simulator.addFaults([{ match: { operation: "part" }, times: 1, fault: { type: "status", status: 503 } }])
      const ended = yield* command.tbmStudio(
        ["batch", manifest, "--no-preflight", "--via", "uploader", "--json"],
        command.settingsFor(simulator.url)
      )
      assert.strictEqual(ended.status, 0, ended.stderr)
      const { items, totals } = documentOf(ended) as {
        readonly items: ReadonlyArray<Record<string, unknown>>
        readonly totals: object
      }
      assert.deepInclude(totals, { uploaded: 2, retriesByCause: { "503 ServiceUnavailable": 1 } })
      assert.deepStrictEqual(items.map(({ attempts, recoveries }) => [attempts, recoveries]), [
        [2, ["503 ServiceUnavailable"]],
        [1, []]
      ])
      const { uploads } = yield* simulator.state
      assert.includeMembers(uploads.map(({ md5, table }) => `${table} ${md5}`), [`Large ${md5}`])
    })))

  it.live.each<[string, ReadonlyArray<string>, Record<string, string>, number, string]>([
    ["a region without the service", [], { TBM_REGION: "usgov", TBM_DATALINK_URL: "" }, 64, "has no uploader service"],
    ["--force", ["--force"], {}, 64, "cannot overwrite a checked-out table"],
    [
      "a dry run in such a region",
      ["--dry-run"],
      { TBM_REGION: "aug", TBM_DATALINK_URL: "" },
      64,
      "the region aug has"
    ],
    ["--unknown without sessions", ["--unknown", "retry"], {}, 64, "Leave out --unknown"],
    ["--sessions without it", ["--via", "table", "--sessions", "x"], {}, 64, "Leave out --sessions"],
    ["an address that is none", [], { TBM_DATALINK_URL: "http://example.com" }, 64, "TBM_DATALINK_URL"]
  ])("rejects %s", ([, args, env, status, text]) =>
    simulated(Effect.gen(function*() {
      const simulator = yield* Simulator.Simulator
      const path = command.write(yield* command.folder, "small.csv", "a;b\n1;2\n")
      const where = args.includes("--via") ? to.slice(0, -2) : to
      const ended = yield* command.tbmStudio(["upload", path, ...where, ...args], {
        ...command.settingsFor(simulator.url),
        ...env
      })
      assert.strictEqual(ended.status, status, ended.stderr)
      assert.include(ended.stderr, text)
      const { uploader, uploads } = yield* simulator.state
      assert.deepStrictEqual([uploader.sessions, uploads], [[], []])
    })))

  it.live("prints in a dry run where it would send the file", () =>
    simulated(Effect.gen(function*() {
      const { url } = yield* Simulator.Simulator
      const path = command.write(yield* command.folder, "small.csv", "a;b\n1;2\n")
      const { status, stdout } = yield* command.tbmStudio(
        ["upload", path, ...to, "--dry-run"],
        command.settingsFor(url)
      )
      assert.strictEqual(status, 0)
      assert.include(stdout, `POST ${url}/uls/api/v1/upload`)
    })))
})

describe("memory", () => {
  it.live("stays flat: 256 MiB take no more than 64 MiB do", () =>
    simulated(Effect.gen(function*() {
      const { state, url } = yield* Simulator.Simulator
      const folder = yield* command.folder
      const measure = Effect.fnUntraced(function*(size: number) {
        const { md5, path } = yield* large(folder, size)
        const script = fileURLToPath(new URL("../uploaderProcess.ts", import.meta.url))
        const run = yield* command.start(
          process.execPath,
          ["--conditions=@effect-resilience/source", script, path],
          command.settingsFor(url)
        )
        const { stderr, stdout } = yield* run.ended
        assert.strictEqual((yield* state).uploads.at(-1)?.md5, md5, stderr)
        const { before, peak }: { readonly before: number; readonly peak: number } = JSON.parse(stdout)
        return Math.round((peak - before) / mebibyte)
      })
      const [small, big] = [yield* measure(64), yield* measure(256)]
      yield* Effect.log(`peak RSS over the idle process: ${small} MiB for 64 MiB, ${big} MiB for 256 MiB`)
      assert.isBelow(big, small + 32)
      assert.isBelow(big, 160)
    })))
})

/** The number of parts in the latest entry of the only session. */
const keptParts = (directory: string): number => {
  try {
    const entries = readdirSync(directory).map((name) => JSON.parse(readFileSync(`${directory}/${name}`, "utf8")))
    return Math.max(0, ...entries.map(({ session }) => session.parts.length))
  } catch {
    // Not there yet, or half written.
    return 0
  }
}
