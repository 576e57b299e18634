import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { oneCall } from "../fixtures/oneCall.ts"
import { root } from "../src/Workspace.ts"

const page = readFileSync(join(root, "docs", "architecture.md"), "utf8")

const shown = (name: string): ReadonlyArray<string> =>
  page.split(`<!-- call: ${name} -->\n\n\`\`\`text\n`)[1]?.split("\n```")[0]?.split("\n") ?? []

it("walks through the call as it is logged and traced, with no secret in either", async () => {
  const { lines, spans, value } = await Effect.runPromise(oneCall)
  expect(shown("lines")).toEqual(lines)
  expect(shown("spans")).toEqual(spans)
  expect(value).toEqual({ balance: "12.50" })
  expect([...lines, ...spans].join()).not.toContain("that-no-line-shows")
})

it("names the times at which something happens", async () => {
  const { lines } = await Effect.runPromise(oneCall)
  const begun = lines.map((line) => Number(/^\+ *(\d+) ms/.exec(line)?.[1]))
  const ended = lines.map((line, i) => (begun[i] ?? 0) + Number(/ (\d+) ms(?: |$)/.exec(line.slice(8))?.[1]))
  const times = [...new Set([...begun, ...ended])].toSorted((a, b) => a - b)
  expect([...page.matchAll(/^\| (\d+) ms +\|/gm)].map(([, time]) => Number(time))).toEqual(times)
})
