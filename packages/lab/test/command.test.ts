import { NodeServices } from "@effect/platform-node"
import { Console, Effect, Exit } from "effect"
import * as Runtime from "effect/Runtime"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import * as cli from "../src/internal/command/cli.ts"

const folder = mkdtempSync(join(tmpdir(), "lab-"))
afterAll(() => rmSync(folder, { recursive: true }))

const file = (name: string, content: unknown) => {
  const path = join(folder, name)
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content, undefined, 2))
  return path
}

const run = async (...args: ReadonlyArray<string>) => {
  const out: Array<string> = []
  const err: Array<string> = []
  const console = Object.assign(Object.create(globalThis.console), {
    log: (text: unknown) => out.push(String(text)),
    error: (text: unknown) => err.push(String(text))
  })
  const exit = await Effect.runPromiseExit(
    cli.run("1.2.3")(args).pipe(
      Effect.provideService(Console.Console, console),
      Effect.provide(NodeServices.layer)
    )
  )
  let status = 0
  if (Exit.isFailure(exit)) Runtime.defaultTeardown(exit, (code) => status = code)
  return { status, out: out.join("\n"), err: err.join("\n") }
}

const standard = {
  name: "ledger",
  deadline: "10 seconds",
  budget: { burst: 3 },
  retry: { times: 2 },
  circuitBreaker: { tripPolicy: { proportional: {} } },
  attemptTimeout: "2 seconds"
}

const storm = { name: "ledger", attemptTimeout: "1 second", deadline: "10 seconds", retry: { times: 3 } }

describe("lint", () => {
  it("names a mistake with its line and column, in JSON and in YAML", async () => {
    const json = await run("lint", file("a.json", storm))
    expect(json.status).toBe(1)
    expect(json.out).toMatch(/a\.json:5:3 error unboundedRetries: .*\n {2}why: .*\n {2}arithmetic: .*\n {2}fix: /)
    const yaml = await run("lint", file("a.yaml", "name: ledger\nhedge:\n  # sooner\n  share: 1\n"))
    expect(yaml.out).toContain("a.yaml:4:3 error wideHedge")
  })

  it("ends with 0 for advice, and with 1 where it is strict", async () => {
    const path = file("advice.json", { ...standard, deadline: undefined })
    expect(await run("lint", path)).toMatchObject({ status: 0, out: expect.stringContaining("advice noDeadline") })
    expect((await run("lint", path, "--strict")).status).toBe(1)
    expect(await run("lint", file("clean.json", standard), "--strict")).toEqual({ status: 0, out: "", err: "" })
  })

  it("is one document", async () => {
    const { out, status } = await run("lint", "--json", file("a.json", storm), join(folder, "none.json"))
    expect(status).toBe(66)
    const document = JSON.parse(out)
    expect(document).toMatchObject({ version: 1, command: "lint", errors: 1, advice: 0 })
    expect(document.files[0].remarks[0]).toMatchObject({
      rule: "unboundedRetries",
      path: ["retry"],
      line: 5,
      column: 3
    })
    expect(document.files[1].unreadable).toContain("NotFound")
  })

  it.each([
    ["an alias", "x.yaml", "a: &b 1\nc: *b\n", "2:4 an alias"],
    ["a billion laughs", "x.yaml", "a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n", "an alias"],
    ["JSON that is none", "x.json", "{ \"name\": \"x\", }", "JSON"],
    ["a key that is there twice", "x.json", "{ \"name\": \"x\", \"name\": \"y\" }", "unique"],
    ["what is too deep", "x.yaml", "[".repeat(100_000), "deeper"],
    ["what is too long", "x.json", `"${"a".repeat(5_000_000)}"`, "longer"],
    ["two documents", "x.yaml", "name: a\n---\nname: b\n", "documents"]
  ])("does not read %s", async (_, name, text, why) => {
    const { err, status } = await run("lint", file(name, text))
    expect(status).toBe(66)
    expect(err).toContain(why)
  })

  it("shows what a file says without what a terminal obeys", async () => {
    const { out } = await run("lint", file("esc.json", { name: "\u001b[2J", retry: {}, "bad\u001b]0;x\u0007": 1 }))
    expect(out).not.toMatch(/\p{Cc}(?<!\n)/u)
  })
})

