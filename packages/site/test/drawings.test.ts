import { order as slots } from "@effect-resilience/pipeline/Slot"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { root } from "../../repo-checks/src/Workspace.ts"
import { choosing, symptoms } from "../src/drawings/choosing.ts"
import { svg } from "../src/drawings/Drawing.ts"
import { files, present } from "../src/drawings/main.ts"
import { clientCalls, order } from "../src/drawings/order.ts"
import { themed } from "../src/pictures.ts"

const engine = readFileSync(join(root, "packages/client/src/internal/engine.ts"), "utf8")

/** The names in a drawing, from above. */
const names = (drawing: string): ReadonlyArray<string> =>
  [...drawing.matchAll(/<text class="name"[^>]*>([^<]*)</g)].map(([, name = ""]) => name)

it("the drawings and their pages are as npm run pictures writes them, small, and no others are there", () => {
  const drawn = files()
  for (const { file, text } of drawn) {
    expect([file, readFileSync(file, "utf8") === text]).toEqual([file, true])
    expect([file, file.endsWith(".md") || text.length < 20_000]).toEqual([file, true])
  }
  expect(present().toSorted()).toEqual(drawn.map(({ file }) => file).filter((file) => file.endsWith(".svg")).toSorted())
})

describe("the drawing of the order", () => {
  it.each(["wide", "narrow"] as const)("has the slots in their order, and in words too (%s)", (width) => {
    const drawing = order()
    const isSlot = (name: string) => slots.some((slot) => slot === name)
    expect(names(svg(drawing, width, "light")).filter(isSlot)).toEqual([...slots])
    expect(drawing.alternative.split(/[,.:;] /).filter(isSlot)).toEqual([...slots])
  })

  it("follows the source of the client", () => {
    const { above, below } = clientCalls(engine)
    expect(above).toEqual([
      "Idempotency.withKeyUnsafe",
      "Redaction.provide",
      "AccessLog.logCall",
      "Telemetry.observeCall"
    ])
    const [log, span] = ["accessLog.attempts ? AccessLog.logAttempts", "telemetry.attempts ? Telemetry.observeAttempts"]
    const other = engine.replace(log, "SWAPPED").replace(span, log).replace("SWAPPED", span)
    expect(other).not.toBe(engine)
    const swapped = clientCalls(other).below
    expect(swapped.indexOf("AccessLog.logAttempts") - swapped.indexOf("Telemetry.observeAttempts")).toBe(1)
    expect(below.indexOf("AccessLog.logAttempts") - below.indexOf("Telemetry.observeAttempts")).toBe(-1)
  })

  it("does not leave out a layer that it has no words for, nor keep one that is gone", () => {
    expect(() => clientCalls(engine.replace("ResponseLifetime.attempts\n", "Metering.attempts\n"))).toThrow(
      "no words for Metering.attempts"
    )
    expect(() =>
      clientCalls(engine.replace("? withDeadlineHeaders(addressed, fiber) : addressed", "? addressed : addressed"))
    )
      .toThrow("no longer has withDeadlineHeaders")
  })
})

describe("the chart", () => {
  const list = "- **A <call> fails**\n  - and is a read: [`retry` & budget](../x.md)\n  - else: nothing\n"

  it("is read from a list of Markdown, and nothing in it is left out", () => {
    expect(symptoms(list)).toEqual([{
      words: "A <call> fails",
      cases: [{ when: "and is a read", policy: "retry & budget" }, { when: "else", policy: "nothing" }]
    }])
    expect(() => symptoms("- **A**\n  - without a policy\n")).toThrow("no line of the chart:   - without a policy")
  })

  it.each(["wide", "narrow"] as const)("escapes what it draws, and has every line (%s)", (width) => {
    const drawing = svg(choosing(list), width, "dark")
    expect(names(drawing)).toEqual(["What goes wrong?", "A &lt;call&gt; fails", "retry &amp; budget", "nothing"])
  })
})

describe("a picture on the site", () => {
  it("becomes one for light and one for dark, which keep what is for phones", () => {
    const picture = `<picture>
  <source media="(max-width: 767px) and (prefers-color-scheme: dark)" srcset="nd.svg">
  <source
    media="(max-width: 767px)"
    srcset="nl.svg"
  >
  <source media="(prefers-color-scheme: dark)" srcset="d.svg">
  <img src="l.svg" alt="a">
</picture>`
    expect(themed(picture).replaceAll(/\s+/g, " ")).toBe(
      "<picture class=\"in-light\"> <source media=\"(max-width: 767px)\" srcset=\"nl.svg\" > <img loading=\"lazy\" src=\"l.svg\" alt=\"a\"> </picture>" +
        "<picture class=\"in-dark\"> <source media=\"(max-width: 767px)\" srcset=\"nd.svg\"> <img loading=\"lazy\" src=\"d.svg\" alt=\"a\"> </picture>"
    )
    expect(themed("<picture><img src=\"l.svg\"></picture>")).toBe("<picture><img src=\"l.svg\"></picture>")
  })
})
