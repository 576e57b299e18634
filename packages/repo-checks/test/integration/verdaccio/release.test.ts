import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { copyRepository } from "../../../src/Copy.ts"
import { compile } from "../../../src/DocFences.ts"
import { example, installLines } from "../../../src/Installs.ts"
import type { Registry } from "../../../src/Registry.ts"
import { compilers, installTools, npmrc, run, startRegistry } from "../../../src/Registry.ts"
import { publicPackages, root, scope } from "../../../src/Workspace.ts"

// All installers for each package take minutes: `npm run installs`, which runs beside other work. Otherwise each package has one of them.
const isWhole = process.env["INSTALLS"] === "all"

/** A limit of time, in milliseconds. */
const within = (millis: number): number => isWhole ? millis * 6 : millis

const packages = publicPackages()
const dir = mkdtempSync(join(tmpdir(), "installs-"))
const tools = join(dir, "tools")

let registry: Registry
let copy: string

const release = (...args: ReadonlyArray<string>) =>
  run("npm", ["run", "--silent", "release", "--", `--registry=${registry.url}`, ...args], { cwd: copy }).then(
    ({ stdout }) => ({ code: 0, lines: stdout.trim().split("\n") }),
    (error: { readonly code: number; readonly stderr: string }) => ({
      code: error.code,
      lines: error.stderr.trim().split("\n")
    })
  )

const commit = async () => {
  const author = ["-c", "user.name=A", "-c", "user.email=a@a.test"]
  for (const args of [["add", "-A"], [...author, "commit", "-qm", "A"]]) await run("git", args, { cwd: copy })
}

beforeAll(async () => {
  copy = copyRepository("release-")
  await installTools(tools)
  registry = await startRegistry(tools)
  appendFileSync(join(copy, ".npmrc"), npmrc(registry))
  await run("git", ["init", "-q"], { cwd: copy })
  await commit()
}, within(300_000))

afterAll(() => {
  registry.stop()
  for (const folder of [dir, copy]) rmSync(folder, { recursive: true, force: true })
}, within(300_000))

describe("a release", () => {
  it("does not happen without an owner and without versions", { timeout: within(60_000) }, async () => {
    const { code, lines } = await release()
    expect(code).toBe(1)
    expect(lines.map((line) => line.replace(/: https?:.*|: git.*|^\d+ /, ""))).toEqual([
      ...["author", "homepage", "repository", "bugs"].map((field) => `package.json: ${field} is a placeholder`),
      "changesets have no version yet: npm run versions, and commit"
    ])
  })

  it("publishes every package at 0.1.0, dependencies first, and leaves alone what is there", {
    timeout: within(400_000)
  }, async () => {
    const file = join(copy, "package.json")
    writeFileSync(file, readFileSync(file, "utf8").replaceAll("owner.invalid", "owner.test"))
    await run("npm", ["run", "manifests"], { cwd: copy })
    await run("npm", ["run", "versions"], { cwd: copy })
    await commit()
    // One that stopped half-way.
    await run("npm", ["run", "build"], { cwd: copy })
    await run("npm", ["publish", "--workspace=packages/kernel"], { cwd: copy })

    const { code, lines } = await release()
    expect(code).toBe(0)
    expect(lines[0]).toBe(`${scope}kernel@0.1.0 was there`)
    expect(lines.slice(1).every((line) => line.endsWith("@0.1.0 published"))).toBe(true)
    expect(lines.map((line) => line.replace(/@0.1.0 .*/, "")).toSorted()).toEqual(
      packages.map(({ manifest }) => manifest.name).toSorted()
    )

    const sbom = JSON.parse(readFileSync(join(copy, "packages/repo-checks/dist/release/sbom.cdx.json"), "utf8"))
    expect(sbom.metadata.component).toMatchObject({ name: "effect-resilience", version: "0.1.0" })
    const components: ReadonlyArray<{ readonly name: string; readonly licenses?: unknown }> = sbom.components
    const named = components.map(({ name }) => name)
    for (const { manifest } of packages) expect(named).toContain(manifest.name)
    expect(named).toEqual(expect.arrayContaining(["effect", "@effect/platform-node", "undici", "@noble/hashes"]))
    expect(named).not.toContain("vitest")
    expect(components.filter(({ licenses }) => licenses === undefined)).toEqual([])
  })
})

const program = (name: string): string => {
  const file = `packages/${name}/README.md`
  const first = example(readFileSync(join(root, file), "utf8"))
  return first === undefined
    ? `import "${scope}${name}"\n`
    : `import { deepStrictEqual as __equals } from "node:assert"\n${compile(file, first)}\n`
}

const pnpm = (words: ReadonlyArray<string>) => [
  process.execPath,
  join(tools, "node_modules/pnpm/bin/pnpm.mjs"),
  "add",
  `--store-dir=${join(dir, "store")}`,
  ...words
]

const installers = {
  npm: (words: ReadonlyArray<string>) => ["npm", "install", ...words],
  "npm linked": (words: ReadonlyArray<string>) => ["npm", "install", "--install-strategy=linked", ...words],
  pnpm
} as const

const emptyProject = (name: string): string => {
  const project = join(dir, name)
  mkdirSync(project, { recursive: true })
  writeFileSync(join(project, ".npmrc"), `${npmrc(registry)}loglevel=error\n`)
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }))
  return project
}

const names = Object.keys(installers) as ReadonlyArray<keyof typeof installers>

