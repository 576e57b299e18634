/** Fuzzes each reader for some seconds, with a new seed: `npm run fuzz -- [SECONDS] [PACKAGE…]`, by default 30 seconds. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { root } from "./Workspace.ts"

const [seconds = "30", ...packages] = process.argv.slice(2)
const projects = packages.length > 0 ? packages : ["!integration"]
const vitest = fileURLToPath(new URL("./vitest.mjs", import.meta.resolve("vitest/package.json")))
const { status } = spawnSync(
  process.execPath,
  [vitest, "run", "--config", "vitest.workspace.ts", ...projects.flatMap((name) => ["--project", name]), "fuzz.test"],
  { cwd: root, stdio: "inherit", env: { ...process.env, FUZZ_SECONDS: seconds } }
)
process.exitCode = status ?? 1
