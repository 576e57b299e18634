/**
 * The rules of the architecture. Each takes packages and returns its violations, one line each, naming the file.
 *
 * Linting sees one file at a time; these rules need the package.json beside it, the other packages, or a syntax that oxlint has
 * no rule for.
 */
import { posix } from "node:path"
import type { Exception } from "./Exceptions.ts"
import { imports, isNode, lineAt, parse, walk } from "./Syntax.ts"
import type { Manifest, Module, Package } from "./Workspace.ts"
import { scope } from "./Workspace.ts"

/** A package may import only packages that stand before it. */
export const layers: ReadonlyArray<string> = [
  "kernel",
  "errors",
  "chaos",
  "deadline",
  "retry",
  "limit",
  "pipeline",
  "http",
  "auth",
  "client",
  "lab",
  "upload",
  "node",
  "tbm-simulator",
  "tbm-studio",
  "tbm-studio-cli",
  "bench",
  "conformance"
]

/** Packages that are about the repository. Nothing imports them, and they may read everything. */
export const tools: ReadonlyArray<string> = ["repo-checks", "site"]

/** Packages that need Node. */
const onNode: ReadonlyArray<string> = ["node", "tbm-simulator", "tbm-studio-cli", "bench", "conformance"]

/** Packages that run in any JavaScript engine. */
export const portable: ReadonlyArray<string> = layers.filter((name) => !onNode.includes(name))

/** Whether a package has a command, which needs Node. */
export const isCommand = (manifest: Manifest): boolean => manifest.bin !== undefined

/** Packages that import no sibling at all. */
export const solitary: ReadonlyArray<string> = ["chaos", "tbm-simulator"]

/** Packages without an index: each of their modules has dependencies of its own, so each is imported by its path. */
export const rootless: ReadonlyArray<string> = ["node"]

/** The longest module, in lines. */
export const longest = 600

const at = (pkg: Package, module: Module, line?: number): string =>
  `packages/${pkg.name}/src/${module.path}${line === undefined ? "" : `:${line}`}`

const manifestOf = (pkg: Package): string => `packages/${pkg.name}/package.json`

const siblings = (pkg: Package): ReadonlyArray<string> =>
  [pkg.manifest.dependencies, pkg.manifest.peerDependencies, pkg.manifest.optionalDependencies]
    .flatMap((dependencies) => Object.keys(dependencies ?? {}))
    .filter((name) => name.startsWith(scope))
    .map((name) => name.slice(scope.length))

/** Imports point to earlier layers only, in package.json and in src. */
export const direction = (packages: ReadonlyArray<Package>): ReadonlyArray<string> =>
  packages.flatMap((pkg) => {
    const rank = layers.indexOf(pkg.name)
    if (rank < 0) return [`${manifestOf(pkg)} has no place in the layers (repo-checks/src/Architecture.ts)`]
    const allowed = (name: string) => {
      const other = layers.indexOf(name)
      return other >= 0 && other < rank && !solitary.includes(pkg.name)
    }
    const declared = siblings(pkg).filter((name) => !allowed(name)).map((name) =>
      `${manifestOf(pkg)} depends on ${name}, which is not below it`
    )
    const imported = pkg.modules.flatMap((module) =>
      imports(module.path, module.code).flatMap(({ from, line }) => {
        if (from.startsWith(".")) {
          const target = posix.join("src", posix.dirname(module.path), from)
          return target.startsWith("src/") ? [] : [`${at(pkg, module, line)} imports ${from}, outside its src`]
        }
        if (!from.startsWith(scope)) return []
        const name = from.slice(scope.length).split("/")[0] ?? ""
        if (name === pkg.name) return [`${at(pkg, module, line)} imports its own package by name`]
        if (!siblings(pkg).includes(name)) return [`${at(pkg, module, line)} imports ${name}, which package.json lacks`]
        return allowed(name) ? [] : [`${at(pkg, module, line)} imports ${name}, which is not below it`]
      })
    )
    return [...declared, ...imported]
  })

