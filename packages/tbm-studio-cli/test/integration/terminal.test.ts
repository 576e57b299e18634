import { ForeignText } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { recorder } from "../../../tbm-studio/test/recorder.ts"
import * as command from "../command.ts"

const bidi = "\u202egnp.exe\u202c\u2066"
const sequences = "\u001b[31mRED\u001b[0m\u001b]0;title\u0007\u009b31m"
const hidden = "\u200b\u2060\u{e0041}"
const nasty = `a${sequences}${bidi}${hidden}`
const forged = "b\nFORGED line"

const address = ["--project", "P", "--table", "T", "--period", "January:2024"]

const json = (rows: ReadonlyArray<unknown>) => JSON.stringify(rows)
const row = { file: "ok.csv", project: "P", table: "T", period: "January:2024" }

/** A source of foreign text, and a command that repeats it. */
const ways: { readonly [from: string]: ReadonlyArray<string> } = {
  "the server's message": ["upload", "ok.csv", ...address],
  "the server's message, in the log": ["upload", "ok.csv", ...address, "--log-level", "all"],
  "the server's message, in the log as JSON": [
    "upload",
    "ok.csv",
    ...address,
    "--log-level",
    "all",
    "--log-format",
    "json"
  ],
  "the environment's id": ["login"],
  "a file's name": ["upload", `${nasty}.csv`, ...address],
  "a file that is not there": ["upload", `${nasty}${forged}`, ...address],
  "a project and a table": [
    "upload",
    "ok.csv",
    "--project",
    `P${bidi}`,
    "--table",
    `T${hidden}`,
    "--period",
    "January:2024"
  ],
  "a project with control characters": [
    "upload",
    "ok.csv",
    "--project",
    nasty,
    "--table",
    forged,
    "--period",
    "current"
  ],
  "a dry run": ["upload", "ok.csv", "--project", `P${bidi}`, "--table", "T", "--period", "current", "--dry-run"],
  "a period": ["upload", "ok.csv", "--project", "P", "--table", "T", "--period", `Jan${nasty}${forged}`],
  "an unknown flag": ["upload", `--x${nasty}${forged}`],
  "an unknown command": [`${nasty}${forged}`],
  "the value of a flag": ["batch", "m.json", "--concurrency", `${nasty}${forged}`],
  "a manifest's name": ["batch", `${nasty}${forged}.csv`],
  "a manifest's column": ["batch", "columns.csv"],
  "a manifest's key": ["batch", "keys.json"],
  "a manifest's names": ["batch", "m.json", "--no-preflight"],
  "a manifest's files": ["batch", "m.json"],
  "a file's header": ["batch", "header.json"],
  "a journal": ["status", "m.json"]
}

describe("foreign text", { timeout: 120_000 }, () => {
  it.live("neither moves a terminal's cursor nor forges a line, wherever it comes from", () =>
    Effect.gen(function*() {
      const data = yield* command.folder
      for (const name of ["ok.csv", `${nasty}.csv`, forged]) command.write(data, name, "A,B\n1,2\n")
      command.write(data, "torn.csv", `A${nasty},"B\n1\n`)
      command.write(data, "wide.csv", `A${nasty},B\n1\n`)
      command.write(
        data,
        "m.json",
        json([
          { ...row, file: `${nasty}.csv`, project: `P${bidi}` },
          { ...row, file: forged, table: `T${hidden}` }
        ])
      )
      command.write(data, "keys.json", json([{ ...row, [`${nasty}${forged}`]: 1 }]))
      command.write(data, "columns.csv", `file,project,table,period,${nasty}\nok.csv,P,T,current,1\n`)
      command.write(data, "header.json", json([{ ...row, file: "torn.csv" }, { ...row, file: "wide.csv" }]))
      const { url } = yield* recorder(({ url = "" }, response) => {
        const id = url.startsWith("/api/")
        if (url.startsWith("/service/")) return false
        response.writeHead(id ? 200 : 400, { "content-type": "application/json", "x-request-id": "r\u009b31mX" })
          .end(JSON.stringify(id ? { id: `e${nasty}\r\n${forged}` } : { message: `m${nasty}\r\n${forged}` }))
        return true
      })
      yield* Effect.forEach(Object.entries(ways), ([from, args]) =>
        Effect.gen(function*() {
          const forPeople = yield* command.tbmStudio(args, command.settingsFor(url), data)
          const forPrograms = yield* command.tbmStudio([...args, "--json"], command.settingsFor(url), data)
          assert.doesNotThrow(() => JSON.parse(forPrograms.stdout), from)
          assert.isAbove(forPeople.stderr.length + forPeople.stdout.length, 10, from)
          for (const text of [forPeople.stdout, forPeople.stderr, forPrograms.stdout, forPrograms.stderr]) {
            assert.strictEqual(text, ForeignText.lines(text), from)
            assert.notMatch(text, /^FORGED/m, from)
          }
        }), { concurrency: 4, discard: true })
    }).pipe(Effect.scoped))
})
