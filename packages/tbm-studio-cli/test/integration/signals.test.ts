import { type FaultRule, Simulator, type SimulatorState } from "@effect-resilience/tbm-simulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as command from "../command.ts"

interface Phase {
  /** What keeps a command in the phase. */
  readonly fault: FaultRule.FaultRule
  /** What meets the cleanup. */
  readonly then?: FaultRule.FaultRule
  /** Whether it has reached the phase. */
  readonly reached: (state: SimulatorState.SimulatorState) => boolean
}

const beforeSend: Phase = {
  fault: { match: { operation: "login" }, fault: { type: "hang" } },
  reached: ({ logins }) => logins > 0
}
const whileSending: Phase = {
  fault: { match: { operation: "upload" }, fault: { type: "hang" } },
  reached: ({ requests }) => requests === 3
}
const whilePending: Phase = {
  fault: { match: { operation: "upload" }, apply: true, fault: { type: "hang" } },
  reached: ({ uploads }) => uploads.length > 0
}

const abortNeverEnds: Phase = {
  fault: { match: { operation: "part" }, fault: { type: "hang" } },
  then: { match: { operation: "abort" }, fault: { type: "hang" } },
  reached: ({ requests }) => requests === 4
}

const rows = "account,amount\n5100,12.50\n"
// More than the sockets take while nothing is read.
const manyRows = rows + "5100,12.50\n".repeat(1_500_000)

const file = "rows.csv"
const address = ["--project", "P", "--table", "T", "--period", "January:2024"]
const upload = ["upload", file, ...address]
const batch = ["batch", "manifest.csv", "--no-journal", "--no-preflight", "--allow-duplicate-rows"]

const notDone = /^Interrupted before it was done\.\n$/
const lookFirst = /^Interrupted before it was done\. The rows may have been stored: look at the table .*\n$/
const nothing = /^$/

interface Case {
  readonly name: string
  readonly args: ReadonlyArray<string>
  readonly phase: Phase
  readonly status: number
  readonly stderr: RegExp
  /** The part of the document that reports the upload. */
  readonly item: { readonly status: string; readonly reason: string; readonly recovery: string }
  /** Without `--json`. */
  readonly stdout: RegExp
}

const failed = { status: "failed", reason: "Interrupted", recovery: "Retry" }
const unknown = { status: "unknown", reason: "OutcomeUnknown", recovery: "Verify" }

const cases: ReadonlyArray<Case> = [
  {
    name: "login",
    args: ["login"],
    phase: beforeSend,
    status: 130,
    stderr: notDone,
    item: failed,
    stdout: nothing
  },
  {
    name: "an append, before it is sent",
    args: [...upload, "--action", "append"],
    phase: beforeSend,
    status: 130,
    stderr: notDone,
    item: failed,
    stdout: nothing
  },
  {
    name: "an append, while it is sent",
    args: [...upload, "--action", "append"],
    phase: whileSending,
    status: 130,
    stderr: notDone,
    item: failed,
    stdout: nothing
  },
  {
    name: "an append, while the response is pending",
    args: [...upload, "--action", "append"],
    phase: whilePending,
    status: 75,
    stderr: lookFirst,
    item: unknown,
    stdout: nothing
  },
  {
    name: "an overwrite, while the response is pending",
    args: upload,
    phase: whilePending,
    status: 130,
    stderr: notDone,
    item: failed,
    stdout: nothing
  },
  {
    name: "a batch, before anything is sent",
    args: [...batch, "--on-interrupt", "abandon"],
    phase: beforeSend,
    status: 130,
    stderr: /^Stopping.*abandoned\.\n✗ T.*: Interrupted.*done\.\n$/,
    item: failed,
    stdout: /1 failed · 1 not started/
  },
  {
    name: "a batch, while it sends",
    args: [...batch, "--on-interrupt", "abandon"],
    phase: whileSending,
    status: 130,
    stderr: /^Stopping.*abandoned\.\n✗ T.*: Interrupted.*done\.\n$/,
    item: failed,
    stdout: /1 failed · 1 not started/
  },
  {
    name: "a batch, while a response is pending",
    args: [...batch, "--on-interrupt", "abandon"],
    phase: whilePending,
    status: 75,
    stderr: /^Stopping.*abandoned\.\n✗ T.*: .*look at the table .*\n$/,
    item: unknown,
    stdout: /1 with unknown outcome · 1 not started/
  }
]

