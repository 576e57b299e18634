import * as Settings from "@effect-resilience/tbm-studio/Settings"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as ExitStatus from "../../ExitStatus.ts"
import { printOutput } from "../commandOutput.ts"
import * as journalFile from "../journalFile.ts"
import * as Place from "../place.ts"
import * as units from "../units.ts"

const flags = {
  manifest: Argument.String("manifest").pipe(Argument.withDescription("The manifest whose journal is taken over")),
  journal: Flag.String("journal").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Its journal (default MANIFEST.journal.sqlite)"),
    Flag.optional
  ),
  wait: journalFile.waitFlag
}

export const adopt = Command.make("adopt", flags, ({ journal, manifest, wait }) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const scope = Place.scopeOf(yield* Settings.load)
    const path = Option.isSome(journal) ? journal.value : yield* journalFile.beside(manifest)
    const real = yield* Effect.orElseSucceed(fs.realPath(manifest), () => paths.resolve(manifest))
    const folders = [paths.dirname(real), paths.dirname(paths.resolve(manifest))]
    const { moved, outdated } = yield* journalFile.adopt(path, scope, {
      names: (file) =>
        folders.map((folder) => paths.relative(folder, file)).find((name) => !name.startsWith("..")) ?? file,
      wait: Option.getOrUndefined(wait)
    })
    const lines = [
      ...(outdated === 0 ? [] : [`Took over ${units.plural(outdated, "upload")} of an earlier build.`]),
      ...(moved === 0
        ? []
        : [`${units.plural(moved, "upload")} to another address now count for ${Place.describe(scope)}.`])
    ]
    return {
      json: { journal: path, outdated, moved },
      text: lines.length > 0 ? lines : ["There was nothing to take over."],
      exitStatus: ExitStatus.done
    }
  }).pipe(printOutput)).pipe(
    Command.withDescription("Take over the journal of an earlier build, or of the same service under another address"),
    Command.withExamples([
      { command: "tbm-studio adopt january.csv", description: "Continue with a journal that batch does not accept" }
    ])
  )
