import { AxeBuilder } from "@axe-core/playwright"
import { execFileSync, spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import type { Browser, Page } from "playwright-core"
import { chromium } from "playwright-core"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"

// Needs Chromium, which .ci/run installs, and the built command with its page.
const command = fileURLToPath(new URL("../../../bin/effect-resilience-lab.js", import.meta.url))

const root = fileURLToPath(new URL("../../../../../", import.meta.url))

const directory = mkdtempSync(join(tmpdir(), "playground-"))

const run = (...args: ReadonlyArray<string>) =>
  execFileSync(process.execPath, [command, ...args], { encoding: "utf8", cwd: directory })

const servers: Array<ChildProcess> = []

/** The command that serves the page, and its address. */
const serve = async (...args: ReadonlyArray<string>): Promise<string> => {
  const server = spawn(process.execPath, [command, "--port", "0", ...args], { stdio: ["ignore", "pipe", "inherit"] })
  servers.push(server)
  const [line] = await once(server.stdout, "data")
  return /^listening on (http:\/\/127\.0\.0\.1:\d+)\n$/.exec(String(line))?.[1] ?? `not an address: ${line}`
}

let browser: Browser
let page: Page
let origin: string

beforeAll(async () => {
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] })
  const context = await browser.newContext({ reducedMotion: "reduce" })
  page = await context.newPage()
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text())
  })
  page.on("pageerror", (error) => complaints.push(error.message))
  page.on("dialog", (dialog) => complaints.push(`a dialog: ${dialog.message()}`))
  origin = await serve()
})

afterAll(async () => {
  await browser.close()
  for (const server of servers) server.kill()
  rmSync(directory, { recursive: true, force: true })
})

const complaints: Array<string> = []

afterEach(() => {
  const [complaint] = complaints.splice(0)
  if (complaint !== undefined) throw new Error(`the browser says: ${complaint}`)
})

interface Look {
  readonly width?: number
  readonly colorScheme?: "light" | "dark"
}

/** The page at an address, loaded anew, once both lanes have a picture. Whatever the browser complains about fails the test. */
const open = async (address = origin, { colorScheme = "light", width = 1280 }: Look = {}): Promise<Page> => {
  await page.setViewportSize({ width, height: 740 })
  await page.emulateMedia({ colorScheme })
  await page.goto("about:blank")
  await page.goto(address)
  await settled(page)
  return page
}

const settled = async (page: Page) => {
  await page.waitForSelector(".lane.yours .picture svg")
  await page.waitForSelector(".lane.safer .picture svg")
  await page.waitForSelector("section[aria-busy=false]")
}

const verdict = (page: Page, lane: "yours" | "safer") => page.textContent(`.lane.${lane} .verdict`)

const picture = (page: Page, lane: "yours" | "safer") => page.innerHTML(`.lane.${lane} .picture`)

const openAll = async (page: Page) => {
  for (const title of ["All settings", "Compare and predict", "Take home"]) {
    await page.click(`summary:has-text("${title}")`)
  }
}

const download = async (page: Page, name: string): Promise<string> => {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(`.take button:text-is("${name}")`)])
  expect(file.suggestedFilename()).toBe(name)
  const path = join(directory, name)
  await file.saveAs(path)
  return readFileSync(path, "utf8")
}

/** What a link with this state would be. */
const fragment = (state: unknown): string => Buffer.from(JSON.stringify(state)).toString("base64url")

/** A link with a world that takes no time to simulate. */
const brief = () =>
  `${origin}/#${
    fragment({
      yours: { name: "ledger", attemptTimeout: "1 second", retry: { times: 3 } },
      safer: { name: "ledger", attemptTimeout: "1 second" },
      world: {
        duration: "30 seconds",
        arrivals: { open: { perSecond: 16 } },
        server: { workers: 2, serviceTime: { exponential: "100 millis" } },
        outages: { from: "10 seconds", for: "5 seconds", fault: "down" },
        timeout: "1 second"
      }
    })
  }`

const text = (page: Page, part: string) => page.inputValue(`#text-${part}`)

/** As long as a busy machine may take. */
const soon = { timeout: 25_000 }

