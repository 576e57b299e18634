/**
 * A checker for Stryker that lets the mutants of a sample through and leaves out all others: Stryker itself has no samples. It runs in a
 * process of its own, which finds the sample in the file that `MUTANTS_SAMPLE` names.
 */
import { declareFactoryPlugin, PluginKind } from "@stryker-mutator/api/plugin"
import { readFileSync } from "node:fs"
import { relative } from "node:path"
import { mutantName } from "./mutantName.ts"

const sampleChecker = () => {
  const sample = new Set(JSON.parse(readFileSync(process.env["MUTANTS_SAMPLE"], "utf8")))
  return {
    init: async () => {},
    check: async (mutants) =>
      Object.fromEntries(mutants.map((mutant) => [
        mutant.id,
        sample.has(mutantName(relative(process.cwd(), mutant.fileName), mutant, 0))
          ? { status: "passed" }
          : { status: "compileError", reason: "not in the sample" }
      ]))
  }
}
sampleChecker.inject = []

export const strykerPlugins = [declareFactoryPlugin(PluginKind.Checker, "sample", sampleChecker)]
