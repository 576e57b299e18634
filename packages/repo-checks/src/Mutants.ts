/**
 * How many faults the tests notice: `npm run mutants -- [PACKAGE…] [--count 200] [--seed 1]`.
 *
 * Stryker writes faults into the sources of a package ("mutants": a condition turned round, a string emptied, a statement left out), one at
 * a time, and runs the package's own tests against each. A seeded sample is enough to compare. It works on a copy of the commit, where it
 * installs Stryker for itself. Results go to `fixtures/mutants.json` and `MUTANTS.md`; a
 * survivor keeps the reason that was written for it. With `--survivors` it judges again what survived, and what is in files that have
 * changed since. A run in a `--directory` that was ended goes on when it is begun again.
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import type { Mutant } from "./mutants/mutantName.ts"
import { mutantName } from "./mutants/mutantName.ts"
import { root } from "./Workspace.ts"

/** The packages whose tests are measured. */
const measured = ["errors", "deadline", "retry", "limit", "pipeline", "client", "auth", "upload"]

const stryker = ["core", "vitest-runner", "instrumenter", "api"].map((name) => `@stryker-mutator/${name}@10.1.1`)

export interface Survivor {
  readonly file: string
  /** The line it begins in, as it is in the source. */
  readonly source: string
  readonly mutator: string
  readonly replacement: string
  /** No test of the package reaches it. */
  readonly uncovered: boolean
  /** Why it may survive. Empty where no one has found out. */
  readonly reason: string
}

export interface Result {
  readonly date: string
  readonly commit: string
  readonly seed: number
  /** All mutants of the package. */
  readonly mutants: number
  readonly sampled: number
  readonly killed: number
  readonly survivors: ReadonlyArray<Survivor>
}

export type Results = Readonly<Record<string, Result>>

const percent = ({ killed, sampled }: Result): string => `${Math.round((killed / sampled) * 100)} %`

const code = (text: string): string =>
  `\`${text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|").replaceAll("`", "'").slice(0, 100)}\``

/** The results as a page. */
export const page = (results: Results): string =>
  [
    "# Mutants",
    "",
    "Which faults the tests of a package notice. Made by `npm run mutants`, which says how.",
    "",
    "| package | mutants | sampled | killed | share | seed | commit | date |",
    "| ------- | ------- | ------- | ------ | ----- | ---- | ------ | ---- |",
    ...Object.entries(results).map(([name, result]) =>
      `| ${name} | ${result.mutants} | ${result.sampled} | ${result.killed} | ${
        percent(result)
      } | ${result.seed} | ${result.commit} | ${result.date} |`
    ),
    ...Object.entries(results).flatMap(([name, { survivors }]) => [
      "",
      `## Survivors in ${name}`,
      "",
      "| where | in | becomes | reason |",
      "| ----- | -- | ------- | ------ |",
      ...survivors.map(({ file, mutator, reason, replacement, source, uncovered }) =>
        `| ${file} | ${code(source)} | ${code(replacement)} (${mutator}) | ${
          reason === "" ? (uncovered ? "no test of the package reaches it" : "a test is missing") : reason
        } |`
      )
    ]),
    ""
  ].join("\n")

const hash = (seed: number, text: string): string => createHash("sha256").update(`${seed}\0${text}`).digest("hex")

const run = (cwd: string, env: NodeJS.ProcessEnv, command: string, ...args: ReadonlyArray<string>): void => {
  execFileSync(command, args, { cwd, env: { ...process.env, ...env }, stdio: "inherit" })
}

/** Makes a directory a copy of the commit, built, with Stryker in it. What an earlier run installed there stays. */
const copy = (directory: string): void => {
  const lock = join(directory, "package-lock.json")
  const installed = existsSync(lock) ? readFileSync(lock, "utf8") : undefined
  if (installed === undefined) run(root, {}, "git", "clone", "--quiet", "--local", root, directory)
  run(directory, {}, "git", "fetch", "--quiet", root, "HEAD")
  run(directory, {}, "git", "checkout", "--quiet", "--force", "FETCH_HEAD")
  if (installed === readFileSync(lock, "utf8")) return
  run(directory, {}, "npm", "ci", "--silent")
  run(directory, {}, "npm", "install", "--silent", "--no-save", "--ignore-scripts", ...stryker)
}

/** What of a mutant stays as it is where lines before it come and go. */
const text = ({ file, mutator, replacement, source }: Pick<Survivor, "file" | "mutator" | "replacement" | "source">) =>
  [file, source, mutator, replacement].join("\0")

interface Named {
  /** As the checker names it. */
  readonly name: string
  readonly text: string
  /** The same where its file is the same. */
  readonly key: string
}

