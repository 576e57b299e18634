import { readFileSync } from "node:fs"
import { basename } from "node:path"
import { expect, it } from "vitest"
import { files, present } from "../playground/pictures.ts"

it(
  "the pictures are as npm run pictures draws them, small, and no others are there",
  { timeout: 120_000 },
  async () => {
    const drawn = await files()
    for (const { file, text } of drawn) {
      expect([file.pathname, readFileSync(file, "utf8") === text]).toEqual([file.pathname, true])
      expect([file.pathname, text.length < 20_000]).toEqual([file.pathname, true])
    }
    expect(present().toSorted()).toEqual(drawn.map(({ file }) => basename(file.pathname)).toSorted())
  }
)