/** Only the adapter and its simulator name the API they are for. */
export const neutrality = (packages: ReadonlyArray<Package>): ReadonlyArray<string> =>
  packages.filter((pkg) => !pkg.name.startsWith("tbm-")).flatMap((pkg) =>
    pkg.modules.flatMap((module) =>
      module.code.split("\n").flatMap((text, i) => {
        const name = /tbm|apptio/i.exec(text)
        return name === null ? [] : [`${at(pkg, module, i + 1)} names ${name[0]}`]
      })
    )
  )

/** Modules stay short enough to be read. */
export const length = (packages: ReadonlyArray<Package>): ReadonlyArray<string> =>
  packages.flatMap((pkg) =>
    pkg.modules.flatMap((module) => {
      const lines = module.code.trimEnd().split("\n").length
      return lines > longest ? [`${at(pkg, module)} has ${lines} lines, more than ${longest}`] : []
    })
  )

/** The exceptions from some rules, which remembers the ones that were needed. */
const allowance = (exceptions: ReadonlyArray<Exception>, rules: ReadonlyArray<Exception["rule"]>) => {
  const used = new Set<Exception>()
  return {
    has: (rule: Exception["rule"], file: string): boolean => {
      const exception = exceptions.find((e) => e.rule === rule && e.file === file)
      if (exception !== undefined) used.add(exception)
      return exception !== undefined
    },
    unused: (): ReadonlyArray<string> =>
      exceptions.filter((e) => rules.includes(e.rule) && !used.has(e)).map((e) =>
        `${e.file} needs no exception from "${e.rule}"`
      )
  }
}

/** A portable package imports nothing of Node and no package that does, but for modules of their own that its index does not load. */
export const portability = (
  packages: ReadonlyArray<Package>,
  exceptions: ReadonlyArray<Exception>
): ReadonlyArray<string> => {
  const allowed = allowance(exceptions, ["portable"])
  const found = packages.filter((pkg) => portable.includes(pkg.name)).flatMap((pkg) =>
    pkg.modules.flatMap((module) =>
      imports(module.path, module.code)
        .filter(({ from }) => from.startsWith("node:") || from.startsWith("@effect/platform-") || isOfNode(from))
        .filter(() => !allowed.has("portable", at(pkg, module)))
        .map(({ from, line }) => `${at(pkg, module, line)} imports ${from}`)
    )
  )
  return [...found, ...allowed.unused()]
}

/** Whether an import leads to a package of ours that is not portable. */
const isOfNode = (from: string): boolean =>
  from.startsWith(scope) && !portable.includes(from.slice(scope.length).split("/")[0] ?? "")

const isPublic = ({ path }: Module): boolean =>
  !path.includes("internal/") && !isVariant(path) && path !== "index.ts" && path !== "main.ts"

// The variants of a choice: a file for each, and the folder's index as their table.
const isVariant = (path: string): boolean => /^[a-z]\w*\/[a-z]\w*\.ts$/.test(path)

