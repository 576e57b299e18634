import { AxeBuilder } from "@axe-core/playwright"
import { readFile } from "node:fs/promises"
import type { Server } from "node:http"
import { createServer } from "node:http"
import { extname, join, normalize } from "node:path"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { chromium } from "playwright-core"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { build, dist, read } from "../../../src/build.ts"
import { pages } from "../../../src/Pages.ts"
import { faults } from "../../../src/SiteCheck.ts"

// Needs Chromium, which .ci/run installs.

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml"
}

/** What a static host does, and no more. */
const serve = () =>
  createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost")
    const path = normalize(join(dist, decodeURI(pathname.endsWith("/") ? `${pathname}index.html` : pathname)))
    readFile(path.startsWith(dist) ? path : dist).then(
      (body) => response.setHeader("content-type", types[extname(path)] ?? "application/octet-stream").end(body),
      () => response.writeHead(404).end()
    )
  })

let server: Server
let browser: Browser
let origin: string
const complaints: Array<string> = []
const elsewhere: Array<string> = []

beforeAll(async () => {
  build()
  server = serve()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  origin = `http://127.0.0.1:${typeof address === "object" ? address?.port : address}`
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] })
}, 600_000)

afterAll(async () => {
  await browser.close()
  server.close()
})

/** A page of the site. Whatever the browser complains about fails the test, and so does a request that leaves this machine. */
const open = async (path: string, options: BrowserContextOptions = {}): Promise<Page> => {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options })
  const page = await context.newPage()
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text())
  })
  page.on("pageerror", (error) => complaints.push(error.message))
  page.on("request", (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith("data:")) elsewhere.push(request.url())
  })
  page.on("response", (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()} ${response.url()}`)
  })
  await page.goto(`${origin}${path}`, { waitUntil: "networkidle" })
  return page
}

afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()))
  const [problem] = [...complaints.splice(0), ...elsewhere.splice(0).map((url) => `a request to ${url}`)]
  if (problem !== undefined) throw new Error(`the browser says: ${problem}`)
})

const samples = [
  "/",
  "/docs/guides/getting-started.html",
  "/docs/guides/choosing-a-policy.html",
  "/docs/guides/order.html",
  "/packages/deadline/",
  "/reference/deadline/Lease.html",
  "/source/packages/kernel/src/Policy.ts.html"
]

const seriousFaults = async (page: Page) => {
  const { violations } = await new AxeBuilder({ page }).analyze()
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical").flatMap(({ id, nodes }) =>
    nodes.map(({ html }) => `${id}: ${html.slice(0, 160)}`)
  )
}

describe("the site in Chromium", () => {
  it("has a page for each guide and README, and nothing in it leads nowhere", () => {
    const site = read()
    const missing = pages().filter((file) =>
      !site.has(file.replace(/(^|\/)README\.md$/, "$1index.md").replace(/\.md$/, ".html"))
    )
    expect(missing).toEqual([])
    expect(faults(site)).toEqual([])
  })

  it("finds the package for \"retry\" by its search", async () => {
    const page = await open("/")
    await page.keyboard.press("Control+k")
    await page.fill(".VPLocalSearchBox input", "retry")
    await page.waitForSelector(".VPLocalSearchBox .result")
    const titles = await page.locator(".VPLocalSearchBox .result .title").allTextContents()
    expect(titles.some((title) => title.includes("@effect-resilience/retry"))).toBe(true)
    await page.locator(".VPLocalSearchBox .result", { hasText: "@effect-resilience/retry" }).first().click()
    await page.waitForURL(/\/packages\/retry\//)
  })

  it("follows a link of a README to another page, to a heading and to a source", async () => {
    const page = await open("/packages/client/")
    await page.click("main a:text-is('slots of the pipeline')")
    await page.waitForURL(/\/packages\/pipeline\/(?:index\.html)?#the-order$/)
    await page.goto(`${origin}/docs/architecture.html`)
    await page.click("main a:has-text('kernel/Policy') >> nth=0")
    await page.waitForURL(/\/source\/packages\/kernel\/src\/Policy\.ts\.html$/)
    await page.waitForSelector("main h1:has-text('packages/kernel/src/Policy.ts')")
    expect(await page.textContent("main pre")).toContain("export interface Policy")
  })

  it.each(["light", "dark"] as const)("is readable in %s, and axe finds nothing serious", async (colorScheme) => {
    for (const path of samples) {
      const page = await open(path, { colorScheme })
      expect(await page.evaluate(() => document.documentElement.classList.contains("dark"))).toBe(
        colorScheme === "dark"
      )
      expect([path, await seriousFaults(page)]).toEqual([path, []])
    }
  }, 300_000)

  it.each(["/docs/guides/choosing-a-policy.html", "/docs/guides/order.html"])(
    "shows the drawing of %s as large as the column, and follows the switch of the theme",
    async (path) => {
      for (const [width, narrow] of [[360, true], [720, true], [800, false], [1440, false]] as const) {
        const page = await open(path, { viewport: { width, height: 800 }, colorScheme: "light" })
        const shown = async () => {
          const image = page.locator("main picture img").filter({ visible: true }).first()
          await image.scrollIntoViewIfNeeded()
          return image.evaluate(async (element: HTMLImageElement) => {
            await element.decode()
            return { file: element.currentSrc, scale: element.clientWidth / element.naturalWidth }
          })
        }
        const light = await shown()
        expect([width, light.file.includes("-narrow"), light.scale > 0.85]).toEqual([width, narrow, true])
        expect(light.file).toContain("-light")
        await page.evaluate(() => document.documentElement.classList.add("dark"))
        expect((await shown()).file).toContain("-dark")
      }
    },
    120_000
  )

  it("needs no scrolling sideways on a phone", async () => {
    for (const path of samples) {
      const page = await open(path, { viewport: { width: 360, height: 740 } })
      const wide = await page.evaluate(() => document.documentElement.scrollWidth)
      expect([path, wide]).toEqual([path, 360])
    }
  }, 300_000)
})
