import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import * as Architecture from "../src/Architecture.ts"
import { exceptions } from "../src/Exceptions.ts"
import type { Package } from "../src/Workspace.ts"
import { filesOf, publicPackages, readPackages, referencesOf, root } from "../src/Workspace.ts"

const all = readPackages()
// A package without a module yet has nothing to be held to.
const packages = publicPackages().filter((pkg) => pkg.modules.some(({ path }) => !/^(index|main)\.ts$/.test(path)))
const layered = all.filter((pkg) => !Architecture.tools.includes(pkg.name))

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly resolved?: string; readonly optionalDependencies?: Readonly<Record<string, string>> }>
  >
}

const lock: Lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"))

const made = (name: string, code: Record<string, string>, rest: Partial<Package["manifest"]> = {}): Package => ({
  name,
  manifest: { name: `@effect-resilience/${name}`, ...rest },
  modules: Object.entries(code).map(([path, text]) => ({ path, code: text })),
  hasReadme: false,
  references: []
})

describe("the architecture", () => {
  it("lets a package import only what stands below it", () => {
    expect(Architecture.direction(layered)).toEqual([])
    expect(Architecture.direction([
      made("retry", { "A.ts": "import * as B from \"@effect-resilience/http/B\"" }, {
        dependencies: { "@effect-resilience/http": "^0.1.0" }
      }),
      made("http", {
        "internal/a.ts": "\nexport * from \"@effect-resilience/errors\"\nimport \"../../../errors/src/A.ts\""
      }),
      made("auth", { "A.ts": "const a = import(\"@effect-resilience/auth/B\")" }),
      made("tbm-simulator", {}, { peerDependencies: { "@effect-resilience/errors": "^0.1.0" } }),
      made("upload", { "A.ts": "import type { B } from \"@effect-resilience/node/B\"" }, {
        dependencies: { "@effect-resilience/node": "^0.1.0" }
      }),
      made("novel", {})
    ])).toEqual([
      "packages/retry/package.json depends on http, which is not below it",
      "packages/retry/src/A.ts:1 imports http, which is not below it",
      "packages/http/src/internal/a.ts:2 imports errors, which package.json lacks",
      "packages/http/src/internal/a.ts:3 imports ../../../errors/src/A.ts, outside its src",
      "packages/auth/src/A.ts:1 imports its own package by name",
      "packages/tbm-simulator/package.json depends on errors, which is not below it",
      "packages/upload/package.json depends on node, which is not below it",
      "packages/upload/src/A.ts:1 imports node, which is not below it",
      "packages/novel/package.json has no place in the layers (repo-checks/src/Architecture.ts)"
    ])
  })

  it("keeps Node out of the portable packages", () => {
    expect(Architecture.portability(layered, exceptions)).toEqual([])
    expect(Architecture.portability([
      made("upload", {
        "A.ts": "import { readFile } from \"node:fs\"\nimport * as N from \"@effect/platform-node/NodeHttpClient\"",
        "B.ts": "import { connect } from \"node:net\"",
        "D.ts": "import * as S from \"@effect-resilience/tbm-simulator/Simulator\"\nimport \"@effect-resilience/http\""
      }),
      made("tbm-studio-cli", { "A.ts": "import { readFile } from \"node:fs\"" })
    ], [
      { file: "packages/upload/src/B.ts", rule: "portable", why: "a test" },
      { file: "packages/upload/src/C.ts", rule: "portable", why: "a test" }
    ])).toEqual([
      "packages/upload/src/A.ts:1 imports node:fs",
      "packages/upload/src/A.ts:2 imports @effect/platform-node/NodeHttpClient",
      "packages/upload/src/D.ts:1 imports @effect-resilience/tbm-simulator/Simulator",
      "packages/upload/src/C.ts needs no exception from \"portable\""
    ])
  })

  it("names the API in its adapter only", () => {
    expect(Architecture.neutrality(packages)).toEqual([])
    expect(Architecture.neutrality([
      made("errors", { "A.ts": "// as Apptio does\n" }),
      made("tbm-studio", { "A.ts": "// Apptio" })
    ])).toEqual(["packages/errors/src/A.ts:1 names Apptio"])
  })

  it("keeps modules short", () => {
    expect(Architecture.length(all)).toEqual([])
    expect(Architecture.length([made("errors", { "A.ts": "//\n".repeat(601), "B.ts": "//\n".repeat(600) })]))
      .toEqual(["packages/errors/src/A.ts has 601 lines, more than 600"])
  })

  it("lists the same modules in src, exports and index.ts", () => {
    expect(Architecture.surface(packages, exceptions)).toEqual([])
    const entry = (name: string) => ({
      "@effect-resilience/source": `./src/${name}.ts`,
      types: `./dist/${name}.d.ts`,
      default: `./dist/${name}.js`
    })
    const code = {
      "index.ts": "export * as A from \"./A.ts\"\nexport const b = 1\n",
      "A.ts": "",
      "B.ts": "",
      "lower.ts": "",
      "internal/c.ts": "",
      "jitter/full.ts": "",
      "jitter/index.ts": ""
    }
    expect(Architecture.surface([
      made("errors", code, {
        exports: { ".": entry("index"), "./A": entry("A"), "./lower": "./dist/lower.js", "./Gone": entry("Gone") }
      })
    ], [
      { file: "packages/errors/src/B.ts", rule: "index", why: "a test" },
      { file: "packages/errors/src/C.ts", rule: "index", why: "a test" }
    ])).toEqual([
      "packages/errors/src/lower.ts: a public module is one PascalCase file in src; others live in src/internal",
      "packages/errors/package.json exports no ./B",
      "packages/errors/package.json exports ./lower other than as source, types, default",
      "packages/errors/package.json exports ./Gone, which is no module of src",
      "packages/errors/src/index.ts does not export lower",
      "packages/errors/src/index.ts:2 is not `export * as Name from \"./Name.ts\"`",
      "packages/errors/src/C.ts needs no exception from \"index\""
    ])
    expect(Architecture.surface([made("errors", {})], [])).toEqual([
      "packages/errors/package.json exports no \".\"",
      "packages/errors/src/index.ts is missing"
    ])
    expect(
      Architecture.surface([
        made("node", { "index.ts": "export * as A from \"./A.ts\"", "A.ts": "" }, {
          exports: { ".": entry("index"), "./A": entry("A") }
        })
      ], [])
    ).toEqual([
      "packages/node/package.json exports ., which is no module of src",
      "packages/node/src/index.ts: each module of this package has a path only"
    ])
  })

  it("asks every package.json for what npm, bundlers and Node need", () => {
    expect(Architecture.manifests(packages)).toEqual([])
    expect(
      Architecture.manifests([made("errors", {}, { dependencies: { effect: "^4.1.0" }, bin: { a: "./bin/a.js" } })])
    )
      .toEqual([
        "has no description",
        "is not licensed MIT",
        "is not of type module",
        "does not say sideEffects: false",
        "has no keywords",
        "is not published publicly",
        "has no peer effect",
        "depends on effect, which is a peer",
        "does not publish dist and src",
        "publishes dist/.tsbuildinfo, which is of no use to anybody",
        "does not publish its bin",
        "has no README.md beside it"
      ].map((problem) => `packages/errors/package.json ${problem}`))
  })

  it("keeps project references in step with dependencies", () => {
    expect(Architecture.references(publicPackages(), referencesOf(join(root, "packages/tsconfig.json")))).toEqual([])
    expect(Architecture.references([
      { ...made("retry", {}, { dependencies: { "@effect-resilience/errors": "^0.1.0" } }), references: ["http"] }
    ], [])).toEqual([
      "packages/retry/tsconfig.json does not refer to errors",
      "packages/retry/tsconfig.json refers to http, no dependency",
      "packages/tsconfig.json does not refer to retry"
    ])
  })

  it("throws nothing but RangeError and reads no wall clock", () => {
    expect(Architecture.effects(publicPackages(), exceptions)).toEqual([])
    const pkg = made("retry", {
      "A.ts": "throw new RangeError()\nthrow new Error()\nnew Date(0)\nnew Date()",
      "B.ts": "throw new Error()"
    })
    const why = "a test"
    expect(Architecture.effects([pkg], [
      { file: "packages/retry/src/B.ts", rule: "throw", why },
      { file: "packages/retry/src/B.ts", rule: "clock", why }
    ])).toEqual([
      "packages/retry/src/A.ts:2 throws something other than a RangeError: fail with a typed error",
      "packages/retry/src/A.ts:4 reads the time with new Date(): use DateTime.now or Clock",
      "packages/retry/src/B.ts needs no exception from \"clock\""
    ])
  })

  it("has changesets that name public packages, each once", () => {
    const files = filesOf(join(root, ".changeset")).filter((path) => path.endsWith(".md")).map((path) => ({
      file: `.changeset/${path}`,
      text: readFileSync(join(root, ".changeset", path), "utf8")
    }))
    expect(Architecture.changesets(publicPackages(), files)).toEqual([])
    const lines = ["auth\": minor", "auth\": minor", "nope\": patch"].map((line) => `"@effect-resilience/${line}\n`)
    expect(Architecture.changesets([made("auth", {})], [
      { file: "a.md", text: `---\n${lines.join("")}---\n` },
      { file: "b.md", text: "Nothing" }
    ])).toEqual([
      "a.md names @effect-resilience/nope, no public package",
      "a.md names @effect-resilience/auth twice",
      "a.md says nothing",
      "b.md has no front matter"
    ])
  })

  it("leaves the registry's address to npm", () => {
    const resolved = Object.values(lock.packages).flatMap((entry) => entry.resolved ?? [])
    expect(resolved.filter((address) => address.includes("://"))).toEqual([])
  })

  // npm leaves out what the registry does not hold, and then `npm ci` rejects the lock file.
  it("locks every platform's package of a tool", () => {
    const missing = Object.entries(lock.packages).flatMap(([path, entry]) =>
      Object.keys(entry.optionalDependencies ?? {}).filter((name) =>
        lock.packages[`${path}/node_modules/${name}`] === undefined &&
        lock.packages[`node_modules/${name}`] === undefined
      )
    )
    expect(missing).toEqual([])
  })

  it("keeps the top level to what is listed", () => {
    const listed = [
      "LICENSE",
      "README.md",
      "docs",
      "examples",
      "package-lock.json",
      "package.json",
      "packages",
      "tsconfig.base.json",
      "vitest.workspace.ts"
    ]
    const files = execFileSync("git", ["ls-files"], { cwd: root, encoding: "utf8" }).trim().split("\n")
    const top = new Set(files.map((file) => file.split("/")[0] ?? ""))
    expect([...top].filter((name) => !name.startsWith(".") && !listed.includes(name))).toEqual([])
  })

  it("names no package that does not exist", () => {
    const names = all.map(({ name }) => name)
    const listed = [Architecture.layers, Architecture.portable, Architecture.solitary, Architecture.rootless].flat()
    expect(listed.filter((name) => !names.includes(name))).toEqual([])
  })

  it("gives all READMEs the same headings", () => {
    const readmes = publicPackages().map(({ name }) =>
      [name, readFileSync(join(root, "packages", name, "README.md"), "utf8")] as const
    )
    expect(readmes.flatMap(([name, readme]) => Architecture.sameHeadings(name, readme))).toEqual([])
    expect(Architecture.sameHeadings("a", "## Modules\n## Install\n")).toEqual([
      "packages/a/README.md has its headings in another order: Modules, Install"
    ])
    expect(Architecture.sameHeadings("a", "## Install\n## Parts\n")).toEqual([
      "packages/a/README.md has the heading Parts"
    ])
  })
})