/** `src`, `exports` and `index.ts` list the same modules; a rootless package has no index. */
export const surface = (
  packages: ReadonlyArray<Package>,
  exceptions: ReadonlyArray<Exception>
): ReadonlyArray<string> => {
  const allowed = allowance(exceptions, ["index"])
  const found = packages.flatMap((pkg) => {
    const rooted = !rootless.includes(pkg.name)
    const modules = pkg.modules.filter(isPublic).map(({ path }) => path.replace(/\.ts$/, ""))
    const exported = pkg.manifest.exports ?? {}
    const index = pkg.modules.find(({ path }) => path === "index.ts")
    const named = modules.filter((name) => !/^[A-Z][A-Za-z0-9]*$/.test(name)).map((name) =>
      `packages/${pkg.name}/src/${name}.ts: a public module is one PascalCase file in src; others live in src/internal`
    )
    const missing = modules.filter((name) => exported[`./${name}`] === undefined).map((name) =>
      `${manifestOf(pkg)} exports no ./${name}`
    )
    const wrong = Object.entries(exported).flatMap(([key, conditions]) => {
      if (key.startsWith("./schema/") && conditions === key) return []
      const name = key === "." ? "index" : key.slice(2)
      if (!(key === "." && rooted) && !modules.includes(name)) {
        return [`${manifestOf(pkg)} exports ${key}, which is no module of src`]
      }
      const expected = [
        [`${scope}source`, `./src/${name}.ts`],
        ["types", `./dist/${name}.d.ts`],
        ["default", `./dist/${name}.js`]
      ]
      return JSON.stringify(Object.entries(conditions)) === JSON.stringify(expected)
        ? []
        : [`${manifestOf(pkg)} exports ${key} other than as source, types, default`]
    })
    if (!rooted) {
      const extra = index === undefined ? [] : [`${at(pkg, index)}: each module of this package has a path only`]
      return [...named, ...missing, ...wrong, ...extra]
    }
    const root = exported["."] === undefined ? [`${manifestOf(pkg)} exports no "."`] : []
    if (index === undefined) {
      return [...named, ...missing, ...wrong, ...root, `packages/${pkg.name}/src/index.ts is missing`]
    }
    const namespaces: Array<string> = []
    const logic: Array<string> = []
    for (const node of parse(index.path, index.code).body) {
      const source = isNode(node["source"]) ? String(node["source"]["value"]) : ""
      const name = isNode(node["exported"]) ? String(node["exported"]["name"]) : ""
      if (node.type === "ExportAllDeclaration" && name !== "" && source === `./${name}.ts`) {
        namespaces.push(name)
      } else if (modules.length > 0) {
        logic.push(`${at(pkg, index, lineAt(index.code, node.start))} is not \`export * as Name from "./Name.ts"\``)
      }
    }
    const unlisted = modules
      .filter((name) => !namespaces.includes(name) && !allowed.has("index", `packages/${pkg.name}/src/${name}.ts`))
      .map((name) => `packages/${pkg.name}/src/index.ts does not export ${name}`)
    return [...named, ...missing, ...wrong, ...root, ...unlisted, ...logic]
  })
  return [...found, ...allowed.unused()]
}

/** Each package.json says what npm, bundlers and Node need to know. */
export const manifests = (packages: ReadonlyArray<Package>): ReadonlyArray<string> =>
  packages.flatMap((pkg) => {
    const m = pkg.manifest
    const files = m.files ?? []
    const rules: ReadonlyArray<readonly [boolean, string]> = [
      [m.name === scope + pkg.name, `is not named ${scope}${pkg.name}`],
      [(m.description ?? "") !== "", "has no description"],
      [m.license === "MIT", "is not licensed MIT"],
      [m.type === "module", "is not of type module"],
      [m.sideEffects === false, "does not say sideEffects: false"],
      [(m.keywords ?? []).length > 2 && new Set(m.keywords).size === m.keywords?.length, "has no keywords"],
      [m.publishConfig?.access === "public", "is not published publicly"],
      [m.peerDependencies?.["effect"] !== undefined, "has no peer effect"],
      [m.dependencies?.["effect"] === undefined, "depends on effect, which is a peer"],
      [files.includes("dist") && files.includes("src"), "does not publish dist and src"],
      [files.includes("!dist/.tsbuildinfo"), "publishes dist/.tsbuildinfo, which is of no use to anybody"],
      [m.bin === undefined || files.includes("bin"), "does not publish its bin"],
      [pkg.hasReadme, "has no README.md beside it"]
    ]
    return rules.filter(([holds]) => !holds).map(([, problem]) => `${manifestOf(pkg)} ${problem}`)
  })

