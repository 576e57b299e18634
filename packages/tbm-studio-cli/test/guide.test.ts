/** The guide `docs/guides/tbm-studio.md`, typed in as it stands: each line of a shell, and what it prints. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { chmodSync, mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { bin, folder, start, write } from "./command.ts"

const simulator = fileURLToPath(new URL("../../tbm-simulator/bin/tbm-simulator.js", import.meta.url))

interface Step {
  readonly shell: string
  readonly prints: string
}

/** The fences of a page, up to where it leaves the simulator: what to type, and the text below it. */
const steps = (page: string): ReadonlyArray<Step> => {
  const [practice = ""] = page.split("\n## The real service")
  return [...practice.matchAll(/^```sh\n([^]*?)^```\n(?:\n```text\n([^]*?)^```$)?/gm)]
    .map(([, shell = "", prints = ""]) => ({ shell, prints }))
    // The test has installed it, and runs the simulator.
    .filter(({ shell }) => !/^(?:npm|npx) /.test(shell))
}

/** `…` stands for anything within a line, and a line that is only `…` for a line of anything. */
const pattern = (text: string): RegExp =>
  new RegExp(`^${text.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*")}$`)

describe.skipIf(process.platform === "win32")("the guide to TBM Studio", () => {
  it.live("prints what it shows, at each step", () =>
    Effect.gen(function*() {
      const page = readFileSync(new URL("../../../docs/guides/tbm-studio.md", import.meta.url), "utf8")
      const dir = yield* folder
      const commands = join(dir, "bin")
      mkdirSync(commands)
      chmodSync(write(commands, "tbm-studio", `#!/bin/sh\nexec "${process.execPath}" "${bin}" "$@"\n`), 0o755)
      const running = yield* start(process.execPath, [simulator, "--port", "0"], {}, dir)
      const url = yield* Effect.repeat(running.output, {
        while: ({ stdout }) => !stdout.includes("\n")
      }).pipe(Effect.map(({ stdout }) => /http:\S+/.exec(stdout)?.[0] ?? ""))

      const all = steps(page.replaceAll("http://127.0.0.1:8080", url))
      assert.isAbove(all.length, 10)
      const script = all.map(({ shell }) => `${shell}\necho "--- next"\n`).join("")
      const env = { PATH: `${commands}:${process.env["PATH"]}`, HOME: dir }
      const { ended } = yield* start("bash", ["-c", `exec 2>&1\n${script}`], env, dir)
      const { stdout } = yield* ended
      const printed = stdout.split("--- next\n")
      all.forEach(({ prints, shell }, i) => assert.match(printed[i] ?? "", pattern(prints), shell))
    }))
})
