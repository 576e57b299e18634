import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it, onTestFinished } from "vitest"
import { compile, compileAll, fences } from "../src/DocFences.ts"

const fixtures = fileURLToPath(new URL("../fixtures/fences/", import.meta.url))

const vitest = fileURLToPath(new URL("./vitest.mjs", import.meta.resolve("vitest/package.json")))

const compiled = (...code: Array<string>) =>
  compile("A.ts", { marked: true, title: "", line: 7, code: code.join("\n") })

interface Report {
  readonly testResults: ReadonlyArray<{
    readonly assertionResults: ReadonlyArray<
      { readonly title: string; readonly status: string; readonly failureMessages: Array<string> }
    >
  }>
}

describe("fences", () => {
  it("finds marked fences of doc comments with their line and title", () => {
    const text =
      "/**\n * **Example** (Adding)\n *\n * ```ts import.meta.vitest\n * 1 // => 1\n *   2 // => 2\n * ```\n */\n"
    expect(fences(text)).toEqual([{ marked: true, title: "Example (Adding)", line: 5, code: "1 // => 1\n  2 // => 2" }])
  })

  it("finds fences of Markdown, marked or not, and leaves other languages alone", () => {
    const text = "## Use\n```ts\na\n```\n```sh\nls\n```\n```ts import.meta.vitest\n1 // => 1\n```\n"
    expect(fences(text)).toEqual([
      { marked: false, title: "Use", line: 3, code: "a" },
      { marked: true, title: "Use", line: 9, code: "1 // => 1" }
    ])
  })

  it("rejects a fence that is never closed", () => {
    expect(() => fences("```ts import.meta.vitest\n1 // => 1\n")).toThrow("line 1: the fence is never closed")
  })
})

describe("compile", () => {
  it("turns static imports into dynamic ones", () => {
    expect(compiled(
      "import a, { b, type T, c as d } from \"x\"",
      "import * as e from \"y\"",
      "import type { F } from \"z\"",
      "assert"
    )).toBe([
      "const { default: a, b, d } = await import(\"x\");".replace(" d }", " c: d }"),
      "const e = await import(\"y\");",
      "",
      "assert"
    ].join("\n"))
  })

  it("keeps the number of lines", () => {
    expect(compiled("import {", "  a", "} from \"x\"", "f(", "  a", ") // => 1").split("\n")).toHaveLength(6)
  })

  it("asserts on expressions, on declared constants and inside functions", () => {
    expect(compiled("f(1) // => 1")).toBe("__equals((f(1)), (1)) ")
    expect(compiled("const a = f(1) // => 1")).toBe("const a = f(1); __equals(a, (1)) ")
    expect(compiled("g(function*() {", "  yield* a // => 1", "})")).toContain("__equals((yield* a), (1))")
  })

  it("ignores an arrow within a string", () => {
    expect(compiled("f(\"// => 2\") // => 1")).toBe("__equals((f(\"// => 2\")), (1)) ")
  })

  it("rejects an example that asserts nothing", () => {
    expect(() => compiled("f(1)")).toThrow("A.ts:7: the example asserts nothing")
  })

  it("rejects an arrow with nothing to compare, or with no value", () => {
    expect(() => compiled("", "// => 1")).toThrow("A.ts:8: \"// =>\" must follow")
    expect(() => compiled("a // => one two")).toThrow("A.ts:7: what follows")
  })

  it("reports a syntax error with its line", () => {
    expect(() => compiled("a // => 1", "const = 1")).toThrow("A.ts:8: ")
  })
})

describe("compileAll", () => {
  it("maps each line to the line it comes from", () => {
    const result = compileAll("A.ts", "/**\n * ```ts import.meta.vitest\n * 1 // => 1\n * 2 // => 2\n * ```\n */")
    const line = (code: string) => result?.lines[result.code.split("\n").findIndex((l) => l.includes(code))]
    expect([line("__equals((1)"), line("__equals((2)")]).toEqual([2, 3])
  })
})

describe("the plugin", () => {
  it("passes right examples and fails wrong ones at their line", () => {
    const dir = mkdtempSync(join(tmpdir(), "fences-"))
    onTestFinished(() => rmSync(dir, { recursive: true }))
    const outputFile = join(dir, "report.json")
    const run = spawnSync(process.execPath, [
      vitest,
      "run",
      "--config=vitest.ts",
      "--reporter=json",
      `--outputFile=${outputFile}`
    ], {
      cwd: fixtures,
      encoding: "utf8"
    })
    const report: Report = JSON.parse(readFileSync(outputFile, "utf8"))
    const results = report.testResults.flatMap((file) => file.assertionResults)
    expect(results.map((r) => [r.title, r.status]).toSorted()).toEqual([
      ["README.md:4 Fences in Markdown", "failed"],
      ["Sample.ts:26 Example (Expecting the wrong value)", "failed"],
      ["Sample.ts:5 Example (Adding with an annotation, a multi-line import and an await)", "passed"]
    ])
    const failures = results.flatMap((r) => r.failureMessages).join("\n")
    expect(failures).toMatch(/README\.md:6/)
    expect(failures).toMatch(/Sample\.ts:27/)
    expect(run.status).toBe(1)
  })
})
