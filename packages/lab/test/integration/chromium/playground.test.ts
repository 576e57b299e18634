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
import { stories } from "../../../playground/src/stories.ts"

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
}, 60_000)

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

const openSettings = (page: Page) =>
  page.locator("details.setting").evaluateAll((all) => all.forEach((one) => one.setAttribute("open", "")))

const download = async (page: Page, name: string): Promise<string> => {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(`.take button:text-is("${name}")`)])
  expect(file.suggestedFilename()).toBe(name)
  const path = join(directory, name)
  await file.saveAs(path)
  return readFileSync(path, "utf8")
}

/** What a link with this state would be. */
const fragment = (state: unknown): string => `1.${Buffer.from(JSON.stringify(state)).toString("base64url")}`

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

/** What the form of a part shows that its JSON does not say, or the other way round. */
const differences = (page: Page, part: string) =>
  page.evaluate((part) => {
    const area = document.querySelector<HTMLTextAreaElement>(`#text-${part}`)
    const json: unknown = JSON.parse(area?.value ?? "null")
    const fields = [
      ...area?.closest(".sides")?.querySelectorAll<HTMLInputElement>("form :is(input, select)[id^=field-]") ?? []
    ]
    const shown = fields.map(({ id, value }) => [id, value] as const)
    const written = shown.map(([id]) => {
      const value = id.split("-").slice(2).reduce<unknown>(
        (at, key) => typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined,
        json
      )
      return [id, value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value)] as const
    })
    return { fields: fields.length, differ: written.filter(([, value], i) => value !== shown[i]?.[1]) }
  }, part)

const storyTitles = stories.map(({ title }) => title)

const tell = async (page: Page, title: string) => {
  await page.click(`.stories button:text-is("${title}")`)
  await settled(page)
}

/** As long as a busy machine may take. */
const soon = { timeout: 25_000 }

