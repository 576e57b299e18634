import { expect, it } from "vitest"
import { runIn, runtimes } from "../../../src/Runtimes.ts"

it.concurrent.each(Object.keys(runtimes))("the portable packages do what their examples say under %s", async (name) => {
  for await (const [, { failed, passed }] of runIn([name])) {
    expect(failed).toEqual([])
    expect(passed).toBeGreaterThan(190)
  }
}, 300_000)
