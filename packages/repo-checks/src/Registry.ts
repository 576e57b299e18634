/**
 * A registry of its own for a test, which holds what the test publishes and gets everything else from the registry that npm is set
 * to, and the other tools that a test of installing needs. They come from the registry, exact versions, and not from the lock file:
 * there they would be half of it.
 */
import { execFile, spawn } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { promisify } from "node:util"

export const run = promisify(execFile)

const tools = {
  pnpm: "12.21.0",
  "typescript-5": "npm:typescript@5.9.3",
  "typescript-6": "npm:typescript@6.0.3",
  "typescript-7": "npm:typescript@7.0.2",
  verdaccio: "6.10.4"
}

/** Installs the tools into a folder. */
export const installTools = async (dir: string): Promise<void> => {
  // One of verdaccio's dependencies asks for a tag of node-fetch, which not every registry has.
  const manifest = { private: true, dependencies: tools, overrides: { "node-fetch": "2.6.7" } }
  mkdirSync(dir)
  writeFileSync(join(dir, "package.json"), JSON.stringify(manifest))
  await run("npm", ["install", "--ignore-scripts"], { cwd: dir })
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const config = (storage: string, upstream: string): string =>
  `storage: ${storage}
log: { type: stdout, level: warn }
uplinks: { npm: { url: "${upstream}", maxage: 60m } }
packages:
  "@effect-resilience/*": { access: $all, publish: $all }
  "**": { access: $all, proxy: npm }
web: { enable: false }
`

export interface Registry {
  readonly url: string
  readonly stop: () => void
}

/** Starts verdaccio, which `installTools` has put into the folder. */
export const startRegistry = async (dir: string): Promise<Registry> => {
  const upstream = (await run("npm", ["config", "get", "registry"])).stdout.trim()
  const file = join(dir, "config.yaml")
  writeFileSync(file, config(join(dir, "storage"), upstream))
  const listen = `127.0.0.1:${await freePort()}`
  const program = join(dir, "node_modules/verdaccio/bin/verdaccio")
  const child = spawn(process.execPath, [program, "--config", file, "--listen", listen], {
    stdio: ["ignore", "pipe", "pipe"]
  })
  await new Promise<void>((resolve, reject) => {
    let log = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        log += text
        if (log.includes(`http://${listen}`)) resolve()
      })
    }
    child.once("exit", () => reject(new Error(`verdaccio did not start: ${log}`)))
  })
  return { url: `http://${listen}/`, stop: () => child.kill() }
}

/** The settings with which npm and pnpm use the registry; it takes any token. */
export const npmrc = ({ url }: Registry): string => `registry=${url}\n${url.replace("http:", "")}:_authToken=any\n`

/** The compilers, oldest first. */
export const compilers: ReadonlyArray<string> = Object.keys(tools).filter((name) => name.startsWith("typescript-"))
