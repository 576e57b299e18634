import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { oddWords } from "../src/Words.ts"
import { root } from "../src/Workspace.ts"

// The rule, its test, the glossary and the table of renames name the words themselves.
const names = [
  "packages/repo-checks/src/Words.ts",
  "packages/repo-checks/test/words.test.ts",
  "docs/glossary.md",
  "docs/renames.md"
]

describe("the words", () => {
  it("are those of the glossary, in every name, comment and page", () => {
    const files = execFileSync("git", ["ls-files", "*.ts", "*.md"], { cwd: root, encoding: "utf8" }).trim().split("\n")
      .filter((file) => !names.includes(file) && !file.endsWith("/api.md"))
    expect(files.flatMap((file) => oddWords(file, readFileSync(join(root, file), "utf8")))).toEqual([])
  })

  it("are found inside names and across a text, and other people's words are left alone", () => {
    const text =
      "const readAnswerBody = 1\n// Nobody is told: connection refused, ECONNREFUSED\n// It refuses whoever asks."
    expect(oddWords("a.ts", text)).toEqual([
      "a.ts:1 says \"readAnswerBody\": response, respond",
      "a.ts:3 says \"refuses\": reject, rejection",
      "a.ts:2 says \"Nobody\": no caller, none that …: name the subject",
      "a.ts:3 says \"whoever\": a caller that …: name the subject"
    ])
  })
})
