import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as HelpText from "../src/internal/helpText.ts"
import { widthOf } from "../src/internal/textWidth.ts"
import { tbmStudio } from "./command.ts"

const plain = HelpText.withoutColours

const help = [
  "FLAGS",
  "  --wait [=DURATION]    Wait until another command that uses the journal has ended",
  "  \u001b[32m--rules FILE\u001b[0m          What the files of each table must have: columns, numbers, rows",
  "  --completions <bash|zsh|fish|powershell>    Print a script for the completions of a shell"
].join("\n")

describe("a help", () => {
  it("goes on below its descriptions, or below a name that is too long", () => {
    assert.deepStrictEqual(plain(HelpText.fit(help, 50)).split("\n"), [
      "FLAGS",
      "  --wait [=DURATION]    Wait until another command",
      "                        that uses the journal",
      "                        has ended",
      "  --rules FILE          What the files of each",
      "                        table must have:",
      "                        columns, numbers, rows",
      "  --completions <bash|zsh|fish|powershell>",
      "      Print a script for the completions of a",
      "      shell"
    ])
  })

  it("keeps its words in each window", () => {
    const words = (text: string) => plain(text).split(/\s+/).filter((word) => word !== "")
    for (let width = 20; width < 100; width++) {
      const fitted = HelpText.fit(help, width)
      assert.deepStrictEqual(words(fitted), words(help))
      // A word that is too wide stays whole.
      for (const line of plain(fitted).split("\n")) {
        assert.isTrue(widthOf(line) <= width || line.trim().split(" ").length <= 2, line)
      }
    }
  })

  it.effect("of each command fits 80 columns", () =>
    Effect.gen(function*() {
      const commands = ["", "upload", "download", "batch", "status", "resolve", "audit", "watch", "worker", "login"]
      yield* Effect.forEach(commands, (command) =>
        Effect.map(tbmStudio([...command === "" ? [] : [command], "--help"], {}), ({ status, stdout }) => {
          assert.strictEqual(status, 0)
          assert.deepStrictEqual(
            stdout.split("\n").filter((line) =>
              widthOf(line) > 79
            ),
            []
          )
        }), { concurrency: 2, discard: true })
    }))
})
