import { readFileSync } from "node:fs"
import { expect, it } from "vitest"
import { files } from "../playground/pictures.ts"

it("the pictures are as npm run pictures draws them", async () => {
  for (const { file, svg } of await files()) {
    expect([file.pathname, readFileSync(file, "utf8") === svg]).toEqual([file.pathname, true])
  }
})
