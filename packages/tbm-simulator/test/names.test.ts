import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Period from "../src/internal/Period.ts"
import * as Route from "../src/internal/Route.ts"
import * as RowCounter from "../src/internal/RowCounter.ts"

const NonEmpty = Schema.Array(Schema.String.check(Schema.isMinLength(1)))

describe("RowCounter", () => {
  it.prop(
    "counts as a plain loop does, for any division into pieces",
    {
      lines: Schema.Array(
        Schema.Literals(["", "a", "a,b", "\"\n\"", "x,\"y\"\"\n\n\"", "long line, of more than a word"])
      ),
      cut: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })),
      offset: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
    },
    ({ cut, lines, offset }) => {
      const text = Buffer.from(lines.map((line) => `${line}\n`).join(""))
      const memory = new Uint8Array(text.length + offset)
      memory.set(text, offset)
      const counter = RowCounter.make()
      for (let at = offset; at < memory.length; at += cut) counter.update(memory.subarray(at, at + cut))
      assert.strictEqual(counter.rows(), lines.length)
    }
  )

  it("counts a last line without a break", () => {
    const counter = RowCounter.make()
    assert.strictEqual(counter.rows(), 0)
    counter.update(Buffer.from("a\nb"))
    assert.strictEqual(counter.rows(), 2)
    counter.update(Buffer.from("\n"))
    assert.strictEqual(counter.rows(), 2)
  })
})

describe("Route", () => {
  it.prop(
    "decodes each encoded name",
    { names: NonEmpty },
    ({ names: [domain = "d", project = "p", table = "t"] }) => {
      const named = [domain, project, table]
      if (named.some((name) => name === "." || name === ".." || /\p{Surrogate}/u.test(name))) return
      const [d, p, t] = named.map(encodeURIComponent)
      const expected: Route.Route = {
        operation: "upload",
        domain,
        project,
        table,
        period: "January:2024",
        action: "append",
        force: false
      }
      assert.deepStrictEqual(Route.parse("POST", `/biit/api/v1/${d}/${p}/${t}/January%3A2024/append`), expected)
      assert.deepStrictEqual(
        Route.parse("POST", `/biit/api/v2/domains/${d}/projects/${p}/tables/${t}/dates/January:2024/append`),
        expected
      )
    }
  )

  it("takes a target with an origin, a query or neither", () => {
    for (const target of ["/a%20b?c=/d", "http://acme.com/a%20b#c", "/a%20b"]) {
      assert.strictEqual(Route.pathOf(target), "/a%20b")
    }
    assert.strictEqual(Route.pathOf("http://acme.com"), "/")
  })
})

describe("Period", () => {
  it("takes months in full and short, calendar and fiscal years, and current", () => {
    for (const period of ["January:2024", "Jan:FY2024", "may:2024", "SEPTEMBER:fy2024", "current", "Current"]) {
      assert.isTrue(Period.isValid(period), period)
    }
    for (
      const period of [
        "SOMEDATE:2010",
        "January",
        "January:24",
        "January 2024",
        "2024:January",
        "Janu:2024",
        ":2024",
        ""
      ]
    ) {
      assert.isFalse(Period.isValid(period), period)
    }
  })
})
