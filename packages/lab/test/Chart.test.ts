import * as Chart from "@effect-resilience/lab/Chart"
import { describe, expect, it } from "vitest"

const second = (offered: number, sent: number, good: number, open?: number) => ({ offered, sent, good, open })

const data: Chart.Data = {
  title: "Three retries",
  seconds: [second(10, 10, 10), second(10, 40, 0, 0.5), second(10, 40, 0, 1), second(10, 10, 10, 0)],
  capacity: 20,
  outages: [{ from: 1, to: 3 }]
}

/** The points of a line, as x and y. */
const points = (svg: string, name: string): ReadonlyArray<ReadonlyArray<number>> =>
  (new RegExp(`class="${name}" d="M([^"Z]*)"`).exec(svg.slice(svg.indexOf("grid")))?.[1] ?? "")
    .split("L").map((point) => point.split(" ").map(Number))

describe("Chart", () => {
  it("gives the same bytes for the same numbers", () => {
    expect(Chart.svg(data)).toBe(Chart.svg({ ...data, seconds: data.seconds.map((one) => ({ ...one })) }))
  })

  it("draws every second, the larger the higher, within the picture", () => {
    for (const width of [240, 360, 1440]) {
      const sent = points(Chart.svg(data, { width }), "sent")
      expect(sent).toHaveLength(4)
      for (const [x = -1, y = -1] of sent) expect(x > 0 && x < width && y > 0 && y < 220).toBe(true)
      expect(sent[1]?.[1]).toBeLessThan(sent[0]?.[1] ?? 0)
      expect(sent[1]?.[1]).toBe(sent[2]?.[1])
    }
  })

  it("escapes foreign text, and leaves out what no XML may hold", () => {
    const svg = Chart.svg({ ...data, title: "</title><script>alert(1)</script>\u0000\u001b", summary: "\"'&" })
    expect(svg).toContain("<title>&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;</title>")
    expect(svg).toContain("<desc>&quot;&#39;&amp;</desc>")
  })

  it("draws nothing that is no number where nothing happened", () => {
    for (const seconds of [[], [second(0, 0, 0)]]) {
      expect(Chart.svg({ title: "nothing", seconds })).not.toMatch(/NaN|Infinity|undefined/)
    }
  })

  it("shows the ribbon of breakers only where there are any", () => {
    expect(Chart.svg(data)).toContain("breaker")
    expect(Chart.svg({ ...data, seconds: [second(1, 1, 1)] })).not.toContain("breaker")
  })

  it("brings its colours, those of one theme, or none", () => {
    expect(Chart.svg(data)).toContain("prefers-color-scheme")
    expect(Chart.svg(data, { theme: "dark" })).not.toContain("prefers-color-scheme")
    expect(Chart.svg(data, { style: false })).not.toContain("<style>")
  })
})