/** Every mutant of a package as it is in a commit. */
const enumerate = async (directory: string, name: string, commit: string): Promise<ReadonlyArray<Named>> => {
  const require = createRequire(join(directory, "package.json"))
  const load = (module: string) => import(pathToFileURL(require.resolve(module)).href)
  const { Instrumenter } = await load("@stryker-mutator/instrumenter")
  const silent = { debug: () => {}, info: () => {}, isDebugEnabled: () => false }
  const git = (...args: ReadonlyArray<string>) => execFileSync("git", args, { cwd: root, encoding: "utf8" })
  const files = git("ls-tree", "-r", "--name-only", commit, `packages/${name}/src/`).split("\n")
    .filter((file) => file.endsWith(".ts"))
    .map((file) => ({ name: file, mutate: true, content: git("show", `${commit}:${file}`) }))
  const lines = new Map(files.map(({ content, name }) => [name, content.split("\n")]))
  const options = { plugins: null, excludedMutations: [], ignorers: [], noHeader: true }
  const { mutants }: { readonly mutants: ReadonlyArray<Mutant & { readonly fileName: string }> } =
    await new Instrumenter(silent).instrument(
      files,
      options
    )
  const hashes = new Map(files.map(({ content, name }) => [name, hash(0, content)]))
  return mutants.map((mutant) => ({
    name: mutantName(mutant.fileName, mutant, 0),
    key: `${hashes.get(mutant.fileName)} ${mutantName(mutant.fileName, mutant, 0)}`,
    text: text({
      file: mutant.fileName.slice(`packages/${name}/`.length),
      source: lines.get(mutant.fileName)?.[mutant.location.start.line]?.trim() ?? "",
      mutator: mutant.mutatorName,
      replacement: mutant.replacement
    })
  }))
}

const sampleOf = (mutants: ReadonlyArray<Named>, seed: number, count: number): ReadonlyArray<Named> =>
  mutants.toSorted((a, b) => hash(seed, a.name).localeCompare(hash(seed, b.name))).slice(0, count)

/** What of a sample has to be judged again: what survived, and what is in files that have changed since. */
const unknownOf = async (
  directory: string,
  name: string,
  { commit, sampled, seed, survivors }: Result,
  sample: ReadonlyArray<Named>
): Promise<ReadonlyArray<Named>> => {
  const survived = new Set(survivors.map(text))
  const killed = new Set(
    sampleOf(await enumerate(directory, name, commit), seed, sampled)
      .flatMap(({ key, text }) => survived.has(text) ? [] : [key])
  )
  return sample.filter(({ key }) => !killed.has(key))
}

const vitestConfig = (name: string): string => `
import { defaultServerConditions } from "vite"
import { defineConfig } from "vitest/config"
import { BaseSequencer } from "vitest/node"
// Vitest begins with what takes longest, and a mutant's run ends with the first test that fails.
const longest = new Map()
class QuickFirst extends BaseSequencer {
  async sort(files) {
    for (const file of files) {
      const duration = this.ctx.cache.getTestSpecificationResult(file)?.duration ?? 0
      longest.set(file.moduleId, Math.max(duration, longest.get(file.moduleId) ?? 0))
    }
    return files.toSorted((a, b) => longest.get(a.moduleId) - longest.get(b.moduleId))
  }
}
export default defineConfig({
  root: import.meta.dirname,
  ssr: { resolve: { conditions: ["@effect-resilience/source", ...defaultServerConditions] } },
  test: {
    isolate: false,
    sequence: { sequencer: QuickFirst },
    // A test that other work on the machine makes slow must not count as one that notices a mutant.
    testTimeout: 120_000,
    setupFiles: ["packages/repo-checks/src/SeededChance.ts"],
    include: ["packages/${name}/test/**/*.test.ts"],
    exclude: [
      "packages/${name}/test/integration/**",
      // Measures garbage, to which that of Stryker's counts would be added.
      "packages/${name}/test/**/garbage-*.test.ts",
      // Simulates thousands of hours of servers, which takes minutes with Stryker's counts.
      "packages/${name}/test/**/limitComparison.test.ts"
    ]
  }
})
`

interface Report {
  readonly files: Readonly<
    Record<string, {
      readonly source: string
      readonly mutants: ReadonlyArray<Mutant & { readonly status: string }>
    }>
  >
}

const readJudged = (file: string): ReadonlyMap<string, string> =>
  new Map(existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line)) : [])

