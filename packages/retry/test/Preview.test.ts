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

  it("prints a table, whose times have three digits, and a plot with the wait of each retry in its place", () => {
    const preview = Preview.make({
      times: 9,
      backoff: Backoff.list([7, "1234 millis", "61 seconds", "61 seconds", "1 hour"]),
      maxDuration: "100 seconds"
    }, { samples: 8 })
    assert.deepStrictEqual(preview.retries.map(({ made }) => made), [1, 1, 1])
    assert.deepStrictEqual([preview.samples, preview.seed], [8, 1])
    assert.deepStrictEqual(Preview.table(preview).split("\n"), [
      "retry      min      5 %     25 %   median     75 %     95 %      max  made",
      "1          7ms      7ms      7ms      7ms      7ms      7ms      7ms  100%",
      "2        1.23s    1.23s    1.23s    1.23s    1.23s    1.23s    1.23s  100%",
      "3      1.02min  1.02min  1.02min  1.02min  1.02min  1.02min  1.02min  100%",
      "total  1.04min  1.04min  1.04min  1.04min  1.04min  1.04min  1.04min      "
    ])
    const at = (bin: number) => `${" ".repeat(bin)}█${" ".repeat(59 - bin)}`
    assert.deepStrictEqual(Preview.plot(preview).split("\n"), [
      `    1 │${at(0)}│ median 7ms`,
      `    2 │${at(1)}│ median 1.23s`,
      `    3 │${at(59)}│ median 1.02min`,
      `      └${"─".repeat(60)}┘`,
      `       0${" ".repeat(52)}1.02min`
    ])
  })

  it("changes the unit where the next one begins", () => {
    const medians = (backoff: Backoff.Options) =>
      Preview.make({ times: 4, backoff, maxDuration: Infinity }, { samples: 1 })
    assert.deepStrictEqual(
      Preview.plot(medians(Backoff.list([999, 1000, 59_999, 60_000]))).match(/median .*/g),
      ["median 999ms", "median 1s", "median 60s", "median 1min"]
    )
  })

  it("draws a picture to scale, with the heights of a histogram's shares", () => {
    // Every fourth call waits 100 ms, the others 400 ms.
    let draw = 0
    const backoff = Backoff.custom(({ retry }) => retry === 1 && draw++ % 4 === 0 ? 100 : 400)
    const preview = Preview.make({ times: 2, backoff, maxDuration: Infinity }, { samples: 8 })
    assert.deepStrictEqual([15, 59].map((bin) => preview.retries[0]?.histogram[bin]), [2, 6])
    assert.match(Preview.plot(preview), /^    1 │ {15}▃ {43}█│ median 400ms\n/)
    const svg = Preview.svg(preview, "waits").split("\n")
    const points = (line: number) =>
      (/points="([^"]*)"/.exec(svg[line] ?? "")?.[1] ?? "").split(" ").map((point) => point.split(",").map(Number))
    assert.deepStrictEqual(svg.filter((line) => !/[{}]|style|polygon/.test(line)), [
      `<svg xmlns="http://www.w3.org/2000/svg" width="720" height="184" viewBox="0 0 720 184" role="img">`,
      "<title>waits</title>",
      `<rect width="720" height="184"/>`,
      `<text x="60" y="24" font-weight="600">waits</text>`,
      `<text class="axis" x="60" y="42">waits in all: median 800ms, 95 % 800ms, at most 800ms</text>`,
      `<text class="label" x="50" y="88" text-anchor="end">1</text>`,
      `<line class="median" x1="610" x2="610" y1="62" y2="92"/>`,
      `<text x="620" y="88">400ms</text>`,
      `<text class="label" x="50" y="132" text-anchor="end">2</text>`,
      `<line class="median" x1="610" x2="610" y1="106" y2="136"/>`,
      `<text x="620" y="132">400ms</text>`,
      `<line class="base" x1="60" x2="610" y1="146" y2="146"/>`,
      `<text class="axis" x="60" y="164">0</text>`,
      `<text class="axis" x="610" y="164" text-anchor="end">400ms</text>`,
      "</svg>",
      ""
    ])
    const first = points(svg.findIndex((line) => line.startsWith("<polygon")))
    assert.deepStrictEqual([first[0], first.at(-1), first.length], [[60, 92], [610, 92], 122])
    assert.deepStrictEqual(first.filter(([, y]) => y !== 92), [[197.5, 82], [206.7, 82], [600.8, 62], [610, 62]])
  })

  it("counts a retry that ends exactly with the time, and draws from seed 1 unless told otherwise", () => {
    const policy = { times: 3, backoff: Backoff.constant("1 second"), maxDuration: 2000 }
    assert.strictEqual(Preview.make(policy, { samples: 1 }).retries.length, 2)
    assert.deepStrictEqual(
      Preview.make(RetryPolicy.aws, { samples: 9 }),
      Preview.make(RetryPolicy.aws, { samples: 9, seed: 1 })
    )
  })

  it("rejects numbers that make no sense", () => {
    const rule = "Preview.samples must be an integer of at least 1, not"
    assert.throws(() => Preview.make(RetryPolicy.aws, { samples: 0 }), RangeError, `${rule} 0`)
    assert.throws(() => Preview.make(RetryPolicy.aws, { samples: 1.5 }), RangeError, `${rule} 1.5`)
    const policy = { times: 1, backoff: {}, maxDuration: 1 }
    assert.throws(() => Preview.make({ ...policy, maxDuration: -1 }), RangeError, "Preview.maxDuration")
    assert.throws(() => Preview.make({ ...policy, backoff: { cap: 1 } }), RangeError, "Preview.backoff.cap")
    assert.throws(() => Preview.make({ ...policy, kinds: { expired: { times: -1 } } }), RangeError, "Preview.kinds")
  })
})
