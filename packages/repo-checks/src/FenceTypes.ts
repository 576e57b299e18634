/**
 * Type-checks examples: the marked fences of doc comments and every "```ts" fence of a README or guide, each as a module of its own.
 *
 * The modules are laid out so that what tsc reports has the line of the fence in its file.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { fences } from "./DocFences.ts"
import { filesOf, readPackages, root } from "./Workspace.ts"

const tsc = fileURLToPath(new URL("./bin/tsc", import.meta.resolve("typescript/package.json")))

/** The files of the repository that hold examples, relative to its root. */
export const exampleFiles = (): ReadonlyArray<string> =>
  [
    "README.md",
    ...filesOf(join(root, "docs")).filter((file) => file.endsWith(".md")).map((file) => `docs/${file}`),
    ...readPackages().filter(({ name }) => name !== "repo-checks").flatMap(({ modules, name }) => [
      `packages/${name}/README.md`,
      ...modules.map(({ path }) => `packages/${name}/src/${path}`)
    ])
  ].filter((file) => existsSync(join(root, file)))

const config = {
  extends: "../../../../tsconfig.base.json",
  compilerOptions: {
    composite: false,
    declaration: false,
    declarationMap: false,
    noEmit: true,
    noUnusedLocals: false,
    noUnusedParameters: false,
    rewriteRelativeImportExtensions: false,
    rootDir: "../../../..",
    types: ["node"],
    customConditions: ["@effect-resilience/source"]
  },
  include: ["examples"],
  // What has been built is not checked again.
  references: [{ path: "../../.." }]
}

/** What tsc says about the examples of the files: `file:line: message`. */
export const check = (
  files: ReadonlyArray<{ readonly file: string; readonly text: string }>
): ReadonlyArray<string> => {
  const dir = join(root, "packages/repo-checks/dist/fences")
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, "tsconfig.json"), JSON.stringify(config))
  for (const { file, text } of files) {
    for (const fence of fences(text)) {
      if (!fence.marked && !file.endsWith(".md")) continue
      const path = join(dir, "examples", `${file}_${fence.line}.ts`)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, `${"\n".repeat(fence.line - 1)}${fence.code}\nexport {}\n`)
    }
  }
  const run = spawnSync(process.execPath, [tsc, "-p", dir, "--pretty", "false", "--checkers", "2"], {
    cwd: dir,
    encoding: "utf8"
  })
  const lines = `${run.stdout}${run.stderr}`.trim().split("\n").filter((line) => line !== "")
  return run.status === 0 ? [] : lines.map((line) => line.replace(/^examples\/(.*)_\d+\.ts\((\d+),\d+\)/, "$1:$2"))
}
