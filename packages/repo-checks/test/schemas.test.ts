import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { files } from "../src/schemas.ts"
import { root } from "../src/Workspace.ts"

for (const { file, json, untold } of files()) {
  it(`${file} is as npm run schemas writes it`, () => {
    expect(readFileSync(join(root, file), "utf8") === json).toBe(true)
  })

  it(`${file} tells what each option means`, () => {
    expect(untold).toEqual([])
  })
}
