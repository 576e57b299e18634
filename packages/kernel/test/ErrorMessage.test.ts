import { ErrorMessage } from "@effect-resilience/kernel"
import { assert, describe, it } from "@effect/vitest"

describe("ErrorMessage", () => {
  it("takes the message of whatever has a text for one", () => {
    assert.strictEqual(ErrorMessage.messageOf(new Error("lost")), "lost")
    assert.strictEqual(ErrorMessage.messageOf({ message: "lost" }), "lost")
    assert.strictEqual(ErrorMessage.messageOf({ message: 7 }), undefined)
    assert.strictEqual(ErrorMessage.messageOf("lost"), undefined)
    assert.strictEqual(ErrorMessage.messageOf(null), undefined)
  })

  it("shows a value that has none as text", () => {
    assert.strictEqual(ErrorMessage.textOf(new Error("lost")), "lost")
    assert.strictEqual(ErrorMessage.textOf("lost"), "lost")
    assert.strictEqual(ErrorMessage.textOf(undefined), "undefined")
    assert.strictEqual(ErrorMessage.textOf(Object.create(null)), "[object Object]")
    assert.strictEqual(ErrorMessage.textOf({ toString: 1 }), "[object Object]")
  })

  it("finds the deepest message under causes and reasons", () => {
    const full = new Error("disk is full")
    assert.strictEqual(
      ErrorMessage.innermostOf({ message: "top", reason: { message: "mid", cause: full } }),
      "disk is full"
    )
    assert.strictEqual(ErrorMessage.innermostOf({ message: "top", cause: undefined, reason: full }), "disk is full")
    assert.strictEqual(ErrorMessage.innermostOf({ message: "top", cause: { code: "ENOSPC" } }), "top")
    assert.strictEqual(ErrorMessage.innermostOf({ message: "top", cause: "a text" }), "top")
    assert.strictEqual(ErrorMessage.innermostOf("a text"), undefined)
  })

  it("ends where causes go round in a circle", () => {
    const error = new Error("round")
    error.cause = error
    assert.strictEqual(ErrorMessage.innermostOf(error), "round")
  })
})
