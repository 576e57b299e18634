import { describe, expect, it } from "vitest"
import { faults } from "../src/SiteCheck.ts"
import { slug } from "../src/Slug.ts"

const heading = (text: string, id = slug(text)) =>
  `<h2 id="${id}" tabindex="-1">${text} <a class="header-anchor" href="#${id}"></a></h2>`

describe("the check", () => {
  it("finds dead links, anchors and pictures, what comes from elsewhere, and headings that are there twice", () => {
    const shared = heading("One") + heading("One", "one-1")
    expect(faults(
      new Map([
        [
          "index.html",
          `${heading("Start")}<a href="/a/#two">a</a><a href="a/b.html">b</a><a href="https://example.com/">c</a>`
        ],
        [
          "a/index.html",
          `${shared}<a href="/#start">s</a><img src="/p.svg"><img src="../q.svg"><a href="../c.html#x">c</a>`
        ],
        [
          "a/b.html",
          `${heading("Start")}<script src="https://example.com/a.js"></script><link href="//example.com/a.css">`
        ],
        ["p.svg", ""]
      ])
    )).toEqual([
      "index.html links to /a/#two, which is no heading",
      "a/index.html links to ../c.html#x, which is no file",
      "a/index.html loads ../q.svg, which is no file",
      "a/index.html has the heading \"One\" twice",
      "a/b.html loads https://example.com/a.js from elsewhere",
      "a/b.html loads //example.com/a.css from elsewhere",
      "two pages have the title \"Start\""
    ])
  })

  it("makes the anchors of a forge", () => {
    expect(["The order", "`TokenCache.make`: what it keeps", "What's `--json`?", "Über & unter_allem"].map(slug))
      .toEqual([
        "the-order",
        "tokencachemake-what-it-keeps",
        "whats---json",
        "über--unter_allem"
      ])
  })
})
