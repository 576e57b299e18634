/**
 * The unit tests in random orders: `npm run test:random -- [--runs 20] [--seed 1]`, each run with the next seed.
 *
 * A line for each run, and what failed. `TEST_ORDER=SEED npx vitest run --config vitest.workspace.ts …` repeats an order.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { root } from "./Workspace.ts"

interface Report {
  readonly numPassedTests: number
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly status: string
    readonly assertionResults: ReadonlyArray<{
      readonly fullName: string
      readonly status: string
      readonly failureMessages: ReadonlyArray<string>
    }>
  }>
}

const failuresIn = ({ testResults }: Report): ReadonlyArray<string> =>
  testResults.filter(({ status }) => status === "failed").flatMap(({ assertionResults, name }) => [
    `  ${name}`,
    ...assertionResults.filter(({ status }) => status === "failed")
      .map(({ failureMessages, fullName }) => `    ${fullName}\n${failureMessages.join("\n").slice(0, 2_000)}`)
  ])

const { values } = parseArgs({
  options: { runs: { type: "string", default: "20" }, seed: { type: "string", default: "1" } }
})
const vitest = fileURLToPath(new URL("./vitest.mjs", import.meta.resolve("vitest/package.json")))
const directory = mkdtempSync(join(tmpdir(), "random-runs-"))
const report = join(directory, "report.json")
const first = Number(values.seed)

for (let seed = first; seed < first + Number(values.runs); seed++) {
  const startedAt = performance.now()
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    [vitest, "run", "--config", "vitest.workspace.ts", "--project", "!integration"],
    {
      cwd: root,
      env: { ...process.env, CI: "true", TEST_ORDER: String(seed), TEST_SUMMARY: report },
      encoding: "utf8",
      maxBuffer: Infinity
    }
  )
  const seconds = Math.round((performance.now() - startedAt) / 1_000)
  const took = `${seconds} s, load ${loadavg()[0]?.toFixed(1)}`
  const found: Report | undefined = existsSync(report) ? JSON.parse(readFileSync(report, "utf8")) : undefined
  rmSync(report, { force: true })
  if (status === 0 && found !== undefined) {
    console.log(`seed ${seed}: ${found.numPassedTests} passed, none failed, ${took}`)
  } else {
    process.exitCode = 1
    console.log(`seed ${seed}: FAILED with status ${status}, ${took}`)
    const failures = found === undefined ? [] : failuresIn(found)
    // Of a process that died, the end of the output tells more than the tests.
    console.log(failures.length > 0 ? failures.join("\n") : `${stdout}${stderr}`.slice(-4_000))
  }
}
rmSync(directory, { recursive: true })
