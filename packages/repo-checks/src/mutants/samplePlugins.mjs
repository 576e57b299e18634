/**
 * A checker for Stryker that lets the mutants of a sample through and leaves out all others: Stryker itself has no samples. It runs in a
 * process of its own, which finds the sample in the file that `MUTANTS_SAMPLE` names. And a reporter that appends what Stryker finds of each
 * to the file that `MUTANTS_JUDGED` names.
 */
import { declareFactoryPlugin, PluginKind } from "@stryker-mutator/api/plugin"
import { appendFileSync, readFileSync } from "node:fs"
import { relative } from "node:path"
import { mutantName } from "./mutantName.ts"

const nameOf = (mutant, first) => mutantName(relative(process.cwd(), mutant.fileName), mutant, first)

const readSample = () => new Set(JSON.parse(readFileSync(process.env["MUTANTS_SAMPLE"], "utf8")))

const sampleChecker = () => {
  const sample = readSample()
  return {
    init: async () => {},
    check: async (mutants) =>
      Object.fromEntries(mutants.map((mutant) => [
        mutant.id,
        sample.has(nameOf(mutant, 0))
          ? { status: "passed" }
          : { status: "compileError", reason: "not in the sample" }
      ]))
  }
}
sampleChecker.inject = []

const judgedReporter = () => {
  const sample = readSample()
  return {
    onMutantTested: (mutant) => {
      const name = nameOf(mutant, 1)
      if (sample.has(name)) appendFileSync(process.env["MUTANTS_JUDGED"], `${JSON.stringify([name, mutant.status])}\n`)
    }
  }
}
judgedReporter.inject = []

export const strykerPlugins = [
  declareFactoryPlugin(PluginKind.Checker, "sample", sampleChecker),
  declareFactoryPlugin(PluginKind.Reporter, "judged", judgedReporter)
]