describe("the page", () => {
  it("asks its question, and tells why in two lanes", async () => {
    await open()
    expect(await page.textContent("h1")).toBe(
      "200 calls a second, capacity 250. An outage of 10 seconds has just ended. Why is it still down?"
    )
    expect(await verdict(page, "yours")).toMatch(/^Never recovers: .* times what the server can take\.$/)
    expect(await verdict(page, "safer")).toMatch(/^Recovers \d+ s after the outage/)
  })

  it("shows in both lanes what each story claims", async () => {
    await open()
    const shown: { [title: string]: readonly [string, string] } = {}
    for (const title of await page.locator(".stories li button").allTextContents()) {
      await page.click(`.stories button:text-is("${title}")`)
      await settled(page)
      expect([title, await page.textContent(".story")]).toEqual([title, expect.stringContaining("The surprise:")])
      expect([title, await page.locator(".problem").count()]).toEqual([title, 0])
      const of = async (lane: "yours" | "safer") =>
        `${await verdict(page, lane)} ${await page.textContent(`.lane.${lane} summary`)}`
      shown[title] = [await of("yours"), await of("safer")]
    }
    const down = expect.stringMatching(/^Never recovers: .* [1-3]\.\d+ times what the server can take\. \d/)
    const soon = expect.stringMatching(/^Recovers (at once|1?\d s) after/)
    expect(shown).toEqual({
      "Retries that keep an outage alive": [down, soon],
      "The fleet that a usual budget does not save": [down, soon],
      "Retries in three tiers": [
        expect.stringMatching(/ 2\d[.\d]* requests to database/),
        expect.stringMatching(/ [23]\.[.\d]* requests to database/)
      ],
      "A queue that serves the dead": [expect.stringMatching(/^Recovers [4-9]\d s after/), soon],
      "Last in, first out": [down, soon],
      "A breaker that is too eager": [
        expect.stringMatching(/^Recovers [3-6]\d s after .* 5\d % of/),
        expect.stringMatching(/^Recovers at once .* 9\d % of/)
      ],
      "Hedging the tail": [expect.stringMatching(/within 1\.0 s$/), expect.stringMatching(/within 1\d\d ms$/)],
      "A cold cache": [down, expect.stringMatching(/^Recovers [1-3]\d s after/)],
      "Slow is worse than down": [down, soon]
    })
  })

  it("keeps controls, form and JSON in step", async () => {
    await open(brief())
    await openAll(page)
    await page.fill(".controls input[type=range] >> nth=0", "1")
    await settled(page)
    expect(JSON.parse(await text(page, "yours")).retry.times).toBe(1)
    expect(await page.inputValue("#field-yours-retry-times")).toBe("1")
    await page.fill("#text-yours", JSON.stringify({ ...JSON.parse(await text(page, "yours")), retry: { times: 2 } }))
    await expect.poll(() => page.inputValue("#field-yours-retry-times"), soon).toBe("2")
    expect(await page.inputValue(".controls input[type=range] >> nth=0")).toBe("2")
    await page.fill("#field-yours-retry-times", "4")
    await page.press("#field-yours-retry-times", "Tab")
    await expect.poll(async () => JSON.parse(await text(page, "yours")).retry.times, soon).toBe(4)
  })

  it("takes YAML, and tells what is wrong at its line", async () => {
    await open(brief())
    await openAll(page)
    await page.fill("#text-yours", "name: ledger\nattemptTimeout: 1 second\nretry:\n  times: 1\n")
    await expect.poll(() => page.textContent(".controls output"), soon).toBe("1")
    await page.fill("#text-yours", "name: ledger\nretry:\n  tims: 1\n")
    await expect.poll(() => page.textContent("#remarks-yours"), soon).toContain("tims")
    expect(await page.textContent("#remarks-yours")).toMatch(/Line 3 .*times/)
    await page.fill("#text-yours", "name: &a ledger\nother: *a\n")
    await expect.poll(() => page.textContent("#remarks-yours"), soon).toContain("alias")
    // What it cannot read leaves the pictures as they were.
    expect(await page.textContent(".controls output")).toBe("1")
  })

  it("opens a link as it was left", async () => {
    await open(brief())
    await page.fill(".controls input[type=range] >> nth=1", "60")
    await settled(page)
    const first = await picture(page, "yours")
    await open(page.url())
    expect(await picture(page, "yours")).toBe(first)
    expect(await page.inputValue(".controls input[type=range] >> nth=1")).toBe("60")
  })

  it("draws in the browser what the command drew in Node", async () => {
    await open(brief())
    await openAll(page)
    await download(page, "outage.json")
    expect(await download(page, "outage.svg")).toBe(run("simulate", "outage.json", "--svg"))
    expect(await download(page, "outage.csv")).toBe(run("simulate", "outage.json", "--csv"))
    expect(await download(page, "result.json")).toBe(run("simulate", "outage.json", "--json"))
    expect(await download(page, "outage-dark.svg")).toContain("<svg")
  })

  it("takes home a description that the command knows, as JSON and as YAML", async () => {
    await open(brief())
    await openAll(page)
    const json = await download(page, "policy.json")
    await download(page, "policy.yaml")
    const same = (file: string) => run("simulate", file, "--seed", "3", "--csv")
    expect(same("policy.yaml")).toBe(same("policy.json"))
    expect(JSON.parse(json).name).toBe("ledger")
  })

  it("takes home a test that passes in a project of its own", async () => {
    await open()
    await openAll(page)
    await download(page, "outage.test.ts")
    writeFileSync(join(directory, "package.json"), JSON.stringify({ type: "module" }))
    symlinkSync(join(root, "node_modules"), join(directory, "node_modules"))
    const report = execFileSync(process.execPath, [
      join(root, "node_modules/vitest/vitest.mjs"),
      "run",
      "outage.test.ts"
    ], {
      cwd: directory,
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" }
    })
    expect(report).toMatch(/1 passed/)
  })

  it("takes a file that is dropped anywhere for yours", async () => {
    await open(brief())
    const drop = (name: string, content: string) =>
      page.evaluate(([name, content]) => {
        const dataTransfer = new DataTransfer()
        dataTransfer.items.add(new File([content], name))
        document.querySelector("h1")?.dispatchEvent(
          new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true })
        )
      }, [name, content] as const)
    await drop("mine.yaml", "name: mine\nretry:\n  times: 1\n")
    await expect.poll(() => page.textContent(".lane.yours h2"), soon).toContain("1 retry")
    await drop("broken.yaml", "name: mine\nretry:\n  tims: 1\n")
    await expect.poll(() => page.textContent(".problem"), soon).toContain("times")
    await drop("large.yaml", "x".repeat(64_001))
    await expect.poll(() => page.textContent(".problem"), soon).toContain("larger than 64 kB")
    expect(await page.textContent(".lane.yours h2")).toContain("1 retry")
  })

  it("is at most 120 kB of script beside the worker, and has its first pictures in it", () => {
    const html = readFileSync(join(root, "packages/lab/dist/playground.html"), "utf8")
    const script = /<script>([^]*)<\/script>\n<\/body>/.exec(html)?.[1] ?? ""
    expect(script.length).toBeGreaterThan(10_000)
    expect(gzipSync(script).length).toBeLessThan(120_000)
    expect(JSON.parse(/id="runs">(.*)<\/script>/.exec(html)?.[1] ?? "{}")).toHaveProperty("safer.verdict")
  })

  it("starts with the file that the command was given", async () => {
    writeFileSync(join(directory, "mine.yaml"), "name: mine\nattemptTimeout: 1 second\nretry:\n  times: 1\n")
    await open(await serve(join(directory, "mine.yaml")))
    await expect.poll(() => page.textContent(".controls output"), soon).toBe("1")
  })
})

