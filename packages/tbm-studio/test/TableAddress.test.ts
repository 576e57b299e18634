import { Period, TableAddress } from "@effect-resilience/tbm-studio"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"

const path = (project: string, table: string, version?: TableAddress.Version) =>
  Result.map(
    TableAddress.make({ project, table, period: "January:2024" }),
    (address) => TableAddress.path(address, "acme.com", "overwrite", version)
  )

describe("TableAddress", () => {
  it("encodes every name into exactly one segment", () => {
    const names = [
      "A/B & C#?%+",
      "{domain}",
      "$& $1",
      "100 %",
      "Müller & Söhne",
      "a\\b",
      "(x)!*'",
      "...",
      " padded ",
      "😀",
      "%2e%2e"
    ]
    for (const name of names) {
      const url = new URL(Result.getOrThrow(path(name, name)), "https://acme.apptio.com")
      const segments = url.pathname.split("/")
      assert.strictEqual(segments.length, 9)
      assert.deepStrictEqual(segments.slice(5, 7).map(decodeURIComponent), [name, name])
      assert.strictEqual(url.search + url.hash, "")

      const v2 = new URL(Result.getOrThrow(path(name, name, "v2")), "https://acme.apptio.com")
      assert.strictEqual(v2.search + v2.hash, "")
      assert.deepStrictEqual(
        v2.pathname.split("/").map(decodeURIComponent),
        [
          "",
          ..."biit/api/v2/domains/acme.com/projects".split("/"),
          name,
          "tables",
          name,
          "dates",
          "January:2024",
          "overwrite"
        ]
      )
    }
  })

  it("rejects names that cannot be part of a path", () => {
    for (const name of ["", "   ", ".", "..", "a\u0000b", "a\r\nb", "\ud800", "a\udc00b"]) {
      assert.isTrue(Result.isFailure(path(name, "GL Data")), JSON.stringify(name))
      assert.isTrue(Result.isFailure(path("Cost Transparency", name)), JSON.stringify(name))
    }
  })

  it("has one key for all spellings of a period, and one for each table", () => {
    const key = (table: string, period: string) =>
      Result.getOrThrow(Result.map(TableAddress.make({ project: "P", table, period }), TableAddress.key))
    assert.strictEqual(key("GL", "January:2024"), key("GL", "jan%3a2024"))
    assert.notStrictEqual(key("GL", "January:2024"), key("GL", "January:FY2024"))
    assert.notStrictEqual(key("A/B", "current"), key("A", "current"))
  })
})

describe("Period", () => {
  it("reads every spelling that the API documents, in any case", () => {
    const spellings = {
      "January:2024": "January:2024",
      "january:2024": "January:2024",
      "jan:fy2024": "Jan:FY2024",
      "MAY:2024": "May:2024",
      "December%3A2023": "December:2023",
      " current ": "current",
      "CURRENT": "current"
    }
    for (const [text, expected] of Object.entries(spellings)) {
      assert.strictEqual(Result.getOrThrow(Period.parse(text)), expected)
    }
  })

  it("rejects what is not a period", () => {
    for (const text of ["", "SOMEDATE:2010", "2024-01", "January 2024", "January:24", "Janu:2024", "January:2024:1"]) {
      assert.isTrue(Result.isFailure(Period.parse(text)), text)
    }
  })
})
