import { Backoff, Preview, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"

describe("Preview", () => {
  it("gives the same distribution for the same seed, and another for another", () => {
    const preview = (seed: number) => Preview.make(RetryPolicy.standard, { seed, samples: 500 })
    assert.deepStrictEqual(preview(3), preview(3))
    assert.notDeepEqual(preview(3).total, preview(4).total)
  })

  it("has the quantiles of full jitter", () => {
    const { retries } = Preview.make(RetryPolicy.aws)
    assert.strictEqual(retries.length, 2)
    for (const [index, upper] of [1000, 2000].entries()) {
      const row = retries[index]
      assert.isDefined(row)
      for (const [share, duration] of [[0.25, row.p25], [0.5, row.median], [0.75, row.p75], [0.95, row.p95]] as const) {
        assert.closeTo(Duration.toMillis(duration), share * upper, upper * 0.02)
      }
      assert.strictEqual(row.histogram.reduce((sum, count) => sum + count, 0), 10_000)
    }
  })

  it("tells how many calls come as far as each retry within the policy's time", () => {
    const policy = RetryPolicy.make({ times: 5, backoff: Backoff.constant("1 second"), maxDuration: "2500 millis" })
    assert.deepStrictEqual(Preview.make(policy).retries.map(({ made }) => made), [1, 1])
    const shares = Preview.make(RetryPolicy.google, { samples: 1000 }).retries.map(({ made }) => made)
    assert.deepStrictEqual(shares, shares.toSorted((a, b) => b - a))
    assert.isBelow(shares.at(-1) ?? 1, 1)
  })

  it("ends for a policy without end, and shows one without retries", () => {
    assert.strictEqual(Preview.make(RetryPolicy.make({ times: Infinity }), { samples: 10 }).retries.length, 24)
    const none = Preview.make(RetryPolicy.noop, { samples: 10 })
    assert.deepStrictEqual(none.retries, [])
    assert.include(Preview.table(none), "total  0ms")
    assert.include(Preview.plot(none), "└")
    assert.include(Preview.svg(none, "none"), "</svg>")
    assert.include(Preview.plot(Preview.make(RetryPolicy.make({ backoff: Backoff.immediate }))), "median 0ms")
  })

  it("draws every retry as a line of the plot and a row of the picture", () => {
    const preview = Preview.make(RetryPolicy.polly)
    assert.strictEqual(Preview.plot(preview).match(/│.{60}│ median/g)?.length, 3)
    const svg = Preview.svg(preview, `<polly> & "co"`)
    assert.strictEqual(svg.match(/<polygon/g)?.length, 3)
    assert.include(svg, "<title>&#60;polly&#62; &#38; &#34;co&#34;</title>")
    assert.notInclude(svg, "NaN")
  })

  it("rejects a number of samples that makes no sense", () => {
    assert.throws(() => Preview.make(RetryPolicy.aws, { samples: 0 }), RangeError)
  })
})