describe("the page", () => {
  it("asks its question, and tells why in two lanes", async () => {
    await open()
    expect(await page.textContent("h1")).toBe(
      "200 calls a second; the server can take 250. After an outage of 10 seconds, why is it still down?"
    )
    expect(await verdict(page, "yours")).toMatch(
      /^Never recovers: .* 3\.\d+ times what the server can take, so its responses come after callers have given up and sent again\.$/
    )
    expect(await verdict(page, "safer")).toMatch(/^Recovers \d+ s after the outage/)
  })

  it("shows in both lanes what each story claims", async () => {
    await open()
    const shown: { [title: string]: readonly [string, string] } = {}
    expect(await page.locator(".stories li button").allTextContents()).toEqual(storyTitles)
    for (const title of storyTitles) {
      await tell(page, title)
      expect([title, await page.textContent(".story")]).toEqual([title, expect.stringContaining("The surprise:")])
      expect([title, await page.locator(".problem").count()]).toEqual([title, 0])
      const of = async (lane: "yours" | "safer") =>
        `${await verdict(page, lane)} ${await page.textContent(`.lane.${lane} summary`)}`
      shown[title] = [await of("yours"), await of("safer")]
    }
    const down = expect.stringMatching(/^Never recovers: .* [1-3]\.\d+ times what the server can take.*\. \d/)
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
        expect.stringMatching(/^Recovers [3-6]\d s after .* 5\d % of calls/),
        expect.stringMatching(/^Recovers at once .* 9\d % of calls/)
      ],
      "Retries without jitter arrive in waves": [
        expect.stringMatching(/^4\.\d+ requests for each call.* [34]\d % of calls/),
        expect.stringMatching(/^2\.\d+ requests for each call.* 100 % of calls/)
      ],
      "Calls that matter first": [
        expect.stringMatching(/during which 4\d % of the calls succeeded.*bulk: 8\d %/),
        expect.stringMatching(/during which (100|all|99)\b.* succeeded.*bulk: 7\d %/)
      ],
      "Hedging the tail": [
        expect.stringMatching(/^1 request for each call; .* in 1\.0 s\)$/),
        expect.stringMatching(/^1\.0[1-3] requests for each call; .* in 1\d\d ms\)$/)
      ],
      "A cold cache": [down, expect.stringMatching(/^Recovers [1-3]\d s after/)],
      "A slow server is kept busy by its callers": [down, soon]
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

  it("shows each story as form and as JSON alike", async () => {
    await open(brief())
    await openAll(page)
    for (const { scenario, title } of stories) {
      await tell(page, title)
      await openSettings(page)
      for (const part of Object.keys(scenario)) {
        expect([title, JSON.parse(await text(page, part))]).toEqual([title, Reflect.get(scenario, part)])
        const { differ, fields } = await differences(page, part)
        expect([title, part, differ]).toEqual([title, part, []])
        expect(fields).toBeGreaterThan(0)
      }
      expect(await page.locator(".setting").count()).toBe(Object.keys(scenario).length)
      // A short world, so that what follows takes no time.
      await page.fill("#text-world", JSON.stringify({ ...scenario.world, duration: "5 seconds", seed: 7 }))
      await expect.poll(() => page.inputValue("#field-world-seed"), soon).toBe("7")
      await page.fill("#field-world-seed", "8")
      await page.press("#field-world-seed", "Tab")
      await expect.poll(async () => JSON.parse(await text(page, "world")).seed, soon).toBe(8)
      expect([title, (await differences(page, "world")).differ]).toEqual([title, []])
    }
  }, 240_000)

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
    for (const theme of ["light", "dark"]) {
      const drawn = await download(page, `outage-${theme}.svg`)
      expect(drawn).toBe(run("simulate", "outage.json", "--svg", "--theme", theme))
      expect(drawn).not.toContain("prefers-color-scheme")
    }
  })

  it("shows a command line that gives the same bytes", async () => {
    await open(brief())
    await openAll(page)
    await download(page, "outage.json")
    const drawn = await download(page, "outage.svg")
    const shown = await page.textContent(".take code") ?? ""
    const [first = "", ...others] = shown.split("\n")
    expect(first).toMatch(/^npx -p @effect-resilience\/lab effect-resilience-lab simulate outage\.json --svg > /)
    for (const line of [first, ...others]) {
      const own = line.replace(/^npx \S+ \S+ \S+/, `"${process.execPath}" "${command}"`)
      execFileSync("sh", ["-c", own.replace("> ", "> shell-")], { cwd: directory })
    }
    expect(readFileSync(join(directory, "shell-outage.svg"), "utf8")).toBe(drawn)
    for (const name of ["outage-light.svg", "outage-dark.svg", "outage.csv", "result.json"]) {
      expect([name, await download(page, name)]).toEqual([name, readFileSync(join(directory, `shell-${name}`), "utf8")])
    }
  })

  it("copies a link that opens as it was left", async () => {
    await open(brief())
    await openAll(page)
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin })
    await page.fill(".controls input[type=range] >> nth=0", "1")
    await settled(page)
    const first = await picture(page, "yours")
    await page.click("button:text-is('Copy the link')")
    await expect.poll(() => page.textContent(".take"), soon).toContain("The link copied.")
    const link = await page.evaluate(() => navigator.clipboard.readText())
    expect(link).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#1\./)
    await open(link)
    expect(await picture(page, "yours")).toBe(first)
  })

  it("takes home a description that the command knows, as JSON and as YAML", async () => {
    await open(brief())
    await openAll(page)
    const json = await download(page, "policy.json")
    await download(page, "policy.yaml")
    const same = (file: string) => run("simulate", file, "--seed", "3", "--csv")
    expect(same("policy.yaml")).toBe(same("policy.json"))
    expect(JSON.parse(json).name).toBe("ledger")
    expect(JSON.parse(await download(page, "safer.json"))).toEqual({ name: "ledger", attemptTimeout: "1 second" })
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
    await expect.poll(() => page.textContent("[role=status].notice"), soon).toContain("times")
    await drop("large.yaml", "x".repeat(64_001))
    await expect.poll(() => page.textContent("[role=status].notice"), soon).toContain("larger than 64 kB")
    expect(await page.textContent(".lane.yours h2")).toContain("1 retry")
  })

  it("shows a world without an outage", async () => {
    await open(brief())
    await openAll(page)
    await openSettings(page)
    await page.fill("#text-world", JSON.stringify({ ...JSON.parse(await text(page, "world")), outages: [] }))
    await expect.poll(() => page.textContent("h1"), soon).toBe(
      "16 calls a second; the server can take 20. What happens?"
    )
    await settled(page)
    expect(await verdict(page, "yours")).toMatch(
      /^1(\.\d+)? requests? for each call; 99 % of the good calls take at most/
    )
    expect(await page.inputValue("#field-world-outages")).toBe("[]")
    expect(await page.locator(".lane.yours svg .outage").count()).toBe(0)
    await page.click("button:text-is('Calculate')")
    expect(await page.textContent(".no-map")).toContain("without an outage there is nothing to recover from")
  })

  it("draws the boundary of recovery, with the reader's point on its map", async () => {
    await open()
    await openAll(page)
    await page.click("button:text-is('Calculate')")
    await page.waitForSelector(".compare span:text-is('done')", { timeout: 400_000 })
    const maps = page.locator(".map")
    expect(await maps.count()).toBe(2)
    const yours = await maps.first().locator("tbody tr").evaluateAll((rows) =>
      rows.map((row) => [...row.querySelectorAll("td")].map((cell) => cell.textContent))
    )
    // A second is survived at any load, and ten at little load: there is a boundary, and the story is beyond it.
    expect(yours[0]).toEqual(yours[0]?.map(() => "0 s"))
    expect(yours[3]?.[0]).toMatch(/^\d+ s$/)
    expect(await maps.first().locator(".here").textContent()).toBe("never")
    expect(await maps.last().locator(".here").textContent()).toMatch(/^\d+ s$/)
    expect(await maps.first().locator(".edge-left, .edge-above").count()).toBeGreaterThan(3)
    expect(await page.textContent(".boundary")).toMatch(
      /^At a load of 80 %, calls succeed again after 1 s of outage, and after 2 s never\. After an outage of 10 s, calls succeed again up to a load of \d0 %, and at \d0 % never\.$/
    )
    expect(await page.locator(".seeds").first().textContent()).toMatch(/20 seeds:(never){20}$/)
  }, 420_000)

  it("is at most 120 kB of script beside the worker, and has its first pictures in it", () => {
    const html = readFileSync(join(root, "packages/lab/dist/playground.html"), "utf8")
    const script = /<script>([^]*)<\/script>\n<\/body>/.exec(html)?.[1] ?? ""
    expect(script.length).toBeGreaterThan(10_000)
    expect(gzipSync(script).length).toBeLessThan(120_000)
  })

  it("has its first pictures in it, before a worker has said a word", async () => {
    const context = await browser.newContext()
    const silent = await context.newPage()
    await silent.addInitScript(() =>
      Object.assign(globalThis, {
        Worker: class {
          addEventListener() {}
          postMessage() {}
        }
      })
    )
    await silent.goto(origin)
    await silent.waitForSelector(".lane.yours .picture svg")
    const shipped = [await picture(silent, "yours"), await picture(silent, "safer"), await verdict(silent, "yours")]
    await context.close()
    // They are what the worker makes of the same scenario.
    await open(`${origin}/#${fragment(stories[0].scenario)}`, { width: 1280 })
    await page.setViewportSize({ width: 1280, height: 720 })
    expect(await verdict(page, "yours")).toBe(shipped[2])
    expect([await picture(page, "yours"), await picture(page, "safer")]).toEqual(shipped.slice(0, 2))
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

  const raw = (text: string) => `1.${Buffer.from(text).toString("base64url")}`

  const bursts = (calls: number) => ({ bursts: { calls, every: "1 second" } })

  for (
    const [name, hash, why] of [
      ["no version", Buffer.from(JSON.stringify(story)).toString("base64url"), "it was not made by this page"],
      ["another version", `2.${Buffer.from("{}").toString("base64url")}`, "it is from another version of this page"],
      ["no base64", "1.%%%", "a part of it is missing or damaged"],
      ["no JSON", raw("{"), "a part of it is missing or damaged"],
      ["its end cut off", fragment(story).slice(0, 60), "a part of it is missing or damaged"],
      ["no object", fragment(null), "a part of it is missing or damaged"],
      ["no parts", fragment({}), "This is not an object"],
      [
        "an unknown option",
        fragment({ ...story, yours: { name: "ledger", [evil]: evil } }),
        "has no option"
      ],
      [
        "a million calls a second",
        fragment({ ...story, world: { ...story.world, arrivals: { open: { perSecond: 1e6 } } } }),
        "at most 500,000 calls"
      ],
      [
        "a billion calls at once",
        fragment({ ...story, world: { ...story.world, arrivals: bursts(1e9) } }),
        "at most 500,000 calls"
      ],
      [
        "a billion clients",
        fragment({
          ...story,
          world: { ...story.world, arrivals: { closed: { clients: 1e9, thinkTime: "1 second" } } }
        }),
        "at most 500,000 calls"
      ],
      [
        "a billion calls of others",
        fragment({ ...story, world: { ...story.world, others: { bulk: { arrivals: bursts(1e9) } } } }),
        "at most 500,000 calls"
      ],
      [
        "a server without its options behind another",
        fragment({ ...story, world: { ...story.world, tiers: [{ name: evil }] } }),
        "tiers"
      ],
      ["100 kB", fragment({ ...story, pad: "x".repeat(100_000) }), "it is longer than 64 kB"],
      ["a prototype", raw(`{"yours":{"__proto__":{"name":"x"}},"safer":{},"world":{}}`), "name"]
    ] as const
  ) {
    it(`does not show a link with ${name}, and says why`, async () => {
      await open(`${origin}/#${hash}`)
      expect(await page.textContent("h1")).toContain("200 calls a second")
      expect(await page.locator("img").count()).toBe(0)
      const notice = await page.textContent(".notice[role=status]") ?? ""
      expect(notice).toMatch(/^The link cannot be shown: .*[^.]\. What you see is not from it\.$/)
      expect(notice).toContain(why)
    })
  }

  it("says nothing of a link that can be shown, or once something else is", async () => {
    await open(brief())
    expect(await page.textContent(".notice")).toBe("")
    await page.evaluate(() => location.replace("#1.%%%"))
    await expect.poll(() => page.textContent(".notice"), soon).toContain("The link cannot be shown")
    await settled(page)
    // What was there before is still there.
    expect(await page.textContent("h1")).toContain("16 calls a second")
    await page.fill(".controls input[type=range] >> nth=0", "1")
    await expect.poll(() => page.textContent(".notice"), soon).toBe("")
  })

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

  it("gets nothing but the page and the one file from the server", async () => {
    writeFileSync(join(directory, "own.json"), JSON.stringify({ name: "own" }))
    writeFileSync(join(directory, "other.json"), JSON.stringify({ name: "other" }))
    const served = await serve(join(directory, "own.json"))
    expect(await (await fetch(`${served}/file`)).text()).toBe(JSON.stringify({ name: "own" }))
    for (
      const path of ["/other.json", "/file/../other.json", "/file?x", "/%2e%2e/other.json", "/own.json", "//etc/passwd"]
    ) {
      expect([path, (await fetch(`${served}${path}`)).status]).toEqual([path, 404])
    }
  })

  it("runs nothing but the two scripts of the page, under its policy", async () => {
    const response = await page.goto(origin)
    expect(response?.headers()).toMatchObject({
      "content-security-policy": "frame-ancestors 'none'",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff"
    })
    await settled(page)
    const policy = await page.getAttribute("meta[http-equiv=content-security-policy]", "content")
    expect(policy).toMatch(
      /^default-src 'none'; script-src 'sha256-\S+'; style-src 'sha256-\S+'; img-src data:; worker-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'$/
    )
    const ran = await page.evaluate(async () => {
      const script = document.createElement("script")
      script.textContent = "globalThis.ran = true"
      document.body.append(script)
      const away = await fetch("https://example.com/").then(() => "fetched", () => "rejected")
      return [Reflect.get(globalThis, "ran"), away]
    })
    expect(ran).toEqual([undefined, "rejected"])
    // The browser said so itself.
    expect(complaints.splice(0).filter((complaint) => /Content Security Policy/.test(complaint)).length)
      .toBeGreaterThan(1)
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
      const begun: Array<string> = []
      Object.assign(globalThis, { shift: 0, begun })
      document.addEventListener("animationstart", ({ animationName }) => begun.push(animationName), true)
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
          Object.assign(globalThis, { shift: Reflect.get(globalThis, "shift") + Reflect.get(entry, "value") })
        }
      }).observe({ type: "layout-shift", buffered: true })
    })
    await moving.goto(origin)
    await moving.waitForSelector(".picture svg")
    await moving.waitForFunction(() => Reflect.get(globalThis, "begun").includes("reveal"))
    await moving.fill(".controls input[type=range] >> nth=0", "2")
    await settled(moving)
    expect(await moving.evaluate(() => Reflect.get(globalThis, "shift"))).toBeLessThan(0.02)
    await context.close()
  })

  const focused = () =>
    page.evaluate(() => {
      const element = document.activeElement
      return element?.closest("label")?.querySelector("span")?.textContent ?? element?.textContent ?? ""
    })

  /** Presses Tab, or goes back, until that is in focus. */
  const reach = async (name: string, key = "Tab") => {
    for (let i = 0; i < 40 && await focused() !== name; i++) await page.keyboard.press(key)
    expect(await focused()).toBe(name)
  }

  it("gets to every story and its controls with a keyboard alone", async () => {
    await open()
    for (const { title } of stories) {
      await reach(title)
      await page.keyboard.press("Enter")
      await settled(page)
      expect([title, await page.getAttribute(`.stories button:text-is("${title}")`, "aria-pressed")]).toEqual([
        title,
        "true"
      ])
      await reach("Retries", "Shift+Tab")
      const before = Number(await page.textContent(".controls output"))
      await page.keyboard.press(before === 0 ? "ArrowRight" : "ArrowLeft")
      const after = String(before === 0 ? 1 : before - 1)
      await expect.poll(() => page.textContent(".controls output"), soon).toBe(after)
      // The control keeps its focus while everything around it is drawn anew.
      await settled(page)
      expect([title, await focused()]).toEqual([title, "Retries"])
      await reach("Retry budget")
      const budget = await page.inputValue(".controls select")
      await page.keyboard.press(budget === "none" ? "ArrowDown" : "ArrowUp")
      await expect.poll(() => page.inputValue(".controls select"), soon).not.toBe(budget)
    }
  }, 300_000)

  it("gets to the settings, the map and the files with a keyboard alone", async () => {
    await open(brief())
    for (const title of ["All settings", "Compare and predict", "Take home"]) {
      await reach(title)
      await page.keyboard.press("Enter")
      expect(await page.locator("details[open] > summary").allTextContents()).toContain(title)
      await page.keyboard.press("Enter")
    }
    await reach("Take home")
    await page.keyboard.press("Enter")
    await reach("outage.json")
    const [file] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")])
    expect(file.suggestedFilename()).toBe("outage.json")
  })
})
