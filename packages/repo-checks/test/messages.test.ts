import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { file, page, unlisted } from "../src/messages.ts"
import * as Sentences from "../src/Sentences.ts"
import { type Node, walk } from "../src/Syntax.ts"
import { root } from "../src/Workspace.ts"

describe("the table of messages", () => {
  it("is as npm run messages writes it", () => {
    expect(readFileSync(join(root, file), "utf8") === page()).toBe(true)
  })

  it("has each error that the command can meet", () => {
    expect(unlisted()).toEqual([])
  })

  it("has no names of the operating system's errors, and no sentence that ends twice", () => {
    expect(page().split("\n").filter((line) => /NotFound:|EACCES|undefined|\?\.|\.\. |could not be write/.test(line)))
      .toEqual([])
  })
})

describe("the sentences of a module", () => {
  const sentences = (code: string) => {
    const module = new Sentences.Module("a.ts", code)
    const found: Array<string> = []
    walk(module.body, (node) => {
      const args = node["arguments"] as ReadonlyArray<Node> | undefined
      if (node.type === "NewExpression" && args?.[0] !== undefined) found.push(...module.of(args[0]))
    })
    return found
  }

  it("are texts with their parts, and both sides of a condition", () => {
    expect(sentences("new E(`${path} is ${bad ? \"bad\" : \"good\"}: ` + error.why)")).toEqual([
      "{path} is bad: {why}",
      "{path} is good: {why}"
    ])
  })

  it("follow a function to its calls, and a name to its value", () => {
    expect(sentences(`
      const invalid = (why: string) => new E(\`It is invalid: \${why}.\`)
      const empty = "it is empty"
      invalid(empty)
      invalid(large(3))
      function large(n: number) { return \`it has \${n} rows\` }
    `)).toEqual(["It is invalid: it is empty.", "It is invalid: it has 3 rows."])
  })
})