describe("hostile text", () => {
  const story = {
    yours: { name: "ledger" },
    safer: { name: "ledger" },
    world: { duration: "1 minute", arrivals: { open: { perSecond: 10 } } }
  }
  const evil = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"

  for (
    const [name, hash] of [
      ["no base64", "%%%"],
      ["no JSON", Buffer.from("{").toString("base64url")],
      ["no object", fragment(null)],
      ["an unknown option", fragment({ ...story, yours: { name: "ledger", [evil]: evil } })],
      [
        "a million calls a second",
        fragment({ ...story, world: { ...story.world, arrivals: { open: { perSecond: 1e6 } } } })
      ],
      ["a million servers behind another", fragment({ ...story, world: { ...story.world, tiers: [{ name: evil }] } })],
      ["100 kB", fragment({ ...story, pad: "x".repeat(100_000) })],
      ["a prototype", Buffer.from(`{"yours":{"__proto__":{"name":"x"}},"safer":{},"world":{}}`).toString("base64url")]
    ] as const
  ) {
    it(`does not show a link with ${name}`, async () => {
      await open(`${origin}/#${hash}`)
      expect(await page.textContent("h1")).toContain("200 calls a second")
      expect(await page.locator("img").count()).toBe(0)
    })
  }

  it("is text wherever it is shown", async () => {
    const policy = { name: evil, attemptTimeout: "1 second" }
    await open(`${origin}/#${fragment({ ...story, yours: policy, safer: policy })}`)
    await openAll(page)
    expect(await page.locator("img, main script").count()).toBe(0)
    expect(await page.innerHTML(".lane.yours .picture svg title")).toContain("&lt;img")
    expect(await download(page, "outage.svg")).not.toContain("<img")
    // In a test file it is a string.
    expect(await download(page, "outage.test.ts")).toContain(JSON.stringify(evil))
  })

  it("gets nothing from the server under another name or from another site", async () => {
    const get = async (path: string, headers: Record<string, string>, method = "GET") =>
      (await import("node:http")).request(`${origin}${path}`, { method, headers })
    const status = async (path: string, headers: Record<string, string>, method = "GET") => {
      const request = await get(path, headers, method)
      request.end()
      const [response] = await once(request, "response")
      response.resume()
      return response.statusCode as number
    }
    expect(await status("/", {})).toBe(200)
    expect(await status("/", { host: "evil.example" })).toBe(403)
    expect(await status("/", { origin: "http://evil.example" })).toBe(403)
    expect(await status("/file", {})).toBe(204)
    expect(await status("/../package.json", {})).toBe(404)
    expect(await status("/", {}, "POST")).toBe(405)
  })
})

