/**
 * Runs the command `tbm-studio` from its sources, and writes a line to FILE for each of our source files in which a function
 * ran: `node --conditions=@effect-resilience/source tracedCommand.ts FILE upload gl.csv …`. Code that runs while modules are
 * loaded does not count.
 */
import { globSync, writeFileSync } from "node:fs"
import { type Profiler, Session } from "node:inspector"
import { fileURLToPath } from "node:url"

const src = fileURLToPath(new URL("../src/", import.meta.url))
const [node = "", , file = "", ...args] = process.argv
process.argv = [node, "tbm-studio", ...args]

// All that the command loads, but for the module that starts it.
for (const path of globSync("internal/{commands/*,commandOutput}.ts", { cwd: src })) await import(`${src}${path}`)
await import("@effect-resilience/node/HashingThreads")
await import("@effect-resilience/node/LocalFileSystem")

const session = new Session()
session.connect()
session.post("Profiler.enable")
session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false })
process.on("exit", () => {
  session.post("Profiler.takePreciseCoverage", (_, { result }) => {
    writeFileSync(
      file,
      result.filter(ran).flatMap(({ url }) => /\/packages\/(.+\/src\/.+)$/.exec(url)?.[1] ?? []).join("\n")
    )
  })
})
// What begins where its file does is the module itself.
const ran = ({ functions }: Profiler.ScriptCoverage): boolean =>
  functions.some(({ ranges: [range] }) => range !== undefined && range.count > 0 && range.startOffset > 0)

await import(`${src}main.ts`)
