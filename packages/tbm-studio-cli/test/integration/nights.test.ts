import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { bin, type Ended, folder, settingsFor, start, tbmStudio, write } from "../command.ts"

const statuses = ({ stdout }: Ended): ReadonlyArray<string> =>
  JSON.parse(stdout).items.map(({ status }: { readonly status: string }) => status)

describe("a batch at night", { timeout: 60_000 }, () => {
  layer(
    Simulator.layer({
      seed: 1,
      faults: [
        { match: { path: "Slow" }, times: 2, fault: { type: "delay", ms: 5_000 } },
        { match: { path: "Missing" }, fault: { type: "status", status: 404 } },
        { match: { path: "Mute" }, fault: { type: "hang" } }
      ]
    }),
    { excludeTestServices: true }
  )((it) => {
    const env = Effect.map(Simulator.Simulator, ({ url }) => settingsFor(url))
    const run = (...args: ReadonlyArray<string>) => Effect.flatMap(env, (env) => tbmStudio([...args, "--json"], env))
    const manifestOf = Effect.fnUntraced(function*(...tables: ReadonlyArray<string>) {
      const dir = yield* folder
      write(dir, "x.csv", "account,amount\nx,1\n")
      const rows = tables.map((table) => `x.csv,P,${table},January:2024`)
      return write(dir, "m.csv", ["file,project,table,period", ...rows, ""].join("\n"))
    })
    /** Starts a batch whose first upload takes some seconds. */
    const startSlow = Effect.fnUntraced(function*(manifest: string) {
      const { state } = yield* Simulator.Simulator
      const { requests } = yield* state
      const running = yield* start(process.execPath, [bin, "batch", manifest, "--concurrency", "1"], yield* env)
      yield* Effect.repeat(state, {
        until: (now) => now.requests > requests + 2,
        schedule: Schedule.spaced("20 millis")
      })
      return running
    })

    it.effect("--max-time lets the running upload finish, lists the others as not sent, and the next run sends them", () =>
      Effect.gen(function*() {
        const manifest = yield* manifestOf("Slow", "After", "Last")
        const ended = yield* run("batch", manifest, "--concurrency", "1", "--max-time", "3s")
        assert.deepStrictEqual([ended.status, statuses(ended)], [130, ["uploaded", "notStarted", "notStarted"]])
        assert.strictEqual(JSON.parse(ended.stdout).items[1].error.tag, "TimeOver")
        assert.include(ended.stderr, "the time of --max-time is over: running uploads may finish")
        const next = yield* run("batch", manifest, "--max-time", "1h")
        assert.deepStrictEqual([next.status, statuses(next)], [0, ["skipped", "uploaded", "uploaded"]])
      }))

    it.effect("--wait begins when the other command has ended, or says after its time that the journal is in use", () =>
      Effect.gen(function*() {
        const manifest = yield* manifestOf("Slow")
        const first = yield* startSlow(manifest)
        const hasty = yield* run("batch", manifest, "--wait=300ms")
        assert.deepStrictEqual([hasty.status, JSON.parse(hasty.stdout).error.tag], [69, "JournalInUse"])
        const [patient, rehearsal] = yield* Effect.all(
          [run("batch", manifest, "--wait"), run("batch", manifest, "--dry-run", "--wait")],
          { concurrency: 2 }
        )
        assert.deepStrictEqual([patient.status, statuses(patient)], [0, ["skipped"]])
        assert.strictEqual(rehearsal.status, 0, rehearsal.stderr)
        assert.include(rehearsal.stderr, "Waiting for another tbm-studio")
        assert.strictEqual(
          patient.stderr.split("\n").filter((line) => line.startsWith("Waiting for another")).length,
          1
        )
        assert.strictEqual((yield* first.ended).status, 0)
      }).pipe(Effect.scoped))

    it.effect("takes its keys from files, and warns of files that others can read", () =>
      Effect.gen(function*() {
        const { TBM_PUBLIC_KEY: publicKey = "", TBM_SECRET_KEY: secretKey = "", ...others } = yield* env
        const dir = yield* folder
        const secret = write(dir, "secret", `${secretKey}\n`)
        const publicFile = write(dir, "public", `${publicKey}\r\n`)
        for (const path of [secret, publicFile]) chmodSync(path, 0o600)
        const login = (more: Record<string, string>) => tbmStudio(["login"], { ...others, ...more })
        const files = { TBM_SECRET_KEY_FILE: secret, TBM_PUBLIC_KEY_FILE: publicFile }
        const ended = yield* login(files)
        assert.deepStrictEqual([ended.status, ended.stderr], [0, ""])

        chmodSync(secret, 0o640)
        const readable = yield* login(files)
        assert.strictEqual(readable.status, 0)
        assert.include(readable.stderr, "which other users of this machine can read (mode 640)")
        // A list of users shows as permissions of the group there.
        assert.strictEqual((yield* login({ ...files, CREDENTIALS_DIRECTORY: dir })).stderr, "")

        const wrong: ReadonlyArray<readonly [more: Record<string, string>, problem: string]> = [
          [{ ...files, TBM_SECRET_KEY: secretKey }, "TBM_SECRET_KEY and TBM_SECRET_KEY_FILE are both set."],
          [
            { ...files, TBM_SECRET_KEY_FILE: join(dir, "none") },
            "none, which cannot be read: there is no such file or folder."
          ],
          [{ ...files, TBM_SECRET_KEY_FILE: dir }, "which is a directory."],
          [{ ...files, TBM_SECRET_KEY_FILE: write(dir, "empty", "\n") }, "which is empty."],
          [{ ...files, TBM_SECRET_KEY_FILE: write(dir, "two", `${secretKey}\n${secretKey}\n`) }, "more than one key"]
        ]
        for (const [more, problem] of wrong) {
          const { status, stderr } = yield* login(more)
          assert.deepStrictEqual(
            [status, stderr.includes(problem), stderr.includes(secretKey)],
            [64, true, false],
            stderr
          )
        }
      }))

    it.effect("--notify runs a program with the report of a command that failed, and without its secrets", () =>
      Effect.gen(function*() {
        const manifest = yield* manifestOf("Missing")
        const dir = join(manifest, "..")
        const notifier = script(dir, "notify", `cat >"$0.in"; env >"$0.env"`)
        const failed = yield* run("batch", manifest, "--notify", notifier)
        assert.deepStrictEqual([failed.status, failed.stderr.includes("--notify")], [65, false])
        assert.strictEqual(readFileSync(`${notifier}.in`, "utf8"), failed.stdout)
        const environment = readFileSync(`${notifier}.env`, "utf8").split("\n")
        assert.include(environment, "TBM_STUDIO_EXIT_STATUS=65")
        assert.deepStrictEqual(environment.filter((line) => /_KEY=|DATABASE_URL/.test(line)), [])

        rmSync(`${notifier}.in`)
        assert.strictEqual((yield* run("login", "--notify", notifier)).status, 0)
        assert.isFalse(existsSync(`${notifier}.in`))
      }))

    it.effect("--notify changes no exit status if its program fails, does not exist or does not read", () =>
      Effect.gen(function*() {
        const manifest = yield* manifestOf("Missing")
        const dir = join(manifest, "..")
        const fails = script(dir, "fails", "echo no mail today >&2; exit 3")
        // Words of a shell are a part of the name.
        const strange = `${script(dir, "deaf", "exit 0")}; touch ${dir}/owned`
        const ends: ReadonlyArray<readonly [program: string, message: string]> = [
          [fails, `--notify ${fails} ended with status 3: no mail today.`],
          [strange, `--notify ${strange} could not be run: there is no such file or folder.`],
          [join(dir, "deaf"), ""]
        ]
        for (const [program, message] of ends) {
          const ended = yield* run("batch", manifest, "--notify", program)
          assert.strictEqual(ended.status, 65)
          assert.deepStrictEqual(
            ended.stderr.split("\n").filter((line) => line.startsWith("--notify")),
            message === "" ? [] : [message]
          )
        }
        assert.isFalse(existsSync(join(dir, "owned")))
      }))

    it.effect("--notify runs after a signal, too", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const notifier = script(dir, "notify", `cat >"$0.in"`)
        const file = write(dir, "x.csv", "account,amount\nx,1\n")
        const { state } = yield* Simulator.Simulator
        const { requests } = yield* state
        const args = ["upload", file, "--project", "P", "--table", "Mute", "--period", "Jan:2024", "--notify", notifier]
        const upload = yield* start(process.execPath, [bin, ...args], yield* env)
        yield* Effect.repeat(state, {
          until: (now) => now.requests > requests + 2,
          schedule: Schedule.spaced("20 millis")
        })
        upload.kill("SIGTERM")
        assert.strictEqual((yield* upload.ended).status, 130)
        assert.strictEqual(JSON.parse(readFileSync(`${notifier}.in`, "utf8")).error.tag, "Interrupted")
      }).pipe(Effect.scoped))
  })
})

const script = (dir: string, name: string, lines: string): string => {
  const path = write(dir, name, `#!/bin/sh\n${lines}\n`)
  chmodSync(path, 0o755)
  return path
}