/** Runs a command with its own simulator until a phase, sends it signals, and waits for its end. */
const interrupted = Effect.fnUntraced(function*(
  args: ReadonlyArray<string>,
  phase: Phase,
  signals: ReadonlyArray<NodeJS.Signals | ReadonlyArray<NodeJS.Signals>>
) {
  const { state, url } = yield* Simulator.make({
    seed: 1,
    faults: phase.then === undefined ? [phase.fault] : [phase.fault, phase.then]
  })
  const folder = yield* command.folder
  command.write(folder, file, phase === whileSending || phase === abortNeverEnds ? manyRows : rows)
  command.write(
    folder,
    "manifest.csv",
    ["file,project,table,period,action", ...Array.from("TT", (table) => `${file},P,${table},January:2024,append`)].join(
      "\n"
    )
  )
  const running = yield* command.start(process.execPath, [command.bin, ...args], command.settingsFor(url), folder)
  // A command that ends before is a failure, and not a long wait.
  yield* Effect.raceFirst(
    state.pipe(Effect.delay("20 millis"), Effect.repeat({ until: phase.reached })),
    Effect.flatMap(running.ended, ({ status, stderr }) => Effect.die(new Error(`ended with ${status}: ${stderr}`)))
  )
  for (const signal of signals) {
    for (const one of Array.isArray(signal) ? signal : [signal]) running.kill(one)
    yield* Effect.sleep("300 millis")
  }
  return yield* running.ended
})

interface Item {
  readonly status: string
  readonly error?: {
    readonly tag: string
    readonly reason: string
    readonly recovery: string
    readonly message: string
  }
}

