import { assert, describe, it } from "@effect/vitest"
import { rangeOf, untried } from "../src/Peers.ts"
import { readPackages } from "../src/Workspace.ts"

describe("the versions of effect to try", () => {
  it("are the oldest and the newest, without the one that is installed", () => {
    assert.deepStrictEqual(untried(["4.1.0"], "4.1.0"), [])
    assert.deepStrictEqual(untried(["4.1.0", "4.1.1", "4.2.0"], "4.1.0"), ["4.2.0"])
    assert.deepStrictEqual(untried(["4.1.0", "4.1.1", "4.2.0"], "4.1.1"), ["4.1.0", "4.2.0"])
    assert.deepStrictEqual(untried(["4.1.0", "4.1.1"], "4.1.1"), ["4.1.0"])
    assert.deepStrictEqual(untried([], "4.1.0"), [])
  })

  it("are of one range, which all packages name", () => {
    assert.strictEqual(rangeOf(["^4.1.0", undefined, "^4.1.0"]), "^4.1.0")
    assert.throws(() => rangeOf(["^4.1.0", "^4.2.0"]), RangeError, "^4.1.0 and ^4.2.0")
    assert.match(rangeOf(readPackages().map(({ manifest }) => manifest.peerDependencies?.["effect"])), /^\^4\./)
  })
})
