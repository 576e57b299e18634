import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as command from "./command.ts"

const output = (...args: ReadonlyArray<string>) =>
  Effect.map(command.tbmStudio(args, {}), ({ status, stdout }) => {
    assert.strictEqual(status, 0)
    return stdout
  })

/** The flags and arguments of PowerShell's script by their commands, which is a table of data. */
const tableOf = (script: string) => {
  const commands = new Map<string, Map<string, { readonly path: string | undefined; readonly values: string }>>()
  for (const [, name = "", body = ""] of script.matchAll(/_Completions\['([^']*)'\] = @\{\n([^]*?)\n\}\n/g)) {
    const entries = body.matchAll(/@\{ name = '([^']+)';.*?values = @\(([^)]*)\); pathType = (?:'(\w+)'|\$null)/g)
    commands.set(name, new Map(Array.from(entries, ([, flag = "", values = "", path]) => [flag, { path, values }])))
  }
  return commands
}

describe("completions", () => {
  it.live("of PowerShell have global flags for every command, values, and files where the help says FILE or DIRECTORY", () =>
    Effect.gen(function*() {
      const commands = tableOf(yield* output("--completions", "powershell"))
      const help = yield* output("--help")
      const names = Array.from(
        help.slice(help.indexOf("SUBCOMMANDS")).matchAll(/^ {2}([a-z]+) /gm),
        ([, name = ""]) => name
      )
      let paths = 0
      assert.includeMembers(names, ["batch", "watch", "upload", "login"])
      for (const name of names) {
        const flags = commands.get(name)
        const get = (flag: string) => flags?.get(flag)
        assert.strictEqual(get("access-log")?.path, "file", name)
        assert.include(get("log-level")?.values, "'warn'", name)
        assert.isDefined(get("json"), name)
        const page = yield* output(name, "--help")
        for (const [, flag = "", kind = ""] of page.matchAll(/^ {2}.*--([\w-]+) (FILE|DIRECTORY)\b/gm)) {
          assert.strictEqual(get(flag)?.path, kind === "FILE" ? "file" : "directory", `${name} --${flag}`)
          paths++
        }
      }
      assert.isAbove(paths, names.length)
    }))
})
