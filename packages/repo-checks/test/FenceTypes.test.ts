import { expect, it } from "vitest"
import { check, checkFiles, exampleFiles } from "../src/FenceTypes.ts"

const marked = (...code: Array<string>) => ["# Title", "```ts import.meta.vitest", ...code, "```", ""].join("\n")

it("reports what is wrong with an example at its line", () => {
  expect(check([
    {
      file: "A.ts",
      text: `/**\n * \`\`\`ts\n * not checked\n * \`\`\`\n */\n${marked("const a: number = 1", "a // => 1")}`
    },
    { file: "README.md", text: "```ts\nimport { Effect } from \"effect\"\nEffect.succeed(1).flat\n```\n" },
    { file: "B.ts", text: marked("import { Backoff } from \"@effect-resilience/retry\"", "const b: string = Backoff") }
  ])).toEqual([
    expect.stringMatching(/^B\.ts:4: error TS2322: /),
    expect.stringMatching(/^README\.md:3: error TS2339: /)
  ])
})

it("finds nothing wrong with the examples of this repository", () => {
  expect(checkFiles(exampleFiles())).toEqual([])
})
