import { type FaultRule, Simulator, type SimulatorState } from "@effect-resilience/tbm-simulator"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import * as command from "../command.ts"

interface Item {
  readonly file: string
  readonly status: string
  readonly error?: { readonly reason: string; readonly message: string }
  readonly look?: { readonly says: string }
}

interface Document {
  readonly items: ReadonlyArray<Item>
  readonly waiting: ReadonlyArray<{ readonly file: string; readonly why: string }>
  readonly rejected: ReadonlyArray<{ readonly file: string; readonly why: string }>
}

const rules = {
  tables: [{ table: "GL", required: ["A"] }],
  watch: [
    { files: "gl-{year}-{month}.csv", project: "P", table: "GL" },
    { files: "late-{year}-{month}-*.csv", project: "P", table: "GL", action: "append", marker: ".done" },
    { files: "*.md", ignore: true }
  ]
}

/** A simulator, and a folder `in` with rules beside it. */
const studio = Effect.fnUntraced(function*(...faults: ReadonlyArray<FaultRule.FaultRule>) {
  const { addFaults, clearFaults, state, url } = yield* Simulator.make({ seed: 1, faults })
  const folder = yield* command.folder
  mkdirSync(join(folder, "in"))
  command.write(folder, "rules.json", JSON.stringify(rules))
  const args = ["watch", "in", "--rules", "rules.json"]
  const settings = command.settingsFor(url)
  const running = (...more: ReadonlyArray<string>) =>
    command.start(process.execPath, [command.bin, ...args, ...more], settings, folder)
  return {
    addFaults,
    clearFaults,
    folder,
    put: (name: string, content = "A,B\n1,2\n") => command.write(folder, `in/${name}`, content),
    until: (reached: (state: SimulatorState.SimulatorState) => boolean) =>
      Effect.repeat(Effect.delay(state, "20 millis"), { until: reached }),
    stored: Effect.map(state, ({ uploads }) => uploads.map(({ action, fileName }) => `${action} ${fileName}`)),
    running,
    settings,
    resolve: (...more: ReadonlyArray<string>) =>
      command.tbmStudio(["resolve", "rules.json", ...more], settings, folder),
    once: (...more: ReadonlyArray<string>) =>
      Effect.scoped(Effect.gen(function*() {
        const { ended } = yield* running("--once", "--settle", "50ms", "--json", ...more)
        const { status, stderr, stdout } = yield* ended
        const document: Document = JSON.parse(stdout)
        return {
          status,
          stderr,
          document,
          items: document.items.map(({ file, status }) => `${file.replace("in/", "")}: ${status}`).toSorted(),
          rejected: document.rejected.map(({ file }) => file.replace("in/", "")).toSorted()
        }
      })),
    status: Effect.scoped(Effect.flatMap(
      command.start(process.execPath, [command.bin, "status", "rules.json", "--json"], settings, folder),
      ({ ended }) => ended
    ))
  }
})

