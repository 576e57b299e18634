/**
 * A checker for Stryker that lets the mutants of a sample through and leaves out all others: Stryker itself has no samples. It runs in a
 * process of its own, which finds the sample in the file that `MUTANTS_SAMPLE` names.
 */
import { commonTokens, declareFactoryPlugin, PluginKind } from "@stryker-mutator/api/plugin"
import { readFileSync } from "node:fs"
import { relative } from "node:path"

/** What a mutant is called by in samples and reports. Lines count from 0, as in Stryker's interface. */
export const nameOf = (root, { fileName, location: { end, start }, mutatorName, replacement }) =>
  [relative(root, fileName), start.line, start.column, end.line, end.column, mutatorName, replacement].join("\0")

const sampleChecker = () => {
  const sample = new Set(JSON.parse(readFileSync(process.env["MUTANTS_SAMPLE"], "utf8")))
  return {
    init: async () => {},
    check: async (mutants) =>
      Object.fromEntries(mutants.map((mutant) => [
        mutant.id,
        sample.has(nameOf(process.cwd(), mutant))
          ? { status: "passed" }
          : { status: "compileError", reason: "not in the sample" }
      ]))
  }
}
sampleChecker.inject = [commonTokens.options]

export const strykerPlugins = [declareFactoryPlugin(PluginKind.Checker, "sample", sampleChecker)]
