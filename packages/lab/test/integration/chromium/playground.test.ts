import { AxeBuilder } from "@axe-core/playwright"
import { execFileSync, spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
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
let origin: string

beforeAll(async () => {
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] })
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

/** The page at an address, once both lanes have a picture. Whatever the browser complains about fails the test. */
const open = async (address = origin, { colorScheme = "light", width = 1280 }: Look = {}): Promise<Page> => {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, reducedMotion: "reduce" })
  const page = await context.newPage()
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text())
  })
  page.on("pageerror", (error) => complaints.push(error.message))
  page.on("dialog", (dialog) => complaints.push(`a dialog: ${dialog.message()}`))
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

const text = (page: Page, part: string) => page.inputValue(`#text-${part}`)

/** As long as a busy machine may take. */
const soon = { timeout: 25_000 }

describe("the page", () => {
  it("asks its question, and tells why in two lanes", async () => {
    const page = await open()
    expect(await page.textContent("h1")).toBe(
      "200 requests a second, capacity 250. An outage of 10 seconds has just ended. Why is it still down?"
    )
    expect(await verdict(page, "yours")).toMatch(/^Never recovers: .* times what the server can take\.$/)
    expect(await verdict(page, "safer")).toMatch(/^Recovers \d+ s after the outage/)
    await page.close()
  })

  it("shows a storm, or a recovery, in each story", async () => {
    const page = await open()
    const titles = await page.locator(".stories li button").allTextContents()
    expect(titles.length).toBeGreaterThanOrEqual(8)
    for (const title of titles) {
      await page.click(`.stories button:text-is("${title}")`)
      await settled(page)
      expect([title, await page.textContent(".story")]).toEqual([title, expect.stringContaining("The surprise:")])
      const same = await picture(page, "yours") === await picture(page, "safer")
      expect([title, same, await page.locator(".problem").count()]).toEqual([title, false, 0])
    }
    await page.close()
  })

  it("keeps controls, form and JSON in step", async () => {
    const page = await open()
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
    await page.close()
  })

  it("takes YAML, and tells what is wrong at its line", async () => {
    const page = await open()
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
    await page.close()
  })

  it("opens a link as it was left", async () => {
    const page = await open()
    await page.fill(".controls input[type=range] >> nth=1", "60")
    await settled(page)
    const first = await picture(page, "yours")
    const again = await open(page.url())
    expect(await picture(again, "yours")).toBe(first)
    expect(await again.inputValue(".controls input[type=range] >> nth=1")).toBe("60")
    await again.close()
    await page.close()
  })

  it("draws in the browser what the command drew in Node", async () => {
    const page = await open()
    await openAll(page)
    await download(page, "outage.json")
    expect(await download(page, "outage.svg")).toBe(run("simulate", "outage.json", "--svg"))
    expect(await download(page, "outage.csv")).toBe(run("simulate", "outage.json", "--csv"))
    expect(await download(page, "result.json")).toBe(run("simulate", "outage.json", "--json"))
    expect(await download(page, "outage-dark.svg")).toContain("<svg")
    await page.close()
  })

  it("takes home a description that the command knows, as JSON and as YAML", async () => {
    const page = await open()
    await openAll(page)
    const json = await download(page, "policy.json")
    await download(page, "policy.yaml")
    const same = (file: string) => run("simulate", file, "--seed", "3", "--csv")
    expect(same("policy.yaml")).toBe(same("policy.json"))
    expect(JSON.parse(json).name).toBe("ledger")
    await page.close()
  })

  it("takes home a test that passes in a project of its own", async () => {
    const page = await open()
    await openAll(page)
    await download(page, "outage.test.ts")
    await page.close()
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

  it("starts with the file that the command was given", async () => {
    writeFileSync(join(directory, "mine.yaml"), "name: mine\nattemptTimeout: 1 second\nretry:\n  times: 1\n")
    const page = await open(await serve(join(directory, "mine.yaml")))
    await expect.poll(() => page.textContent(".controls output"), soon).toBe("1")
    await page.close()
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
      const page = await open(`${origin}/#${hash}`)
      expect(await page.textContent("h1")).toContain("200 requests a second")
      expect(await page.locator("img").count()).toBe(0)
      await page.close()
    })
  }

  it("is text wherever it is shown", async () => {
    const policy = { name: evil, attemptTimeout: "1 second" }
    const page = await open(`${origin}/#${fragment({ ...story, yours: policy, safer: policy })}`)
    await openAll(page)
    expect(await page.locator("img, main script").count()).toBe(0)
    expect(await page.innerHTML(".lane.yours .picture svg title")).toContain("&lt;img")
    expect(await download(page, "outage.svg")).not.toContain("<img")
    // In a test file it is a string.
    expect(await download(page, "outage.test.ts")).toContain(JSON.stringify(evil))
    await page.close()
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
  for (const width of [360, 800, 1440]) {
    for (const colorScheme of ["light", "dark"] as const) {
      it(`finds nothing in the way at ${width} px, ${colorScheme}`, async () => {
        const page = await open(origin, { width, colorScheme })
        await openAll(page)
        await page.click(".stories li button >> nth=1")
        await settled(page)
        const { violations } = await new AxeBuilder({ page }).analyze()
        expect(violations.map(({ help, id, nodes }) => [id, help, nodes.slice(0, 2).map(({ html }) => html)])).toEqual(
          []
        )
        expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth))
          .toBe(0)
        await page.close()
      })
    }
  }

  it("gets everywhere with a keyboard", async () => {
    const page = await open()
    const focused = () =>
      page.evaluate(() => document.activeElement?.closest("label")?.querySelector("span")?.textContent)
    for (let i = 0; i < 20 && await focused() !== "Retries"; i++) await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowLeft")
    await settled(page)
    expect(await page.textContent(".controls output")).toBe("2")
    // The control keeps its focus while everything around it is drawn anew.
    await page.keyboard.press("ArrowLeft")
    await expect.poll(() => page.textContent(".controls output"), soon).toBe("1")
    await page.close()
  })
})