describe("tbm-studio watch", { timeout: 120_000 }, () => {
  it.live("sends each file once, where its rule says, and names those that it does not send", () =>
    Effect.gen(function*() {
      const { folder, once, put, stored } = yield* studio()
      put("gl-2024-01.csv")
      put("late-2024-01-a.csv", "A,B\n3,4\n")
      put("late-2024-01-a.csv.done", "")
      put("late-2024-02-b.csv")
      put("gl-2024-02.csv", "X,B\n1,2\n")
      put("unknown.csv")
      put("read.md")
      symlinkSync("gl-2024-01.csv", join(folder, "in/gl-2024-03.csv"))
      execFileSync("mkfifo", [join(folder, "in/gl-2024-04.csv")])
      const first = yield* once()
      assert.strictEqual(first.status, 66, first.stderr)
      assert.deepStrictEqual(first.items, [
        "gl-2024-01.csv: uploaded",
        "gl-2024-02.csv: failed",
        "late-2024-01-a.csv: uploaded"
      ])
      assert.deepStrictEqual(first.rejected, ["gl-2024-03.csv", "gl-2024-04.csv", "unknown.csv"])
      assert.deepStrictEqual(first.document.waiting, [
        { file: "in/late-2024-02-b.csv", why: "it waits for late-2024-02-b.csv.done" }
      ])
      const [failed] = first.document.items.filter(({ status }) => status === "failed")
      assert.include(
        failed?.error?.message,
        "has no column \"A\". It was not sent. Correct it, and it is looked at again."
      )
      assert.deepStrictEqual(yield* stored, ["overwrite gl-2024-01.csv", "append late-2024-01-a.csv"])

      // Touched, and moved away and back, they are the same.
      renameSync(join(folder, "in/gl-2024-01.csv"), join(folder, "away"))
      put("gl-2024-01.csv")
      const second = yield* once()
      assert.deepStrictEqual(second.items, [
        "gl-2024-01.csv: skipped",
        "gl-2024-02.csv: failed",
        "late-2024-01-a.csv: skipped"
      ])
      assert.lengthOf(yield* stored, 2)
    }).pipe(Effect.scoped))

  it.live("asks about new content under a name that was sent, and takes the answer that it names", () =>
    Effect.gen(function*() {
      const { once, put, running, status, stored, until } = yield* studio()
      put("gl-2024-01.csv")
      yield* once()
      put("late-2024-01-a.csv", "A,B\n3,4\n")
      put("late-2024-01-a.csv.done", "")
      const watching = yield* running("--settle", "50ms", "--interval", "200ms", "--json")
      yield* until(({ uploads }) => uploads.length === 2)
      put("gl-2024-01.csv", "A,B\n1,20\n")
      put("gl-2024-02.csv")
      yield* until(({ uploads }) => uploads.length === 3)
      // It lets others use the journal while nothing is sent.
      assert.strictEqual((yield* status).status, 0)
      const asked = yield* once("--only", "gl-2024-01.csv")
      assert.deepStrictEqual([asked.status, asked.items], [66, ["gl-2024-01.csv: failed"]], asked.stderr)
      const { error } = asked.document.items[0] ?? {}
      assert.strictEqual(error?.reason, "ChangedSinceUpload")
      assert.include(error?.message, "and what was added since: late-2024-01-a.csv")
      assert.lengthOf(yield* stored, 3)
      const answered = yield* once("--only", "gl-2024-01.csv", "--changed", "send")
      assert.deepStrictEqual([answered.status, answered.items], [0, ["gl-2024-01.csv: uploaded"]], answered.stderr)
      // The watcher learns of it, and sends what it has held back.
      put("late-2024-01-b.csv", "A,B\n5,6\n")
      put("late-2024-01-b.csv.done", "")
      yield* until(({ uploads }) => uploads.length === 5)
      watching.kill("SIGTERM")
      const ended = yield* watching.ended
      const document: Document = JSON.parse(ended.stdout)
      assert.deepStrictEqual([ended.status, document.items.map(({ status }) => status).toSorted()], [
        0,
        ["skipped", "uploaded", "uploaded", "uploaded"]
      ], ended.stderr)
      assert.include(
        ended.stderr,
        "tbm-studio watch in --rules rules.json --once --only gl-2024-01.csv --changed send\n"
      )
      assert.match(ended.stderr, /^Watching in\. Ctrl-C or SIGTERM stops\.\n/)
    }).pipe(Effect.scoped))

  it.live("killed while an append is pending, it asks, and nothing is stored twice", () =>
    Effect.gen(function*() {
      const { clearFaults, once, put, running, stored, until } = yield* studio(
        { match: { path: "append" }, apply: true, fault: { type: "hang" } }
      )
      put("late-2024-01-a.csv")
      put("late-2024-01-a.csv.done", "")
      const watching = yield* running("--settle", "50ms")
      yield* until(({ uploads }) => uploads.length === 1)
      watching.kill("SIGKILL")
      yield* watching.ended
      yield* clearFaults
      const asked = yield* once()
      assert.deepStrictEqual([asked.status, asked.items], [75, ["late-2024-01-a.csv: unknown"]], asked.stderr)
      const answered = yield* once("--only", "late-2024-01-a.csv", "--unknown", "skip")
      assert.deepStrictEqual([answered.status, answered.items], [0, ["late-2024-01-a.csv: assumed"]], answered.stderr)
      const again = yield* once()
      assert.deepStrictEqual([again.status, again.items], [0, ["late-2024-01-a.csv: skipped"]], again.stderr)
      assert.lengthOf(yield* stored, 1)
    }).pipe(Effect.scoped))

  it.live("what resolve says of an append reaches the watcher, and what failed and is gone needs no attention", () =>
    Effect.gen(function*() {
      const { folder, put, resolve, running, stored, until } = yield* studio(
        { match: { path: "append" }, times: 1, fault: { type: "reset", at: "beforeResponse" } }
      )
      put("gl-2024-05.csv", "A,B\n1\n")
      put("late-2024-01-a.csv")
      put("late-2024-01-a.csv.done", "")
      const watching = yield* running("--settle", "50ms", "--interval", "100ms", "--json")
      yield* Effect.repeat(Effect.delay(watching.output, "20 millis"), {
        until: ({ stderr }) => stderr.includes("--unknown retry") && stderr.includes("line 2")
      })
      rmSync(join(folder, "in/gl-2024-05.csv"))
      assert.deepStrictEqual(yield* stored, [])
      const resolved = yield* resolve("--unknown", "retry", "--wait")
      assert.strictEqual(resolved.status, 0, resolved.stderr)
      yield* until(({ uploads }) => uploads.length === 1)
      watching.kill("SIGTERM")
      const { status, stderr, stdout } = yield* watching.ended
      const { items }: Document = JSON.parse(stdout)
      assert.deepStrictEqual([status, items.map(({ status }) => status)], [0, ["uploaded"]], stderr)
    }).pipe(Effect.scoped))

  it.live("does not end as if all were well when the only file that it may send waits for another", () =>
    Effect.gen(function*() {
      const { once, put, stored } = yield* studio()
      put("late-2024-01-a.csv")
      yield* Effect.sleep("20 millis")
      put("late-2024-01-b.csv")
      put("late-2024-01-b.csv.done", "")
      const { document, items, status, stderr } = yield* once("--only", "late-2024-01-b.csv")
      assert.deepStrictEqual([status, items], [66, ["late-2024-01-b.csv: failed"]], stderr)
      assert.include(document.items[0]?.error?.message, "late-2024-01-a.csv was written before it")
      assert.deepStrictEqual(yield* stored, [])
    }).pipe(Effect.scoped))

  it.live("keeps what an overwrite replaces, and looks at a table around an append of unknown outcome", () =>
    Effect.gen(function*() {
      const { addFaults, folder, once, put } = yield* studio()
      put("gl-2024-01.csv")
      yield* once("--look", "--backup", "kept")
      assert.deepStrictEqual(readdirSync(join(folder, "kept")), [])
      put("gl-2024-01.csv", "A,B\n1,20\n")
      yield* once("--backup", "kept", "--changed", "send")
      const [kept = ""] = readdirSync(join(folder, "kept"))
      assert.strictEqual(readFileSync(join(folder, "kept", kept), "utf8"), "A\tB\n1\t2\n")
      yield* addFaults([{ match: { path: "append" }, apply: true, fault: { type: "reset", at: "beforeResponse" } }])
      put("late-2024-01-a.csv")
      put("late-2024-01-a.csv.done", "")
      const { document, status, stderr } = yield* once("--look")
      assert.strictEqual(status, 75, stderr)
      assert.include(document.items.map(({ look }) => look?.says), "grown")
      chmodSync(join(folder, "kept"), 0o755)
      const open = yield* once("--backup", "kept")
      assert.strictEqual(open.status, 64)
    }).pipe(Effect.scoped))

  it.live.skipIf(!existsSync("/usr/bin/prlimit"))(
    "goes on where a backup finds no room, and ends where its journal finds none",
    () =>
      Effect.gen(function*() {
        const { folder, once, put, settings, stored, until } = yield* studio()
        put("gl-2024-01.csv", `A,B\n${"1,2\n".repeat(100_000)}`)
        yield* once()
        put("gl-2024-01.csv", "A,B\n1,20\n")
        const watch = "watch in --rules rules.json --settle 50ms --interval 100ms --changed send --backup kept"
        const limited = (kib: number) =>
          command.start(
            "bash",
            ["-c", `echo $$ >pid; ulimit -S -f ${kib}; exec "$0" "$1" ${watch}`, process.execPath, command.bin],
            settings,
            folder
          )
        const watching = yield* limited(200)
        yield* until(({ requests }) => requests > 6)
        assert.deepStrictEqual(readdirSync(join(folder, "kept")).filter((name) => name.endsWith(".tsv")), [])
        execFileSync("/usr/bin/prlimit", [
          "--pid",
          readFileSync(join(folder, "pid"), "utf8").trim(),
          "--fsize=unlimited"
        ])
        yield* until(({ uploads }) => uploads.length === 2)
        watching.kill("SIGTERM")
        assert.strictEqual((yield* watching.ended).status, 0)
        assert.lengthOf(readdirSync(join(folder, "kept")), 1)

        put("gl-2024-02.csv")
        const { stderr, stdout, status } = yield* (yield* limited(0)).ended
        assert.strictEqual(status, 74, stdout + stderr)
        assert.lengthOf(yield* stored, 2)
        assert.strictEqual((yield* once()).status, 0)
      }).pipe(Effect.scoped)
  )

  it.live("the command that it names sends a file whose name begins with a dash or has a line break", () =>
    Effect.gen(function*() {
      const { folder, once, put, running, settings } = yield* studio()
      writeFileSync(
        join(folder, "rules.json"),
        JSON.stringify({ watch: [{ files: "*.csv", project: "P", table: "T", period: "May:2024" }] })
      )
      for (const name of ["-v.csv", "a\n'b.csv"]) {
        put(name)
        yield* once(`--only=${name}`)
        put(name, "A,B\n1,20\n")
        const { ended } = yield* running("--once", "--settle", "50ms", `--only=${name}`)
        const [, said = ""] = /: tbm-studio (watch in .* --changed send)/.exec((yield* ended).stdout) ?? []
        const sent = yield* command.start(
          "bash",
          ["-c", `exec "$0" "$1" ${said} --settle 50ms`, process.execPath, command.bin],
          settings,
          folder
        )
        const { status, stderr, stdout } = yield* sent.ended
        assert.strictEqual(status, 0, stderr)
        assert.include(stdout, "1 of 1 uploaded", said)
        rmSync(join(folder, "in", name))
      }
    }).pipe(Effect.scoped))

  it.live("a file that failed holds back what came after it, and what the service rejects for a while is tried again", () =>
    Effect.gen(function*() {
      const { clearFaults, put, running, stored, until } = yield* studio(
        { match: { path: "February" }, fault: { type: "status", status: 503 } }
      )
      put("gl-2024-01.csv", "A,B\n1\n")
      put("gl-2024-02.csv")
      put("late-2024-01-a.csv")
      put("late-2024-01-a.csv.done", "")
      const watching = yield* running("--settle", "50ms", "--interval", "100ms", "--json")
      yield* until(({ requests }) => requests > 4)
      assert.deepStrictEqual(yield* stored, [])
      yield* clearFaults
      yield* until(({ uploads }) => uploads.length === 1)
      watching.kill("SIGINT")
      const { status, stderr, stdout } = yield* watching.ended
      const { items }: Document = JSON.parse(stdout)
      assert.strictEqual(status, 66, stderr)
      assert.deepStrictEqual(
        items.map(({ error, file, status }) => `${file}: ${status} ${error?.reason ?? ""}`).toSorted(),
        [
          "in/gl-2024-01.csv: failed InvalidFiles",
          "in/gl-2024-02.csv: uploaded ",
          "in/late-2024-01-a.csv: notStarted HeldBack"
        ]
      )
    }).pipe(Effect.scoped))

  it.live("a signal lets a running upload finish, and leaves the rest", () =>
    Effect.gen(function*() {
      const { put, running, until } = yield* studio(
        { match: { operation: "upload" }, apply: true, fault: { type: "delay", ms: 1_000 } }
      )
      put("gl-2024-01.csv")
      put("gl-2024-02.csv")
      const watching = yield* running("--settle", "50ms", "--concurrency", "1", "--json")
      yield* until(({ uploads }) => uploads.length === 1)
      watching.kill("SIGTERM")
      const { status, stderr, stdout } = yield* watching.ended
      const { items }: Document = JSON.parse(stdout)
      assert.deepStrictEqual([status, items.map(({ status }) => status)], [0, ["uploaded"]], stderr)
    }).pipe(Effect.scoped))

  it.live("names a command that sends a file in the same way", () =>
    Effect.gen(function*() {
      const { put, running } = yield* studio()
      const flags = ["--via", "uploader", "--sessions", "parts of files", "--backup", "kept", "--look"]
      const once = Effect.scoped(
        Effect.flatMap(running("--once", "--settle", "50ms", ...flags), ({ ended }) => ended)
      )
      put("gl-2024-01.csv")
      assert.strictEqual((yield* once).status, 0)
      put("gl-2024-01.csv", "A,B\n1,3\n")
      const { status, stdout } = yield* once
      assert.strictEqual(status, 66)
      assert.include(
        stdout,
        "tbm-studio watch in --rules rules.json --via uploader --sessions 'parts of files' --backup kept --look " +
          "--once --only gl-2024-01.csv --changed send\n"
      )
    }).pipe(Effect.scoped))

  it.live.each([{ more: ["--json"] }, { more: ["--backup", "kept"] }])(
    "ends when the login is rejected, since accounts lock: with $more",
    ({ more }) =>
      Effect.gen(function*() {
        const { put, running } = yield* studio({
          match: { operation: "login" },
          fault: { type: "status", status: 403 }
        })
        put("gl-2024-01.csv")
        const watching = yield* running("--settle", "50ms", ...more)
        const { status, stderr } = yield* Effect.timeout(watching.ended, "30 seconds")
        assert.strictEqual(status, 77)
        assert.include(stderr, "Stopping: the login was rejected, and accounts lock after failed logins.")
      }).pipe(Effect.scoped)
  )

  it.live("rejects rules that are missing or invalid, a folder that is missing, and a name that is not there", () =>
    Effect.gen(function*() {
      const { folder, running } = yield* studio()
      const fails = (said: string, ...more: ReadonlyArray<string>) =>
        Effect.scoped(Effect.gen(function*() {
          const { stderr, status } = yield* (yield* running(...more)).ended
          assert.include(stderr, said)
          assert.strictEqual(status, 66)
        }))
      yield* fails("There is no nothing.csv in in", "--once", "--only", "nothing.csv")
      writeFileSync(join(folder, "rules.json"), JSON.stringify({ watch: [{ ...rules.watch[1], marker: undefined }] }))
      yield* fails("files to append need a marker", "--once")
      writeFileSync(join(folder, "rules.json"), JSON.stringify({ tables: [] }))
      yield* fails("does not say where files go: add \"watch\"", "--once")
      writeFileSync(join(folder, "rules.json"), JSON.stringify(rules))
      renameSync(join(folder, "in"), join(folder, "out"))
      yield* fails("in cannot be read: there is no such file or folder.")
    }).pipe(Effect.scoped))
})
