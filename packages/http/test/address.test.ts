import { Redaction } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { HttpClientRequest } from "effect/http"
import * as fc from "fast-check"
import { addressOf } from "../src/internal/address.ts"

const origins = ["http://api.example.com", "https://api.example.com:8443", "https://[::1]:80", "http://10.0.0.1"]
const piece = fc.oneof(
  fc.constantFrom(
    "a",
    "tables",
    "GL",
    "..",
    ".",
    "%2e",
    "%2E.",
    "",
    "a.b",
    "~x",
    "A B",
    "ü",
    "a\\b",
    ";",
    "@",
    ":",
    "a%20b"
  ),
  fc.string({ unit: "binary-ascii", maxLength: 4 })
)

describe("addressOf", () => {
  it("says of an origin that it has met what it would say by parsing, whatever the path", () => {
    for (const origin of origins) addressOf(HttpClientRequest.get(`${origin}/`))
    fc.assert(
      fc.property(
        fc.constantFrom(...origins),
        fc.array(piece, { maxLength: 5 }),
        fc.constantFrom("", "?key=secret", "#secret"),
        (origin, path, rest) => {
          const request = HttpClientRequest.get(`${origin}/${path.join("/")}${rest}`)
          const found = addressOf(request)
          const parsed = HttpClientRequest.toUrl(request)
          if (parsed._tag === "None") return assert.isUndefined(found)
          const url = parsed.value
          const redaction = Redaction.make()
          assert.strictEqual(
            typeof found?.url === "string" ? found.url : Redaction.url(redaction, found?.url ?? ""),
            Redaction.url(redaction, url)
          )
          assert.strictEqual(found?.server.origin, url.origin)
          assert.strictEqual(found?.server.host, url.hostname.replace(/^\[|\]$/g, ""))
        }
      ),
      { numRuns: 2_000, seed: 7 }
    )
  })

  it("does not keep what stands in the place of an origin but is none", () => {
    for (
      const url of ["https://me:pw@api.example.com/x", "https://api.example.com:443/x", "HTTPS://API.example.com/x"]
    ) {
      addressOf(HttpClientRequest.get(url))
      assert.notStrictEqual(typeof addressOf(HttpClientRequest.get(url))?.url, "string", url)
    }
  })

  it("parses what has parameters of its own", () => {
    const request = HttpClientRequest.get("http://10.0.0.1/x", { urlParams: { key: "secret" } })
    addressOf(request)
    assert.notStrictEqual(typeof addressOf(request)?.url, "string")
  })
})