describe("everybody", () => {
  const looks = [{ width: 360, colorScheme: "light" }, { width: 1440, colorScheme: "dark" }] as const
  for (const { colorScheme, width } of looks) {
    it(`finds nothing in the way at ${width} px, ${colorScheme}`, async () => {
      await open(brief(), { width, colorScheme })
      await openAll(page)
      await page.click("button:text-is('Calculate')")
      await page.waitForSelector(".compare span:text-is('done')")
      const { violations } = await new AxeBuilder({ page }).analyze()
      expect(violations.map(({ help, id, nodes }) => [id, help, nodes.slice(0, 2).map(({ html }) => html)])).toEqual([])
    })
  }

  it("finds the page as wide as the window, and three controls on the first screen of a phone", async () => {
    await open(origin, { width: 360 })
    for (const control of await page.locator(".controls input, .controls select").all()) {
      const { height = 0, y = 1000 } = await control.boundingBox() ?? {}
      expect(y + height).toBeLessThanOrEqual(740)
    }
    await page.click(".stories li button >> nth=1")
    await openAll(page)
    for (const width of [360, 800, 1440]) {
      await page.setViewportSize({ width, height: 740 })
      expect([width, await page.evaluate(() => document.documentElement.scrollWidth)]).toEqual([width, width])
    }
  })

  it("sees the first screen move before it is read, without a shift of what stands there", async () => {
    const context = await browser.newContext({ reducedMotion: "no-preference" })
    const moving = await context.newPage()
    await moving.addInitScript(() => {
      Object.assign(globalThis, { shift: 0 })
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
          Object.assign(globalThis, { shift: Reflect.get(globalThis, "shift") + Reflect.get(entry, "value") })
        }
      }).observe({ type: "layout-shift", buffered: true })
    })
    await moving.goto(origin)
    await moving.waitForSelector(".picture svg")
    const running = () => document.getAnimations().map((animation) => (animation as CSSAnimation).animationName)
    expect(await moving.evaluate(running)).toContain("reveal")
    await moving.fill(".controls input[type=range] >> nth=0", "2")
    await settled(moving)
    expect(await moving.evaluate(() => Reflect.get(globalThis, "shift"))).toBeLessThan(0.02)
    await context.close()
  })

  it("gets everywhere with a keyboard", async () => {
    await open()
    const focused = () =>
      page.evaluate(() => document.activeElement?.closest("label")?.querySelector("span")?.textContent)
    for (let i = 0; i < 20 && await focused() !== "Retries"; i++) await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowLeft")
    await settled(page)
    expect(await page.textContent(".controls output")).toBe("2")
    // The control keeps its focus while everything around it is drawn anew.
    await page.keyboard.press("ArrowLeft")
    await expect.poll(() => page.textContent(".controls output"), soon).toBe("1")
  })
})
