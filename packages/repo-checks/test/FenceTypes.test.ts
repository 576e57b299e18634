import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { check, exampleFiles } from "../src/FenceTypes.ts"
import { root } from "../src/Workspace.ts"

const marked = (...code: Array<string>) => ["# Title", "```ts import.meta.vitest", ...code, "```", ""].join("\n")

const wrong = [
  {
    file: "wrong/A.ts",
    text: `/**\n * \`\`\`ts\n * not checked\n * \`\`\`\n */\n${marked("const a: number = 1", "a // => 1")}`
  },
  { file: "wrong/README.md", text: "```ts\nimport { Effect } from \"effect\"\nEffect.succeed(1).flat\n```\n" },
  {
    file: "wrong/B.ts",
    text: marked("import { Backoff } from \"@effect-resilience/retry\"", "const b: string = Backoff")
  }
]

// One program for both: most of its time goes into the types of Effect.
const found = check([
  ...wrong,
  ...exampleFiles().map((file) => ({ file, text: readFileSync(join(root, file), "utf8") }))
])

const isWrong = (line: string) => line.startsWith("wrong/")

it("reports what is wrong with an example at its line", () => {
  expect(found.filter(isWrong)).toEqual([
    expect.stringMatching(/^wrong\/B\.ts:4: error TS2322: /),
    expect.stringMatching(/^wrong\/README\.md:3: error TS2339: /)
  ])
})

it("finds nothing wrong with the examples of this repository", () => {
  expect(found.filter((line) => !isWrong(line))).toEqual([])
})
