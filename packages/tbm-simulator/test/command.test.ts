import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { call, logIn, login, upload } from "./client.ts"

const source = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const bin = fileURLToPath(new URL("../bin/tbm-simulator.js", import.meta.url))

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Starts the command; `ready` is its first line of standard output, `ended` its exit and output. */
const start = (program: string, args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] })
      const output = { stdout: "", stderr: "" }
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        output.stdout += text
      })
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        output.stderr += text
      })
      const ended = Effect.callback<Ended>((resume) => {
        const done = () => resume(Effect.succeed({ code: child.exitCode, ...output }))
        if (child.exitCode === null) child.once("close", done)
        else done()
      })
      const ready = Effect.callback<string>((resume) => {
        const look = () => {
          const [line, rest] = output.stdout.split("\n", 2)
          if (rest !== undefined) resume(Effect.succeed(line ?? ""))
        }
        child.stdout.on("data", look)
        look()
      })
      return { child, ended, ready }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const files = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "tbm-simulator-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

const urlOf = (line: string): string => {
  assert.match(line, /^listening on http:\/\/127\.0\.0\.1:\d+$/)
  return line.slice("listening on ".length)
}

describe("the command", () => {
  it.live.each([["SIGTERM", bin], ["SIGINT", source], ["SIGHUP", bin]] as const)(
    "serves until %s, and prints its address in the first line",
    ([signal, program]) =>
      Effect.gen(function*() {
        const { child, ended, ready } = yield* start(program, [])
        const url = urlOf(yield* ready)
        const session = yield* logIn(url)
        assert.strictEqual((yield* upload(session)).status, 201)
        // A call that never ends does not delay the exit.
        yield* call(`${url}/__simulator/faults`, { method: "POST", body: "[{\"fault\":{\"type\":\"hang\"}}]" })
        yield* Effect.forkScoped(Effect.exit(login(url)))
        child.kill(signal)
        assert.deepStrictEqual(yield* ended, { code: 0, stdout: `listening on ${url}\n`, stderr: "" })
      })
  )

  it.live("takes a scenario of rules or of options; --seed overrides its seed", () =>
    Effect.gen(function*() {
      const folder = yield* files
      const rules = join(folder, "rules.json")
      const options = join(folder, "options.json")
      writeFileSync(rules, JSON.stringify([{ times: 1, fault: { type: "status", status: 503 } }]))
      writeFileSync(
        options,
        JSON.stringify({
          seed: 1,
          tokenLifetime: "90 seconds",
          validTill: "seconds",
          faults: [{ match: { operation: "upload" }, fault: { type: "html", status: 200 } }],
          accounts: [{ publicKey: "p", secretKey: "s", customer: "c", domain: "acme.com" }]
        })
      )
      const [withRules, ...withOptions] = yield* Effect.all([
        start(source, ["--scenario", rules]),
        start(source, ["--scenario", options]),
        start(source, ["--scenario", options]),
        start(source, ["--scenario", options, "--seed", "2"])
      ])
      const url = urlOf(yield* withRules.ready)
      assert.deepStrictEqual([(yield* login(url)).status, (yield* login(url)).status], [503, 200])

      const keys = { keyAccess: "p", keySecret: "s" }
      const tokens = yield* Effect.forEach(withOptions, ({ ready }) =>
        Effect.gen(function*() {
          const url = urlOf(yield* ready)
          const { headers } = yield* login(url, keys)
          const left = Number(headers["valid_till"]) - Date.now() / 1000
          assert.isTrue(left > 60 && left <= 90, String(left))
          assert.include((yield* upload(yield* logIn(url, keys))).body, "Log in")
          return headers["apptio-opentoken"]
        }))
      assert.strictEqual(tokens[0], tokens[1])
      assert.notStrictEqual(tokens[0], tokens[2])
    }))

  it.live("prints one line for an error, and exits with its status", () =>
    Effect.gen(function*() {
      const folder = yield* files
      const written = (name: string, text: string) => {
        const path = join(folder, name)
        writeFileSync(path, text)
        return path
      }
      const { port: taken } = yield* LocalServer.http(() => {})
      const cases: ReadonlyArray<readonly [ReadonlyArray<string>, number, RegExp]> = [
        [["--port", "many"], 64, /--port.*"many"/],
        [["--port", String(taken)], 69, /EADDRINUSE/],
        [["--host", "203.0.113.1"], 64, /cannot listen on 203\.0\.113\.1:0: EADDRNOTAVAIL/],
        [["--sed", "1"], 64, /Unrecognized flag: --sed/],
        [["--scenario", "\u001b[2J\u202e\nFAKE"], 66, / scenario \\u\{1b\}\[2J\\u\{202e\}\\u\{a\}FAKE: there/],
        [["--scenario", join(folder, "none.json")], 66, /none\.json: there is no such file/],
        [["--scenario", written("a.json", "[")], 64, /a\.json is malformed: not JSON/]
      ]
      yield* Effect.forEach(cases, ([args, code, line]) =>
        Effect.scoped(Effect.gen(function*() {
          const ended = yield* Effect.flatMap(start(source, args), ({ ended }) => ended)
          assert.deepStrictEqual([ended.code, ended.stdout], [code, ""], `${args.join(" ")}: ${ended.stderr}`)
          assert.match(ended.stderr, line)
          assert.match(ended.stderr, /^tbm-simulator: [^\n]+\n$/)
        })), { concurrency: 4 })
    }))
})
