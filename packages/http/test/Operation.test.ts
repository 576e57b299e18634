import { Operation } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { HttpClientRequest } from "effect/http"

describe("Operation.isIdempotent", () => {
  it("follows the method if the operation says nothing", () => {
    const verdicts = (["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"] as const).map((method) =>
      Operation.isIdempotent(undefined, HttpClientRequest.make(method)("/"))
    )
    assert.deepStrictEqual(verdicts, [true, true, true, true, true, false, false])
  })

  it("trusts the operation more than the method", () => {
    const operation = { name: "upload", endpoint: "/" }
    assert.isTrue(Operation.isIdempotent({ ...operation, idempotent: true }, HttpClientRequest.post("/")))
    assert.isFalse(Operation.isIdempotent({ ...operation, idempotent: false }, HttpClientRequest.put("/")))
  })

  it("treats a request with an idempotency key as repeatable", () => {
    const request = HttpClientRequest.setHeader(HttpClientRequest.post("/"), "Idempotency-Key", "k")
    assert.isTrue(Operation.isIdempotent(undefined, request))
  })
})