describe("a signal ends cleanly", { timeout: 120_000 }, () => {
  for (const { args, item, name, phase, status, stderr, stdout } of cases) {
    it.live(`${name}: ${status}, with what is known`, () =>
      Effect.forEach(["SIGINT", "SIGTERM", "SIGHUP"] as const, (signal) =>
        Effect.gen(function*() {
          const [forPeople, forPrograms] = yield* Effect.all([
            interrupted(args, phase, [signal]),
            interrupted([...args, "--json"], phase, [signal])
          ], { concurrency: 2 })
          assert.strictEqual(forPeople.status, status, `${signal}\n${forPeople.stderr}`)
          assert.match(forPeople.stderr, stderr)
          assert.match(forPeople.stdout, stdout)
          assert.deepStrictEqual([forPrograms.status, forPrograms.stderr], [status, forPeople.stderr], signal)
          const document: Item & { readonly items?: ReadonlyArray<Item> } = JSON.parse(forPrograms.stdout)
          const { error, status: told } = document.items?.[0] ?? document
          assert.deepStrictEqual<unknown>({ status: told, reason: error?.reason, recovery: error?.recovery }, item)
          assert.deepStrictEqual(document.items?.[1]?.status, args[0] === "batch" ? "notStarted" : undefined)
        }).pipe(Effect.scoped), { discard: true }))
  }

  it.live("a second one abandons a batch that is finishing: its document reports every item", () =>
    Effect.gen(function*() {
      const stopped = yield* interrupted([...batch, "--json"], whilePending, ["SIGINT", "SIGTERM"])
      const { error, items, totals } = JSON.parse(stopped.stdout)
      assert.deepStrictEqual([stopped.status, error.tag, totals.unknown], [75, "Interrupted", 1])
      assert.deepStrictEqual(
        items.map(({ error, status }: Item) => [status, error?.reason]),
        [["unknown", "OutcomeUnknown"], ["notStarted", undefined]]
      )
      assert.match(stopped.stderr, /may finish\. A second signal abandons them\.\nInterrupted before it was done\.\n$/)
    }).pipe(Effect.scoped))

  it.live("two at once count as one, like a Ctrl-C under npm: the batch finishes", () =>
    Effect.gen(function*() {
      const slow: Phase = {
        fault: { match: { operation: "upload" }, apply: true, fault: { type: "delay", ms: 1_000 } },
        reached: whilePending.reached
      }
      const stopped = yield* interrupted([...batch, "--concurrency", "1", "--json"], slow, [["SIGINT", "SIGINT"]])
      const items: ReadonlyArray<Item> = JSON.parse(stopped.stdout).items
      assert.deepStrictEqual([stopped.status, items.map(({ status }) => status)], [130, ["uploaded", "notStarted"]])
    }).pipe(Effect.scoped))

  for (const signals of [["SIGINT"], ["SIGINT", "SIGTERM"]] as const) {
    const [abandoning, name] = signals.length === 1 ? [["--on-interrupt", "abandon"], "one"] : [[], "a second one"]
    it.live(`${name} reports every unknown outcome of an earlier run`, () =>
      Effect.gen(function*() {
        const lost: FaultRule.FaultRule = {
          match: { path: "Lost" },
          times: 1,
          fault: { type: "reset", at: "beforeResponse" }
        }
        const hanging: FaultRule.FaultRule = { match: { path: "New" }, apply: true, fault: { type: "hang" } }
        const { state, url } = yield* Simulator.make({ seed: 1, faults: [lost, hanging] })
        const folder = yield* command.folder
        command.write(folder, file, rows)
        const list = (...tables: ReadonlyArray<string>) =>
          command.write(
            folder,
            "manifest.csv",
            [
              "file,project,table,period,action",
              ...tables.map((table) => `${file},P,${table},January:2024,append`)
            ].join("\n")
          )
        const args = ["batch", "manifest.csv", "--json"]
        list("Lost")
        const first = yield* command.tbmStudio(args, command.settingsFor(url), folder)
        assert.strictEqual(first.status, 75, first.stderr)
        list("New", "Lost", "Left")
        const running = yield* command.start(
          process.execPath,
          [command.bin, ...args, "--concurrency", "1", ...abandoning],
          command.settingsFor(url),
          folder
        )
        yield* state.pipe(
          Effect.delay("20 millis"),
          Effect.repeat({ until: ({ uploads }) => uploads.some(({ table }) => table === "New") })
        )
        for (const signal of signals) {
          running.kill(signal)
          yield* Effect.sleep("300 millis")
        }
        const { status, stderr, stdout } = yield* running.ended
        const [, lostItem, left]: ReadonlyArray<Item> = JSON.parse(stdout).items
        assert.deepStrictEqual(
          [status, lostItem?.status, lostItem?.error?.reason, left?.status],
          [75, "unknown", "InDoubt", "notStarted"],
          stderr
        )
      }).pipe(Effect.scoped))
  }

  it.live("one that arrives before the command is loaded is held back for it", () =>
    Effect.gen(function*() {
      const early =
        `process.on("newListener", (name) => name === "SIGHUP" && setImmediate(() => process.kill(process.pid, "SIGTERM")))`
      const { status, stdout } = yield* command.tbmStudio(["login", "--json"], {
        ...command.settingsFor((yield* Simulator.make({ faults: [beforeSend.fault] })).url),
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(early)}`
      })
      assert.deepStrictEqual([status, JSON.parse(stdout).error.tag], [130, "Interrupted"])
    }).pipe(Effect.scoped))

  const inParts = [...upload, "--via", "uploader", "--json"]
  for (const signals of [["SIGTERM", "SIGTERM"], ["SIGTERM"]] as const) {
    it.live(`a cleanup that takes too long is abandoned after ${signals.length === 1 ? "5 s" : "another signal"}`, () =>
      Effect.gen(function*() {
        const { status, stderr, stdout } = yield* interrupted(inParts, abortNeverEnds, signals)
        const { error, status: told } = JSON.parse(stdout)
        assert.deepStrictEqual([status, told, error.tag], [130, "failed", "Interrupted"], stderr)
        assert.match(stderr, notDone)
      }).pipe(Effect.scoped))
  }

  it.live("a batch that abandons its uploads cleans up for 5 s at most", () =>
    Effect.gen(function*() {
      const args = [...batch, "--via", "uploader", "--on-interrupt", "abandon", "--json"]
      const { stderr, stdout } = yield* interrupted(args, abortNeverEnds, ["SIGINT"])
      const { items }: { readonly items: ReadonlyArray<Item> } = JSON.parse(stdout)
      assert.deepStrictEqual([items.length, items[1]?.status], [2, "notStarted"], stderr)
      // Without the limit it waits for the abort's own, of 10 s, and reports no interruption.
      assert.match(stderr, /abandoned\.\nInterrupted before it was done\./)
    }).pipe(Effect.scoped))
})