const measure = async (
  directory: string,
  name: string,
  { count, known, seed, survivorsOnly }: {
    readonly count: number
    readonly seed: number
    readonly known: Result | undefined
    readonly survivorsOnly: boolean
  }
): Promise<Result> => {
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: directory, encoding: "utf8" }).trim()
  const all = await enumerate(directory, name, commit)
  const again = survivorsOnly ? known : undefined
  if (survivorsOnly && again === undefined) {
    throw new Error(`No result of ${name} is recorded: measure it without --survivors`)
  }
  const whole = sampleOf(all, again?.seed ?? seed, again?.sampled ?? count)
  const judged = again === undefined ? whole : await unknownOf(directory, name, again, whole)
  const sample = judged.map(({ name }) => name)
  const file = (name: string, content: string): string => {
    const path = join(directory, name)
    writeFileSync(path, content)
    return path
  }
  // A run that is ended loses nothing: the next one of the commit goes on.
  const MUTANTS_JUDGED = join(directory, `mutants.judged.${name}.${commit}.jsonl`)
  const judgedBefore = readJudged(MUTANTS_JUDGED)
  const report = join(directory, "mutants.report.json")
  rmSync(report, { force: true })
  file("mutants.vitest.config.ts", vitestConfig(name))
  file(
    "mutants.stryker.json",
    JSON.stringify({
      testRunner: "vitest",
      vitest: { configFile: "mutants.vitest.config.ts", related: false },
      plugins: ["@stryker-mutator/vitest-runner", "./packages/repo-checks/src/mutants/samplePlugins.mjs"],
      checkers: ["sample"],
      mutate: [`packages/${name}/src/**/*.ts`],
      reporters: ["json", "judged", "progress-append-only"],
      jsonReporter: { fileName: report },
      inPlace: true,
      concurrency: 2,
      // Stryker counts a mutant as killed whose run takes longer than the first one and this. On a machine with other work that
      // happens to mutants that survive. Tests have a limit of their own, and Stryker ends loops without end by counting.
      timeoutMS: 120_000,
      dryRunTimeoutMinutes: 30,
      coverageAnalysis: "perTest",
      disableTypeChecks: false,
      allowConsoleColors: false
    })
  )
  const left = sample.filter((name) => !judgedBefore.has(name))
  const MUTANTS_SAMPLE = file("mutants.sample.json", JSON.stringify(left))
  run(directory, { MUTANTS_SAMPLE, MUTANTS_JUDGED }, "npx", "stryker", "run", "mutants.stryker.json")

  const wanted = new Set(sample)
  const { files }: Report = JSON.parse(readFileSync(report, "utf8"))
  const sampled = Object.entries(files).flatMap(([file, { mutants, source }]) =>
    mutants.flatMap((mutant) => {
      const name = mutantName(file, mutant, 1)
      const line = source.split("\n")[mutant.location.start.line - 1]?.trim() ?? ""
      return wanted.has(name)
        ? [{ ...mutant, file, source: line, status: judgedBefore.get(name) ?? mutant.status }]
        : []
    })
  )
  if (sampled.length !== sample.length) throw new Error(`Of ${sample.length} mutants Stryker reports ${sampled.length}`)
  // One that Stryker calls a runtime error makes the run fail outside of a test: that, too, is noticed.
  const unjudged = sampled.filter(({ status }) => !/^(?:Killed|RuntimeError|Timeout|Survived|NoCoverage)$/.test(status))
  if (unjudged.length > 0) throw new Error(`Of ${sample.length} mutants Stryker has not judged ${unjudged.length}`)
  const reasonOf = (survivor: Omit<Survivor, "reason">): string =>
    known?.survivors.find((old) => text(old) === text(survivor))?.reason ?? ""
  const survivors = sampled.filter(({ status }) => status === "Survived" || status === "NoCoverage")
    .map(({ file, mutatorName, replacement, source, status }) => {
      const survivor = {
        file: file.slice(`packages/${name}/`.length),
        source,
        mutator: mutatorName,
        replacement,
        uncovered: status === "NoCoverage"
      }
      return { ...survivor, reason: reasonOf(survivor) }
    })
  return {
    date: new Date().toISOString().slice(0, 10),
    commit,
    seed: again?.seed ?? seed,
    mutants: all.length,
    sampled: whole.length,
    killed: whole.length - survivors.length,
    survivors
  }
}

const resultsFile = join(root, "packages/repo-checks/fixtures/mutants.json")

export const readResults = (): Results => existsSync(resultsFile) ? JSON.parse(readFileSync(resultsFile, "utf8")) : {}

if (import.meta.main) {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      count: { type: "string", default: "200" },
      directory: { type: "string" },
      seed: { type: "string", default: "1" },
      survivors: { type: "boolean", default: false }
    }
  })
  const directory = values.directory ?? mkdtempSync(join(tmpdir(), "mutants-"))
  try {
    copy(directory)
    for (const name of positionals.length === 0 ? measured : positionals) {
      const result = await measure(directory, name, {
        count: Number(values.count),
        seed: Number(values.seed),
        known: readResults()[name],
        survivorsOnly: values.survivors
      })
      // Another run may have written meanwhile.
      const results = { ...readResults(), [name]: result }
      writeFileSync(resultsFile, `${JSON.stringify(results, null, 2)}\n`)
      writeFileSync(join(root, "packages/repo-checks/MUTANTS.md"), page(results))
      console.log(`${name}: ${result.killed} of ${result.sampled} killed`)
    }
  } finally {
    if (values.directory === undefined) rmSync(directory, { recursive: true, force: true })
  }
}