const cases = packages.flatMap(({ manifest, name }, i) =>
  names.filter((_, j) => isWhole || i % names.length === j)
    .map((installer) => ({ installer, name, bin: Object.keys(manifest.bin ?? {}) }))
)

describe("a package from the registry", () => {
  it.concurrent.each(cases)(
    "$name installs alone by $installer and runs its example",
    { timeout: within(300_000) },
    async (tried) => {
      const project = emptyProject(`${tried.name}-${tried.installer.replace(" ", "-")}`)
      const lines = installLines(readFileSync(join(root, "packages", tried.name, "README.md"), "utf8"))
      for (const line of lines.length > 0 ? lines : [[scope + tried.name, "effect"]]) {
        const [command = "", ...args] = installers[tried.installer](line.filter((word) => word !== "--global"))
        await run(command, args, { cwd: project })
      }
      writeFileSync(join(project, "example.ts"), program(tried.name))
      await run(process.execPath, ["example.ts"], { cwd: project })
      for (const command of tried.bin) {
        const { stdout } = await run(join(project, "node_modules/.bin", command), ["--help"], { cwd: project })
        expect(stdout).toContain(command)
      }
      rmSync(project, { recursive: true })
    }
  )
})

describe("the README of the repository", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8")
  const home = join(dir, "home")
  const folder = join(dir, "stranger")

  /** The lines of the shell below a heading, as a stranger types them: with a clean home, in a folder of their own. */
  const type = async (heading: string, line: RegExp, timeout = within(60_000)) => {
    const section = readme.split(`\n## ${heading}\n`)[1]?.split(/^## /m)[0] ?? ""
    const lines = [...section.matchAll(/^```sh\n([^]*?)^```$/gm)].flatMap(([, text = ""]) => text.split("\n"))
    const typed = lines.filter((text) => line.test(text)).join("\n")
    expect(typed).not.toBe("")
    const env = {
      HOME: home,
      PATH: `${join(home, "global/bin")}:${process.env["PATH"]}`,
      npm_config_userconfig: join(home, ".npmrc")
    }
    const { stderr, stdout } = await run("sh", ["-ec", typed], { cwd: folder, env, timeout })
    return stdout + stderr
  }

  beforeAll(() => {
    for (const made of [home, folder]) mkdirSync(made)
    writeFileSync(join(home, ".npmrc"), `${npmrc(registry)}prefix=${join(home, "global")}\n`)
  })

  it("begins with a call that a stranger can make", { timeout: within(120_000) }, async () => {
    await type("Start", /^npm install/)
    const [, code = ""] = /^```ts\n(\/\/ examples\/first-call\.ts[^]*?)^```$/m.exec(readme) ?? []
    const [, file = "", command = ""] = /save this as\s+`(.*?)` and run `(.*?)`/i.exec(readme) ?? []
    const [, printed = ""] = /It prints `(.*?)`/.exec(readme) ?? []
    writeFileSync(join(folder, file), code)
    const { stderr, stdout } = await run("sh", ["-c", command], {
      cwd: folder,
      env: { HOME: home, PATH: process.env["PATH"] }
    })
    expect(stdout.trim().split("\n").at(-1)).toBe(printed)
    expect(stdout).toContain("Circuit \"ledger\"")
    expect(stderr).toBe("")
  })

  it("has a command that shows outages", { timeout: within(120_000) }, async () => {
    await type("Two commands", /^npm install .*\/lab$/)
    await type("Two commands", /> ledger\.json$/)
    expect(await type("Two commands", /effect-resilience-lab simulate/)).toContain("ledger: never recovers")
  })

  it("has a command that uploads", { timeout: within(180_000) }, async () => {
    await type("Two commands", /^npm install --global/, within(120_000))
    expect(await type("Two commands", /^tbm-studio demo/, within(120_000))).toContain("13 of 13 uploaded")
  })

  it("has a program that uploads", { timeout: within(120_000) }, async () => {
    await type("Two commands", /^npm install (?!--global).*\/tbm-/)
    const [, code = ""] = /^```ts\n(\/\/ examples\/upload-a-table\.ts[^]*?)^```$/m.exec(readme) ?? []
    writeFileSync(join(folder, "upload-a-table.mts"), code)
    expect(await type("Two commands", /^node upload-a-table\.mts/)).toContain("verified: true, attempts: 3")
  })
})

describe("all packages together", () => {
  let project: string

  beforeAll(async () => {
    project = emptyProject("types")
    const ours = packages.map(({ manifest }) => manifest.name)
    await run("npm", ["install", ...ours, "effect", "@effect/platform-node", "@types/node@24", "vitest@5"], {
      cwd: project
    })
    const modules = packages.flatMap(({ manifest }) =>
      Object.keys(manifest.exports ?? {}).filter((path) => !path.endsWith(".json")).map((path) =>
        manifest.name + path.slice(1)
      )
    )
    writeFileSync(join(project, "all.ts"), modules.map((from, i) => `export * as m${i} from "${from}"\n`).join(""))
    const compilerOptions = {
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
      target: "ES2023",
      module: "NodeNext",
      lib: ["ES2023", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
      types: ["node"]
    }
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["all.ts"] }))
  }, within(120_000))

  it.concurrent.each(compilers)("have declarations that %s checks", { timeout: within(120_000) }, async (compiler) => {
    const tsc = join(tools, "node_modules", compiler, "bin/tsc")
    const { stdout } = await run(process.execPath, [tsc, "-p", "."], { cwd: project }).catch((
      error: { readonly stdout: string }
    ) => error)
    expect(stdout).toBe("")
  })
})
