import { Simulator } from "@effect-resilience/tbm-simulator"
import outputSchema from "@effect-resilience/tbm-studio-cli/schema/output.json" with { type: "json" }
import { assert, describe, it, layer } from "@effect/vitest"
import { Ajv2020 } from "ajv/dist/2020.js"
import { Effect } from "effect"
import { mkdirSync } from "node:fs"
import { asksForJson } from "../src/internal/options.ts"
import * as command from "./command.ts"

const ajv = new Ajv2020({ allErrors: true, strict: true, strictRequired: false })
const definition = (name: string) => ajv.compile({ ...outputSchema, anyOf: [{ $ref: `#/$defs/${name}` }] })
const any = ajv.compile(outputSchema)

const address = ["--project", "P", "--table", "T", "--period", "Jan:2024"]

/** The arguments of a command, its exit status, and the definition that its document fulfils. */
const calls: ReadonlyArray<readonly [args: ReadonlyArray<string>, status: number, definition: string]> = [
  [["--json"], 64, "failed"],
  [["--json=true", "--bogus"], 64, "failed"],
  [["--bogus", "--json=yes"], 64, "failed"],
  [["bogus", "--json"], 64, "failed"],
  [["upload", "--json"], 64, "failed"],
  [["batch", "m.csv", "--concurrency", "many", "--json"], 64, "failed"],
  [["--help", "--json"], 0, "text"],
  [["upload", "--help", "--json"], 0, "text"],
  [["--version", "--json"], 0, "text"],
  [["--completions", "zsh", "--json"], 0, "text"],
  [["login", "--json"], 0, "login"],
  [["login", "--check", "--project", "P", "--table", "Missing", "--json"], 0, "login"],
  [["upload", "a.csv", ...address, "--json"], 0, "upload"],
  [["upload", "a.csv", ...address, "--dry-run", "--json"], 0, "upload"],
  [["upload", "none.csv", ...address, "--json"], 66, "upload"],
  [["upload", "a.csv", "--project", "P", "--table", "T", "--period", "Foo", "--json"], 64, "upload"],
  [["upload", "a.csv", ...address, "--json"], 0, "upload"],
  [["download", ...address, "--output", "got.tsv", "--json"], 0, "download"],
  [["download", ...address, "--output", "got.tsv", "--json"], 64, "failed"],
  [["batch", "m.csv", "--dry-run", "--json"], 0, "batch"],
  [["batch", "m.csv", "--json"], 65, "batch"],
  [["batch", "none.csv", "--json"], 66, "batch"],
  [["status", "m.csv", "--json"], 1, "status"],
  [["status", "m.csv", "--watch", "--json"], 1, "status"],
  [["resolve", "m.csv", "--unknown", "skip", "--json"], 0, "resolve"],
  [["resolve", "m.csv", "--json"], 64, "failed"],
  [["watch", "in", "--rules", "rules.json", "--once", "--settle", "1ms", "--json"], 66, "watch"],
  [["watch", "none", "--rules", "rules.json", "--once", "--json"], 66, "watch"],
  [["status", "none.csv", "--json"], 66, "failed"],
  [["status", "--json"], 64, "failed"],
  [["status", "--cluster", "--json"], 64, "failed"],
  [["audit", "m.csv", "--json"], 0, "audit"],
  [["audit", "m.csv", "--csv", "--json"], 0, "audit"],
  [["audit", "none.csv", "--json"], 66, "failed"],
  [["adopt", "m.csv", "--json"], 0, "adopt"],
  [["explain", "aws", "--samples", "10", "--json"], 0, "explain"]
]

describe("--json", () => {
  layer(
    Simulator.layer({
      seed: 1,
      faults: [{ match: { path: "P/Missing" }, fault: { type: "status", status: 404 } }]
    }),
    { excludeTestServices: true }
  )((it) => {
    it.effect("prints one document, which the published schema describes, whatever is asked", () =>
      Effect.gen(function*() {
        const env = command.settingsFor((yield* Simulator.Simulator).url)
        const data = yield* command.folder
        command.write(data, "a.csv", "A,B\n1,2\n")
        mkdirSync(`${data}/in`)
        for (const name of ["a.csv", "b.csv", "c.csv"]) command.write(data, `in/${name}`, "A,B\n1,2\n")
        command.write(
          data,
          "rules.json",
          JSON.stringify({
            watch: [
              { files: "a.csv", project: "P", table: "W", period: "current" },
              { files: "b.csv", project: "P", table: "W", period: "current", marker: ".done" }
            ]
          })
        )
        command.write(
          data,
          "m.csv",
          "file,project,table,period\na.csv,P,Missing,January:2024\na.csv,P,Two,Jan:2024\n"
        )
        for (const [args, status, name] of calls) {
          const words = args.join(" ")
          const ended = yield* command.tbmStudio(args, env, data)
          assert.strictEqual(ended.status, status, `${words}: ${ended.stderr}${ended.stdout}`)
          const document: unknown = JSON.parse(ended.stdout)
          for (const validate of [any, definition(name)]) {
            assert.isTrue(validate(document), `${words}: ${ajv.errorsText(validate.errors)}`)
          }
        }
      }).pipe(Effect.scoped))
  })

  it("is asked for wherever the flag is, and however its value is spelled", () => {
    const asked: ReadonlyArray<readonly [args: string, asked: boolean]> = [
      ["--json", true],
      ["batch --json m.csv", true],
      ["--bogus --json=true", true],
      ["--json=1", true],
      ["--json=false", false],
      ["--json no", false],
      ["--json --no-json", false],
      ["batch -- --json", false],
      ["batch", false]
    ]
    for (const [args, expected] of asked) assert.strictEqual(asksForJson(args.split(" ")), expected, args)
  })
})

const withoutVersion = (validate: ReturnType<typeof definition>) =>
  validate({ status: "failed", error: { tag: "A", reason: "A", message: "", recovery: "Retry" } })

it("a document of another version is not one of this schema", () => {
  assert.isFalse(withoutVersion(any))
})
