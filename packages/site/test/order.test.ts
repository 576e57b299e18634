import { order } from "@effect-resilience/pipeline/Slot"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { root } from "../../repo-checks/src/Workspace.ts"

it("draws the slots of the pipeline in their order", () => {
  const guide = readFileSync(join(root, "docs/guides/order.md"), "utf8")
  expect([...guide.matchAll(/^[│ ]*┌─ (\w+) /gm)].map(([, slot]) => slot)).toEqual([...order])
})