/** Project references name exactly the sibling dependencies, and the solution names every package. */
export const references = (
  packages: ReadonlyArray<Package>,
  solution: ReadonlyArray<string>
): ReadonlyArray<string> => [
  ...packages.flatMap((pkg) => {
    const expected = siblings(pkg)
    return [
      ...expected.filter((name) => !pkg.references.includes(name)).map((name) =>
        `packages/${pkg.name}/tsconfig.json does not refer to ${name}`
      ),
      ...pkg.references.filter((name) => !expected.includes(name)).map((name) =>
        `packages/${pkg.name}/tsconfig.json refers to ${name}, no dependency`
      )
    ]
  }),
  ...packages.filter((pkg) => !solution.includes(pkg.name)).map((pkg) =>
    `packages/tsconfig.json does not refer to ${pkg.name}`
  )
]

/** A changeset names public packages, each once, and says something. */
export const changesets = (
  packages: ReadonlyArray<Package>,
  files: ReadonlyArray<{ readonly file: string; readonly text: string }>
): ReadonlyArray<string> =>
  files.flatMap(({ file, text }) => {
    const parts = /^---\n([^]*?)---\n([^]*)$/.exec(text)
    if (parts === null) return [`${file} has no front matter`]
    const bumps = (parts[1] ?? "").split("\n").filter((line) => line !== "").map((line) =>
      /^"(.+)": (patch|minor|major)$/.exec(line)?.[1] ?? line
    )
    return [
      ...bumps.filter((name) => !packages.some(({ manifest }) => manifest.name === name)).map((name) =>
        `${file} names ${name}, no public package`
      ),
      ...bumps.filter((name, i) => bumps.indexOf(name) < i).map((name) => `${file} names ${name} twice`),
      ...((parts[2] ?? "").trim() === "" ? [`${file} says nothing`] : [])
    ]
  })

/** Only a constant that cannot be right throws, and the time comes from the Clock: rules that oxlint has no words for. */
export const effects = (
  packages: ReadonlyArray<Package>,
  exceptions: ReadonlyArray<Exception>
): ReadonlyArray<string> => {
  const allowed = allowance(exceptions, ["throw", "clock"])
  const found = packages.flatMap((pkg) =>
    pkg.modules.flatMap((module) => {
      const violations: Array<string> = []
      const report = (rule: Exception["rule"], line: number, problem: string) => {
        if (!allowed.has(rule, at(pkg, module))) violations.push(`${at(pkg, module, line)} ${problem}`)
      }
      const callee = (node: unknown) => isNode(node) && isNode(node["callee"]) ? node["callee"]["name"] : undefined
      walk(parse(module.path, module.code).body, (node) => {
        const line = () => lineAt(module.code, node.start)
        if (node.type === "ThrowStatement" && callee(node["argument"]) !== "RangeError") {
          report("throw", line(), "throws something other than a RangeError: fail with a typed error")
        }
        if (
          node.type === "NewExpression" && callee(node) === "Date" && (node["arguments"] as Array<unknown>).length === 0
        ) {
          report("clock", line(), "reads the time with new Date(): use DateTime.now or Clock")
        }
      })
      return violations
    })
  )
  return [...found, ...allowed.unused()]
}

/** The headings of a README, in their order. A package has those that apply. */
export const headings: ReadonlyArray<string> = [
  "Install",
  "Example",
  "Commands",
  "Settings",
  "Exit statuses",
  "`--json`",
  "Modules",
  "The order",
  "Defaults",
  "Behaviour",
  "Anti-patterns",
  "Testing",
  "FAQ"
]

/** READMEs of packages have the same headings in the same order. */
export const sameHeadings = (name: string, readme: string): ReadonlyArray<string> => {
  const found = [...readme.matchAll(/^## (.+)$/gm)].map(([, heading = ""]) => heading)
  const unknown = found.filter((heading) => !headings.includes(heading))
  if (unknown.length > 0) return unknown.map((heading) => `packages/${name}/README.md has the heading ${heading}`)
  const places = found.map((heading) => headings.indexOf(heading))
  return places.every((place, i) => i === 0 || place > (places[i - 1] ?? 0))
    ? []
    : [`packages/${name}/README.md has its headings in another order: ${found.join(", ")}`]
}
