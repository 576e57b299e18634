import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { folder, settingsFor, tbmStudio, write } from "./command.ts"

describe("tbm-studio login --check", () => {
  layer(
    Simulator.layer({
      seed: 1,
      faults: [
        { match: { path: "Secret" }, fault: { type: "status", status: 403, body: `{"message":"Access denied"}` } },
        { match: { path: "Closed" }, fault: { type: "status", status: 500, body: `{"message":"Access denied"}` } }
      ]
    }),
    { excludeTestServices: true }
  )((it) => {
    const run = (...args: ReadonlyArray<string>) =>
      Effect.flatMap(Simulator.Simulator, ({ url }) => tbmStudio(args, settingsFor(url)))

    it.effect("asks for the beginning of the table, and says what it cannot ask", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const file = write(dir, "gl.csv", "A\n1\n")
        const at = (table: string) => ["--project", "P", "--table", table, "--period", "May:2024"]
        yield* run("upload", file, ...at("Open"))
        const cases: ReadonlyArray<readonly [table: string, status: number, read: string]> = [
          ["Open", 0, "allowed"],
          ["Secret", 77, "denied"],
          ["Closed", 77, "denied"],
          ["Missing", 0, "missing"]
        ]
        for (const [table, status, read] of cases) {
          const ended = yield* run("login", "--check", ...at(table), "--json")
          const { check } = JSON.parse(ended.stdout)
          assert.deepStrictEqual([ended.status, check.read, check.upload], [status, read, "unknown"], ended.stderr)
        }
        const { status, stderr, stdout } = yield* run("login", "--check", ...at("Secret"))
        assert.strictEqual(status, 77)
        assert.include(stdout, "Read         P / Secret / May:2024: denied\nUpload       only an upload shows it")
        assert.match(stderr, /^P \/ Secret \/ May:2024: .*Access denied/)
      }))

    it.effect("needs a project and a table, which nothing else of it takes", () =>
      Effect.gen(function*() {
        const cases: ReadonlyArray<readonly [said: string, ...args: ReadonlyArray<string>]> = [
          ["--check needs --project and --table.", "--check", "--project", "P"],
          ["Leave out --table, or add --check.", "--table", "T"],
          ["The period \"Foo\" is not valid", "--check", "--project", "P", "--table", "T", "--period", "Foo"]
        ]
        for (const [said, ...args] of cases) {
          const { status, stderr } = yield* run("login", ...args)
          assert.strictEqual(status, 64)
          assert.include(stderr, said)
        }
      }))
  })
})