describe("simulate", () => {
  it("shows a table, and what comes of it in words", async () => {
    const { out, status } = await run("simulate", file("standard.json", standard), "--seed", "1")
    expect(status).toBe(0)
    expect(out).toMatch(/^ledger: recovers \d+ s after the outage/)
    expect(out).toMatch(/20 to 30 s, outage +\d/)
  })

  it("expects no storm", async () => {
    expect((await run("simulate", file("standard.json", standard), "--expect-no-storm", "--csv")).status).toBe(0)
    const { err, status } = await run(
      "simulate",
      file("storm.json", storm),
      "--expect-no-storm",
      "--csv",
      "--processes",
      "2"
    )
    expect(status).toBe(1)
    expect(err).toContain("calls do not succeed again")
  })

  it("gives the same bytes for the same seed, as JSON, CSV or SVG", async () => {
    const path = file("standard.json", standard)
    const args = (seed: string) => ["simulate", path, "--processes", "3", "--load", "0.2", "--seed", seed] as const
    for (const as of ["--json", "--csv", "--svg"]) {
      const first = await run(...args("1"), as)
      expect(await run(...args("1"), as)).toEqual(first)
      expect(await run(...args("2"), as)).not.toEqual(first)
    }
    const document = JSON.parse((await run(...args("1"), "--json")).out)
    expect(document.world).toMatchObject({ processes: 3, arrivals: { open: { perSecond: 40 } }, seed: 1 })
    expect((await run(...args("1"), "--csv")).out.split("\n").length).toBe(121)
    expect((await run(...args("1"), "--svg")).out).toMatch(/^<svg[^]*<\/svg>$/)
  })

  it("draws in one theme where it is told to", async () => {
    const path = file("standard.json", standard)
    const draw = async (...theme: ReadonlyArray<string>) =>
      (await run("simulate", path, "--processes", "3", "--load", "0.2", "--svg", ...theme)).out
    const [either, light, dark] = [await draw(), await draw("--theme", "light"), await draw("--theme", "dark")]
    expect(either).toContain("prefers-color-scheme")
    expect([light, dark].map((svg) => /--paper:(#\w+)/.exec(svg)?.[1])).toEqual(["#fff", "#0d1117"])
    for (const svg of [light, dark]) expect(svg).not.toContain("prefers-color-scheme")
  })

  it("simulates a world without an outage", async () => {
    const own = { policy: standard, duration: "20 seconds", arrivals: { open: { perSecond: 10 } }, outages: [] }
    const { out, status } = await run("simulate", file("calm.json", own))
    expect(status).toBe(0)
    expect(out).toMatch(/^ledger: 1 request for each call; 99 % of the good calls take at most \d+ ms\n/)
    expect(out).not.toContain("outage")
    expect(JSON.parse((await run("simulate", file("calm.json", own), "--json")).out).world.outages).toEqual([])
    const none = await run(
      "simulate",
      file("standard.json", standard),
      "--outage",
      "none",
      "--expect-no-storm",
      "--json"
    )
    expect([none.status, JSON.parse(none.out).outages]).toEqual([0, []])
  })

  it("takes a client, the options of a simulation, and outages of a file", async () => {
    const client = { name: "shop", baseUrl: "https://shop.example.com", auth: "tokens" }
    expect((await run("simulate", file("client.json", client), "--csv")).status).toBe(0)
    const own = { policy: standard, duration: "20 seconds", arrivals: { open: { perSecond: 10 } } }
    const outage = { from: "5 seconds", for: "5 seconds", fault: { failing: 1 } }
    const world = { ...own, outages: [outage] }
    expect((await run("simulate", file("world.json", world), "--csv")).out.split("\n").length).toBe(21)
    const changed = await run("simulate", file("world.json", world), "--outage", file("outage.json", outage), "--json")
    expect(JSON.parse(changed.out)).toMatchObject({ world: { duration: 100_000, outages: outage } })
  })
})

describe("plan", () => {
  const lines = Array.from(
    { length: 300 },
    (_, i) => JSON.stringify({ time: new Date(i * 1000).toISOString(), status: 200, durationMs: 20 + i % 30 })
  )

  it("compares, and proposes where there is nothing to compare with", async () => {
    const log = file("log.jsonl", lines.join("\n"))
    const old = file("old.json", standard)
    const compared = await run(
      "plan",
      old,
      file("new.yaml", "name: ledger\nattemptTimeout: 30 millis\n"),
      "--traffic",
      log
    )
    expect(compared.status).toBe(0)
    expect(compared.out).toMatch(/good +300 +300 +110\n/)
    const proposed = await run("plan", old, "--traffic", log)
    expect(proposed.out).toMatch(/ {2}# 99.9 % of 300 good .*\n- attemptTimeout: "2 seconds"\n\+ attemptTimeout: 74\n/)
    expect(JSON.parse((await run("plan", old, "--traffic", log, "--json")).out).proposals[0].to).toBe(74)
  })

  it("ends with 1 where it does not judge, and 66 where it cannot read", async () => {
    const failing = lines.map((line) => line.replace("200", "503"))
    const log = file("failing.jsonl", failing.join("\n"))
    const old = file("old.json", standard)
    expect(await run("plan", old, old, "--traffic", log)).toMatchObject({
      status: 1,
      err: expect.stringMatching(/does not judge: attempts/)
    })
    expect((await run("plan", old, old, "--traffic", file("none.log", "nothing"))).status).toBe(66)
    expect((await run("plan", old, old)).status).toBe(64)
  })
})

it.each([
  [["lint"]],
  [["simulate"]],
  [["simulate", "FILE", "--json", "--svg"]],
  [["simulate", "FILE", "--csv", "--theme", "dark"]],
  [["simulate", "FILE", "--svg", "--theme", "blue"]],
  [["simulate", "FILE", "--processes", "0"]],
  [["simulate", "FILE", "--load", "-1"]],
  [["drill", "localhost", "--for", "1s", "--fault", "silence"]],
  [["drill", "localhost:99999", "--for", "1s", "--fault", "silence"]],
  [["drill", "localhost:80", "--for", "soon", "--fault", "silence"]],
  [["drill", "localhost:80", "--for", "1s", "--fault", "delay"]],
  [["drill", "localhost:80", "--for", "1s", "--fault", "silence=3"]],
  [["drill", "localhost:80", "--for", "1s", "--fault", "silence", "--stop-at", "0"]],
  [["drill", "localhost:80", "--for", "1s"]]
])("%j is wrong usage", async (args) => {
  const path = file("standard.json", standard)
  const { err, status } = await run(...args.map((arg) => arg === "FILE" ? path : arg))
  expect(status).toBe(64)
  expect(err).toMatch(/^effect-resilience-lab: .+$/)
})
