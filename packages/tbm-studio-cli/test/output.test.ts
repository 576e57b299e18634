import { ForeignText } from "@effect-resilience/errors"
import { Scrubber } from "@effect-resilience/http"
import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { spawn } from "node:child_process"
import { globSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Output from "../src/internal/output.ts"
import * as command from "./command.ts"

const sources = fileURLToPath(new URL("../src/", import.meta.url))

const printed = (program: Effect.Effect<void>) => {
  let written = ""
  const sink = Layer.succeed(Output.Behind, (_, text) => {
    written += text
  })
  return Effect.map(Effect.provide(program, sink), () => written)
}

describe("Output", () => {
  it.effect("prints a line as one line, without characters that move a cursor or hide", () =>
    Effect.gen(function*() {
      const foreign = "a\u001b[31m\u001b]0;title\u0007\u009b2J\r\nFAKE\u202Egnp\u200b\u2028\ud800 \u{e0041}"
      const text = yield* printed(Output.print("stdout", ["x", foreign, ["✗ ", { colour: "red", text: foreign }]]))
      const lines = text.split("\n")
      assert.deepStrictEqual([lines.length, lines[0], lines[3]], [4, "x", ""])
      const shown =
        "a\\u{1b}[31m\\u{1b}]0;title\\u{7}\\u{9b}2J\\u{d}\\u{a}FAKE\\u{202e}gnp\\u{200b}\\u{2028}\\u{d800} \\u{e0041}"
      assert.deepStrictEqual([lines[1], lines[2]], [shown, `✗ \u001b[31m${shown}\u001b[0m`])
    }))

  it.effect("prints JSON with the same values and only printable text", () =>
    Effect.gen(function*() {
      const document = { "k\u202e": ["\u001b[2J\r\n\u009b\u200b\u{e0041} \ud800 zażółć 漢字 👍\ufe0f", "\u007f"] }
      const text = yield* printed(Output.printJson("stdout", document))
      assert.deepStrictEqual(JSON.parse(text), document)
      assert.strictEqual(ForeignText.lines(text), text)
    }))

  it.effect("hides secrets in JSON's strings, and leaves it JSON with the same fields", () =>
    Effect.gen(function*() {
      for (const secret of ["98765432", "true", "itemsOfTheDocument", "nabla-of-the-secret"]) {
        Scrubber.Current.defaultValue().register(Redacted.make(secret))
      }
      const document = { itemsOfTheDocument: [{ bytes: 98765432, verified: true, message: "no key \"98765432\"" }] }
      const text = yield* printed(Output.printJson("stdout", document))
      assert.deepStrictEqual(JSON.parse(text), {
        itemsOfTheDocument: [{ bytes: 98765432, verified: true, message: "no key \"<redacted>\"" }]
      })
    }))

  it("is the only output: no other source file writes", () => {
    const ways =
      /\bprocess\s*(\.|\[\s*["'])(stdout|stderr)|\bglobalThis\.console|(?<!\.)\bconsole\.\w+\(|write(File)?Sync\(\s*[12]\b/
    const writers = globSync("**/*.ts", { cwd: sources }).filter((file) =>
      ways.test(readFileSync(`${sources}${file}`, "utf8").replace(/^\s*(\*|\/\/).*$/gm, ""))
    )
    assert.deepStrictEqual(writers, ["internal/output.ts"])
    const streams = globSync("**/*.ts", { cwd: sources }).filter((file) =>
      /\.(stdout|stderr)\(|Terminal\b.*\bdisplay\b/.test(readFileSync(`${sources}${file}`, "utf8"))
    )
    assert.deepStrictEqual(streams, [])
  })
})

/** Runs the command with a standard output that cannot be written. */
const withoutOutput = (args: ReadonlyArray<string>, env: Record<string, string>, full: boolean) =>
  Effect.callback<command.Ended>((resume) => {
    const options = { env: { PATH: process.env["PATH"], ...env } }
    const child = full
      ? spawn("sh", ["-c", `exec "$@" >/dev/full`, "sh", process.execPath, command.bin, ...args], options)
      : spawn(process.execPath, [command.bin, ...args], options)
    // Like a pipe whose reader has ended.
    child.stdout.destroy()
    let stderr = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text
    })
    child.once("close", (status) => resume(Effect.succeed({ status, stdout: "", stderr })))
  })

describe("standard output that cannot be written", () => {
  layer(Simulator.layer({ seed: 1 }), { excludeTestServices: true })((it) => {
    it.effect("is reported on standard error, and ends with 74 or a graver status", () =>
      Effect.gen(function*() {
        const env = command.settingsFor((yield* Simulator.Simulator).url)
        const runs = [["explain", "aws"], ["--help"], ["--version"], ["login"], ["login", "--json"]]
        for (const [full, reason] of [[true, /ENOSPC/], [false, /EPIPE/]] as const) {
          for (const args of runs) {
            const { status, stderr } = yield* withoutOutput(args, env, full)
            assert.strictEqual(status, 74, `${args.join(" ")}: ${stderr}`)
            assert.match(stderr, /^Standard output cannot be written: [^\n]+\.\n$/)
            assert.match(stderr, reason)
          }
        }
        const picture = yield* command.tbmStudio(["explain", "aws", "--svg", "/dev/full"], env)
        assert.deepStrictEqual([picture.status, picture.stdout], [74, ""])
        assert.match(picture.stderr, /^--svg \/dev\/full cannot be written: .*no space left.*\n$/)
        const worse = yield* withoutOutput(["login", "--json"], { ...env, TBM_SECRET_KEY: "wrong" }, true)
        assert.strictEqual(worse.status, 77)
        assert.match(worse.stderr, /\nStandard output cannot be written/)
      }))
  })
})
