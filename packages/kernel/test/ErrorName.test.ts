import { ErrorName } from "@effect-resilience/kernel"
import { assert, describe, it } from "@effect/vitest"
import { Data, PlatformError } from "effect"

class Rejected extends Data.TaggedError("Rejected")<{ readonly reason: unknown }> {}
class Named extends Error {
  override readonly name = "NamedError"
}

const platform = PlatformError.systemError({ _tag: "NotFound", module: "FileSystem", method: "open" })

// [what it is, value, nameOf, reasonTagOf, fullNameOf]
const cases: ReadonlyArray<readonly [string, unknown, string, string | undefined, string]> = [
  ["a tagged error", new Rejected({ reason: undefined }), "Rejected", undefined, "Rejected"],
  ["a tagged error with a tagged reason", platform, "PlatformError", "NotFound", "PlatformError/NotFound"],
  ["a tagged error with another reason", new Rejected({ reason: "no" }), "Rejected", undefined, "Rejected"],
  ["a tagged value that is no Error", { _tag: "Rejected" }, "Rejected", undefined, "Rejected"],
  ["an error with a tagged reason and no tag", { reason: { _tag: "Lost" } }, "Error", "Lost", "Error/Lost"],
  ["an Error of the language", new TypeError("a bug"), "TypeError", undefined, "TypeError"],
  ["an Error with a name of its own", new Named(), "NamedError", undefined, "NamedError"],
  ["a DOMException", new DOMException("late", "TimeoutError"), "TimeoutError", undefined, "TimeoutError"],
  ["a tag that is no text", Object.assign(new RangeError("odd"), { _tag: 7 }), "RangeError", undefined, "RangeError"],
  ["an object that is no Error", { name: "Jo" }, "Error", undefined, "Error"],
  ["a text", "no", "Error", undefined, "Error"],
  ["nothing", undefined, "Error", undefined, "Error"],
  ["null", null, "Error", undefined, "Error"]
]

describe("ErrorName", () => {
  for (const [what, error, name, reason, full] of cases) {
    it(`knows the names of ${what}`, () => {
      assert.strictEqual(ErrorName.nameOf(error), name)
      assert.strictEqual(ErrorName.reasonTagOf(error), reason)
      assert.strictEqual(ErrorName.fullNameOf(error), full)
    })
  }

  it("finds no tag where there is none", () => {
    assert.isUndefined(ErrorName.tagOf(new Error("untagged")))
    assert.strictEqual(ErrorName.tagOf(platform), "PlatformError")
  })
})
