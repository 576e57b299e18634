import { Account, Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { trap } from "../../tbm-studio/test/recorder.ts"
import { bin, type Ended, folder, settingsFor, start, tbmStudio, write } from "./command.ts"

const content = "account,amount\r\n5100,12.50\r\n"
const md5 = createHash("md5").update(content).digest("hex")

const itemKeys = [
  "status",
  "project",
  "table",
  "period",
  "action",
  "file",
  "bytes",
  "md5",
  "verified",
  "attempts",
  "durationMs"
]

interface Failure {
  readonly tag: string
  readonly reason: string
  readonly message: string
  readonly recovery: string
}

interface Item {
  readonly status: string
  readonly project: string
  readonly table: string
  readonly file: string
  readonly bytes: number
  readonly md5: string | null
  readonly attempts: number
  readonly durationMs: number
  readonly error?: Failure
}

/** The document of `--json`: all that is on standard output, without its version. */
const json = <A extends object>({ stdout }: Ended): A => {
  const document: A & { schemaVersion?: number } = JSON.parse(stdout)
  assert.strictEqual(document.schemaVersion, 1)
  delete document.schemaVersion
  return document
}

/** A document of `upload --json`, with the documented fields and no others. */
const itemOf = (ended: Ended): Item => {
  const item = json<Item>(ended)
  assertItem(item)
  return item
}

const assertItem = (item: Item, keys = itemKeys) => {
  assert.deepStrictEqual(Object.keys(item), item.error === undefined ? keys : [...keys, "error"])
  if (item.error !== undefined) assertFailure(item.error)
}

const assertFailure = (error: Failure) => {
  assert.deepStrictEqual(Object.keys(error), ["tag", "reason", "message", "recovery"])
  for (const text of Object.values(error)) assert.isString(text)
}

/** A few lines for people, without internals of the program. */
const assertReadable = ({ stderr, stdout }: Ended) => {
  for (const text of [stdout, stderr]) {
    assert.notMatch(text, /^\s+at .+[:(]/m)
    assert.notMatch(text, /node:internal|file:\/\/|\[object|undefined/)
  }
}

const to = (table: string, period = "January:2024", project = "Cost Transparency") => [
  "--project",
  project,
  "--table",
  table,
  "--period",
  period
]

const simulator = Simulator.layer({
  seed: 1,
  accounts: [Account.sample, { ...Account.sample, publicKey: "reader", permissions: ["AccessDev"] }],
  faults: [
    { match: { path: "/Busy" }, times: 1, fault: { type: "status", status: 503 } },
    { match: { path: "/Batch Busy" }, times: 1, fault: { type: "status", status: 503 } },
    { match: { path: "Down" }, fault: { type: "status", status: 503, headers: { "retry-after": "3600" } } },
    { match: { path: "Missing" }, fault: { type: "status", status: 404, body: { message: "Table not found" } } },
    { match: { path: "Lost" }, apply: true, fault: { type: "reset", at: "beforeResponse" } },
    { match: { path: "Corrupt" }, fault: { type: "corruptMd5" } },
    { match: { path: "Login page" }, fault: { type: "html", status: 200 } },
    { match: { path: "Silent" }, fault: { type: "hang" } }
  ]
})

describe("tbm-studio", () => {
  layer(simulator, { excludeTestServices: true })((it) => {
    const settings = Effect.map(Simulator.Simulator, ({ url }) => settingsFor(url))
    const storedIn = (table: string) =>
      Effect.flatMap(
        Simulator.Simulator,
        ({ state }) => Effect.map(state, ({ uploads }) => uploads.filter((upload) => upload.table === table))
      )
    const run = (...args: ReadonlyArray<string>) =>
      Effect.flatMap(
        settings,
        (env) => Effect.tap(tbmStudio(args, env), (ended) => Effect.sync(() => assertReadable(ended)))
      )
    const all = <E, R, const A extends ReadonlyArray<Effect.Effect<unknown, E, R>>>(runs: A) =>
      Effect.all(runs, { concurrency: 2 })

    it.effect("login prints domain, environment and expiry, and never the token", () =>
      Effect.gen(function*() {
        const [forPrograms, forPeople, rejected] = yield* all([
          run("login", "--json"),
          run("login"),
          Effect.flatMap(settings, (env) =>
            tbmStudio(["login", "--json"], { ...env, TBM_SECRET_KEY: "wrong-secret-key" }))
        ])
        assert.deepStrictEqual([forPrograms.status, forPrograms.stderr], [0, ""])
        const { expiresAt, ...rest } = json<{ expiresAt: string }>(forPrograms)
        const id = "5f0c1d2e-7a3b-4c4d-8e9f-0a1b2c3d4e5f"
        assert.deepStrictEqual<unknown>(rest, {
          status: "ok",
          domain: "acme.com",
          environment: { name: "main", id },
          generation: 1
        })
        const minutes = (Date.parse(expiresAt) - Date.now()) / 60_000
        assert.isTrue(minutes > 50 && minutes <= 61, expiresAt)

        assert.deepStrictEqual([forPeople.status, forPeople.stderr], [0, ""])
        assert.match(forPeople.stdout, new RegExp(`acme\\.com.*\n.*main.*${id}.*\nExpires`))
        for (const { stdout } of [forPrograms, forPeople]) {
          assert.notMatch(stdout, /token|sim-(public|secret)-key/)
        }

        assert.strictEqual(rejected.status, 77)
        const { error } = json<{ error: Failure }>(rejected)
        assertFailure(error)
        assert.deepStrictEqual([error.tag, error.reason, error.recovery], ["AuthError", "Rejected", "Authorize"])
        assert.strictEqual(rejected.stderr, `${error.message}\n`)
      }))

    it.effect("upload reports what was stored, in the documented shape", () =>
      Effect.gen(function*() {
        const file = write(yield* folder, "A & B.csv", content)
        const accessLog = join(yield* folder, "access.jsonl")
        const log = ["--access-log", accessLog]
        const [plain, busy] = yield* all([
          run("upload", file, ...to("T", "january:2024", "A/B & C#?%+"), "--action", "append", "--json", ...log),
          run("upload", file, ...to("Busy"))
        ])
        assert.deepStrictEqual([plain.status, plain.stderr], [0, ""])
        const { durationMs, ...item } = itemOf(plain)
        assert.isAbove(durationMs, 0)
        assert.deepStrictEqual<unknown>(item, {
          status: "uploaded",
          project: "A/B & C#?%+",
          table: "T",
          period: "January:2024",
          action: "append",
          file,
          bytes: content.length,
          md5,
          verified: true,
          attempts: 1
        })
        const [stored, ...others] = yield* storedIn("T")
        assert.deepStrictEqual(
          [stored?.project, stored?.period, stored?.action, stored?.md5, stored?.fileName, others.length],
          ["A/B & C#?%+", "January:2024", "append", md5, "A & B.csv", 0]
        )
        const entries = readFileSync(accessLog, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line))
        assert.deepStrictEqual(
          entries.map(({ kind, method, endpoint, status, attempt }) => [kind, method, endpoint, status, attempt]),
          [
            ["attempt", "POST", "/service/apikeylogin", 200, 1],
            ["call", "POST", "/service/apikeylogin", 200, 1],
            ["attempt", "GET", "/api/environment/{domain}/{environment}", 200, 1],
            ["call", "GET", "/api/environment/{domain}/{environment}", 200, 1],
            ["attempt", "POST", "/biit/api/v1/{domain}/{project}/{table}/{period}/{action}", 201, 1],
            ["call", "POST", "/biit/api/v1/{domain}/{project}/{table}/{period}/{action}", 201, 1]
          ]
        )

        assert.strictEqual(busy.status, 0)
        assert.match(
          busy.stdout,
          new RegExp(`^${file} is stored in .*: 28 B in .*, 2 attempts, md5 ${md5} verified\n$`)
        )
        assert.match(busy.stderr, /^… .*503.*Attempt 2 in \d+ ms\.\n$/)
      }))

    it.effect("upload exits with the status of its failure, and reports the same in --json", () =>
      Effect.gen(function*() {
        const file = write(yield* folder, "gl.csv", content)
        const cases = yield* all([
          run("upload", file, ...to("Missing"), "--json"),
          run("upload", file, ...to("Corrupt"), "--action", "append", "--json"),
          run("upload", join(file, "nothing.csv"), ...to("T"), "--json"),
          run("upload", file, ...to("Down"), "--json"),
          run("upload", file, ...to("Lost"), "--action", "append", "--json"),
          Effect.flatMap(
            settings,
            (env) => tbmStudio(["upload", file, ...to("T"), "--json"], { ...env, TBM_PUBLIC_KEY: "reader" })
          )
        ])
        const outcomes = cases.map((ended) => {
          const item = itemOf(ended)
          // For people, without the endpoint.
          assert.match(ended.stderr, /^(?!.*POST \/).{20,}\n$/)
          return [ended.status, item.status, item.attempts, item.error?.tag, item.error?.reason, item.error?.recovery]
        })
        assert.deepStrictEqual(outcomes, [
          [65, "failed", 1, "ApiError", "NotFound", "Correct"],
          [75, "unknown", 1, "UploadError", "IntegrityMismatch", "Verify"],
          [66, "failed", 0, "UploadError", "SourceUnreadable", "Correct"],
          [69, "failed", 1, "ApiError", "ServiceUnavailable", "Retry"],
          [75, "unknown", 1, "ApiError", "OutcomeUnknown", "Verify"],
          [77, "failed", 1, "ApiError", "Forbidden", "Authorize"]
        ])
        // If the outcome is unknown, the message says what to check.
        assert.match(itemOf(cases[4]).error?.message ?? "", /may still have been applied.*check/)
        assert.lengthOf(yield* storedIn("Lost"), 1)
      }))

    it.effect("batch lists every item and exits with the gravest", () =>
      Effect.gen(function*() {
        const data = yield* folder
        for (const name of ["a.csv", "b.csv", "c.csv"]) write(data, name, content)
        const manifest = write(
          data,
          "manifest.csv",
          [
            "file,project,table,period,action",
            "a.csv,P,Batch,January:2024,overwrite",
            "b.csv,P,Batch,January:2024,append",
            "none.csv,P,Batch,February:2024,",
            "c.csv,P,Missing,January:2024,",
            "c.csv,P,Login page,January:2024,",
            "c.csv,P,Batch Lost,January:2024,append",
            "a.csv,P,Batch Busy,January:2024,overwrite"
          ].join("\n")
        )
        const list = write(
          data,
          "list.json",
          JSON.stringify(
            ["none.csv", "a.csv"].map((file) => ({ file, project: "P", table: `Fast ${file}`, period: "current" }))
          )
        )
        const [collected, failedFast] = yield* all([
          run("batch", manifest, "--no-preflight", "--json", "--concurrency", "3", "--pace", "1ms"),
          run("batch", list, "--no-preflight", "--fail-fast", "--concurrency", "1")
        ])

        assert.strictEqual(collected.status, 75)
        const document = json<{ items: ReadonlyArray<Item>; totals: Record<string, unknown> }>(collected)
        assert.deepStrictEqual(Object.keys(document), ["items", "totals"])
        for (const item of document.items) assertItem(item, [...itemKeys.slice(0, -1), "recoveries", "durationMs"])
        assert.deepStrictEqual(
          document.items.map((
            { attempts, bytes, error, status, table }
          ) => [table, status, attempts, bytes, error?.reason]),
          [
            ["Batch", "uploaded", 1, content.length, undefined],
            ["Batch", "uploaded", 1, content.length, undefined],
            ["Batch", "failed", 0, 0, "SourceUnreadable"],
            ["Missing", "failed", 1, 0, "NotFound"],
            ["Login page", "failed", 1, 0, "UndecodableAnswer"],
            ["Batch Lost", "unknown", 1, 0, "OutcomeUnknown"],
            ["Batch Busy", "uploaded", 2, content.length, undefined]
          ]
        )
        const { durationMs, ...totals } = document.totals
        assert.isAbove(Number(durationMs), 0)
        assert.deepStrictEqual(totals, {
          planned: 0,
          uploaded: 3,
          failed: 3,
          unknown: 1,
          skipped: 0,
          superseded: 0,
          assumed: 0,
          notStarted: 0,
          bytes: 3 * content.length,
          attempts: 7,
          logins: 1,
          retriesByCause: { "503 ServiceUnavailable": 1 }
        })
        assert.deepStrictEqual((yield* storedIn("Batch")).map(({ action }) => action), ["overwrite", "append"])

        assert.strictEqual(failedFast.status, 66)
        assert.match(failedFast.stdout, /1 failed · 1 not started/)
        assert.match(failedFast.stdout, /none\.csv cannot be read/)
        assert.lengthOf(yield* storedIn("Fast a.csv"), 0)
      }))

    it.effect("input that cannot be read is one clear message and 66", () =>
      Effect.gen(function*() {
        const data = yield* folder
        const empty = write(data, "empty.csv", "")
        const header = write(data, "header.csv", "file,project,tabel,period\na.csv,P,T,current\n")
        const [directory, none, wrong] = yield* all([
          run("upload", data, ...to("T")),
          run("batch", empty),
          run("batch", header, "--json")
        ])
        assert.deepStrictEqual(
          [directory, none, wrong].map(({ status }) => status),
          [66, 66, 66]
        )
        assert.match(directory.stderr, /^\S+ cannot be read: it is a directory\.\n$/)
        assert.strictEqual(none.stderr, `${empty}: is empty.\n`)
        assert.match(wrong.stderr, /^[^\n]*missing: table; unknown: tabel \(did you mean table\?\)\.\n$/)
        assert.deepStrictEqual([directory.stdout, none.stdout], ["", ""])
        const document = json<{ items: ReadonlyArray<Item>; totals: { attempts: number }; error: Failure }>(wrong)
        assert.deepStrictEqual(Object.keys(document), ["items", "totals", "error"])
        assert.deepStrictEqual([document.items.length, document.totals.attempts], [0, 0])
        assertFailure(document.error)
        assert.strictEqual(document.error.tag, "InvalidManifest")
      }))

    it.effect("wrong usage is one clear message and 64", () =>
      Effect.gen(function*() {
        const file = write(yield* folder, "gl.csv", content)
        const [period, flag, values, log] = yield* all([
          run("upload", file, ...to("T", "SOMEDATE:2010"), "--json"),
          run("upload", file, ...to("T"), "--perod", "x", "--json"),
          run("batch", file, "--concurrency", "0", "--pace", "soon"),
          run("upload", file, ...to("T"), "--access-log", join(file, "log"))
        ])
        assert.deepStrictEqual(
          [period, flag, values, log].map(({ status }) => status),
          [64, 64, 64, 64]
        )
        const item = itemOf(period)
        assert.deepStrictEqual(
          [item.status, item.project, item.table, item.file, item.error?.tag],
          ["failed", "Cost Transparency", "T", file, "InvalidPeriod"]
        )
        assert.match(period.stderr, /^[^\n]*"SOMEDATE:2010"[^\n]*January:2024[^\n]*\n$/)

        const { error } = json<{ status: string; error: Failure }>(flag)
        assertFailure(error)
        assert.match(error.message, /--perod/)
        assert.match(flag.stderr, /--perod/)

        assert.match(values.stderr, /^[^\n]*--concurrency[^\n]*1 and 64\n(.+\n)*See tbm-studio batch --help\.\n$/)
        assert.match(log.stderr, /^--access-log [^\n]* cannot be written[^\n]*\n$/)
        for (const { stdout } of [values, log]) assert.strictEqual(stdout, "")
      }))

    it.effect("wrong settings are one line each and 64, before anything is sent", () =>
      Effect.gen(function*() {
        const { contacts, port } = yield* trap
        const env = yield* settings
        const keys = { TBM_PUBLIC_KEY: "planted-public-key", TBM_SECRET_KEY: "planted secret" }
        const login = (settings: Record<string, string>) => tbmStudio(["login", "--json"], settings)
        const [missing, malformed, disguised] = yield* all([
          login({}),
          login({ ...env, ...keys, TBM_REGION: "mars", TBM_CUSTOMER: "acme.evil.test/", TBM_ENVIRONMENT: "../x" }),
          login({
            ...env,
            TBM_FRONTDOOR_URL: `http://frontdoor.apptio.com@127.0.0.1:${port}`,
            TBM_API_URL: `http://0.0.0.0:${port}`
          })
        ])
        const problems = [missing, malformed, disguised].map((ended) => {
          assertReadable(ended)
          const { error } = json<{ error: Failure }>(ended)
          assertFailure(error)
          assert.deepStrictEqual([ended.status, error.tag], [64, "InvalidSettings"])
          assert.strictEqual(ended.stderr, `${error.message}\n`)
          assert.notMatch(ended.stdout + ended.stderr, /planted/)
          return error.message.split("\n").map((line) => line.split(" ")[0])
        })
        assert.deepStrictEqual(problems, [
          ["TBM_CUSTOMER", "TBM_DOMAIN", "TBM_PUBLIC_KEY", "TBM_SECRET_KEY"],
          ["TBM_CUSTOMER", "TBM_SECRET_KEY", "TBM_REGION", "TBM_ENVIRONMENT"],
          ["TBM_FRONTDOOR_URL", "TBM_API_URL"]
        ])
        assert.strictEqual(contacts(), 0)
      }))

    it.effect("a dry run checks everything and sends nothing", () =>
      Effect.gen(function*() {
        const { contacts, port } = yield* trap
        const file = write(yield* folder, "gl.csv", content)
        const env = settingsFor(`http://127.0.0.1:${port}`)
        const dry = yield* tbmStudio(["upload", file, ...to("GL/Data"), "--dry-run"], env)
        const newer = yield* tbmStudio(["upload", file, ...to("GL/Data"), "--dry-run"], {
          ...env,
          TBM_API_VERSION: "v2"
        })
        assert.match(newer.stdout, /\/biit\/api\/v2\/domains\/acme\.com\/projects\/[^/]+\/tables\/GL%2FData\/dates\//)
        const newest = yield* tbmStudio(["upload", file, ...to("GL/Data"), "--dry-run"], {
          ...env,
          TBM_API_VERSION: "3"
        })
        assert.deepStrictEqual(
          [newest.status, newest.stderr],
          [64, "TBM_API_VERSION is \"3\", which is not a version of the API: use v1 or v2.\n"]
        )
        assert.deepStrictEqual([dry.status, dry.stderr], [0, ""])
        assert.include(dry.stdout, `http://127.0.0.1:${port}/biit/api/v1/acme.com/Cost%20Transparency/GL%2FData/`)
        assert.strictEqual(contacts(), 0)
      }))

    it.effect("an interruption ends it at once with 130", () =>
      Effect.gen(function*() {
        const { state } = yield* Simulator.Simulator
        const file = write(yield* folder, "gl.csv", content)
        const before = (yield* state).requests
        const { ended, kill } = yield* start(process.execPath, [bin, "upload", file, ...to("Silent")], yield* settings)
        yield* Effect.map(state, ({ requests }) => requests).pipe(
          Effect.tap(() => Effect.sleep("20 millis")),
          Effect.repeat({ until: (requests) => requests >= before + 3 })
        )
        kill("SIGINT")
        const { status, stdout } = yield* ended
        assert.deepStrictEqual([status, stdout], [130, ""])
      }))

    it.effect("a bug is one line and 70; its stack is for --log-level debug", () =>
      Effect.gen(function*() {
        // A bug in an effect, and one in a callback outside of any effect.
        const sabotage = (code: string) => ({
          NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}`
        })
        const broken = `() => { throw new TypeError("planted") }`
        const defect = sabotage(`globalThis.encodeURIComponent = ${broken}`)
        // Later than the program listens for it, however slowly it starts.
        const crash = sabotage(
          `setInterval(() => { if (process.listenerCount("uncaughtException") > 0) (${broken})() }, 1_000)`
        )
        const env = yield* settings
        const [quiet, verbose, uncaught] = yield* all([
          tbmStudio(["login", "--json"], { ...env, ...defect }),
          tbmStudio(["login", "--log-level", "debug", "--log-format", "json"], { ...env, ...defect }),
          tbmStudio(["upload", write(yield* folder, "gl.csv", content), ...to("Silent"), "--json"], {
            ...env,
            ...crash
          })
        ])
        assert.deepStrictEqual([quiet, verbose, uncaught].map(({ status }) => status), [70, 70, 70])
        assertReadable(quiet)
        const { error } = json<{ error: Failure }>(quiet)
        assertFailure(error)
        assert.match(error.message, /bug in tbm-studio.*planted/)
        assert.strictEqual(quiet.stderr, `${error.message}\n`)
        const [line = "", last] = verbose.stderr.split("\n")
        assert.match(JSON.parse(line).message, /planted[^]*at /)
        assert.strictEqual(last, error.message)
        assertReadable(uncaught)
        assert.strictEqual(uncaught.stderr, quiet.stderr)
        assert.deepStrictEqual(json<{ error: Failure }>(uncaught).error, error)
      }))

    it.effect("a bug during a batch is reported with what is known of each item", () =>
      Effect.gen(function*() {
        const data = yield* folder
        write(data, "gl.csv", content)
        const rows = ["Before a bug", "Bug", "After a bug"].map((table) => `gl.csv,P,${table},January:2024,append`)
        const manifest = write(data, "manifest.csv", ["file,project,table,period,action", ...rows].join("\n"))
        const broken = `const encode = encodeURIComponent
globalThis.encodeURIComponent = (text) => { if (text === "Bug") throw new TypeError("planted"); return encode(text) }`
        const ended = yield* tbmStudio(["batch", manifest, "--concurrency", "1", "--json"], {
          ...yield* settings,
          NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(broken)}`
        })
        assertReadable(ended)
        assert.strictEqual(ended.status, 70, ended.stderr)
        const { error, items, totals } = json<{
          readonly items: ReadonlyArray<Item>
          readonly totals: { readonly uploaded: number }
          readonly error: Failure
        }>(ended)
        assert.deepStrictEqual([error.tag, totals.uploaded], ["Bug", 1])
        assert.deepStrictEqual(items.map(({ error, status }) => [status, error?.tag]), [
          ["uploaded", undefined],
          ["failed", "Bug"],
          ["notStarted", undefined]
        ])
      }))

    it.effect("prints its help", () =>
      Effect.gen(function*() {
        const [help, completions] = yield* all([run("upload", "--help"), run("--completions", "bash")])
        assert.deepStrictEqual([help, completions].map(({ status, stderr }) => [status, stderr]), [[0, ""], [0, ""]])
        assert.match(help.stdout, /EXAMPLES[^]*tbm-studio upload gl\.csv --project "Cost Transparency"/)
        for (const flag of ["--action", "--dry-run", "--json", "--log-format", "--log-level", "--access-log"]) {
          assert.include(help.stdout, flag)
        }
        assert.match(completions.stdout, /complete .*tbm-studio/)
      }))
  })
})
