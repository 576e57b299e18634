import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as command from "../../command.ts"
import * as tmux from "./tmux.ts"

const lost = {
  match: { operation: "upload", path: "*append" },
  times: 2,
  fault: { type: "reset", at: "beforeResponse" }
} as const

describe("tbm-studio resolve", { timeout: 120_000 }, () => {
  layer(Simulator.layer({ seed: 1 }), { excludeTestServices: true })((it) => {
    /** A folder with a batch of two appends in doubt, and `resolve` in a terminal of 60 columns. */
    const asking = (project: string, more: Record<string, string> = {}) =>
      Effect.gen(function*() {
        const { addFaults, url } = yield* Simulator.Simulator
        const cwd = yield* command.folder
        command.write(cwd, "a.csv", "A,B\n1,2\n")
        command.write(cwd, "b.csv", "A,B\n3,4\n")
        const rows = ["a.csv", "b.csv"].map((file) => `${file},${project},${file},May:2024,append`)
        command.write(cwd, "m.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
        yield* addFaults([lost])
        const run = (...args: ReadonlyArray<string>) => command.tbmStudio(args, command.settingsFor(url), cwd)
        assert.strictEqual((yield* run("batch", "m.csv")).status, 75)
        const env = { PATH: process.env["PATH"] ?? "", ...command.settingsFor(url), ...more }
        const terminal = yield* tmux.run(`${process.execPath} ${command.bin} resolve m.csv`, { columns: 60, cwd, env })
        const says = (words: string) =>
          terminal.until(words, (lines) => lines.join(" ").replace(/\s+/g, " ").includes(words))
        const answer = (word: string) => Effect.andThen(terminal.press(word), terminal.press("Enter"))
        return { ...terminal, answer, run, says }
      })

    it.effect.each([{}, { TERM: "dumb" }])(
      "asks about one append after the other, and records each answer: %j",
      (more) =>
        Effect.gen(function*() {
          const { answer, run, says } = yield* asking(`Two ${JSON.stringify(more).length}`, more)
          yield* says("1 of 2: a.csv, which was appended to Two")
          yield* says("Are its rows in the table?")
          yield* answer("yes")
          yield* says("2 of 2: b.csv")
          yield* answer("no")
          yield* says("1 taken for done · 1 to be sent again Run the batch again: it sends what is missing. ENDED 0")
          const { items } = JSON.parse((yield* run("batch", "m.csv", "--json")).stdout)
          assert.deepStrictEqual(items.map(({ status }: { status: string }) => status), ["skipped", "uploaded"])
        }).pipe(Effect.scoped)
    )

    it.effect("leaves in doubt what is not answered, and keeps what was answered before Ctrl-C", () =>
      Effect.gen(function*() {
        const { answer, press, run, says } = yield* asking("Stopped")
        yield* says("1 of 2")
        yield* answer("y")
        yield* says("2 of 2")
        yield* press("C-c")
        yield* says("ENDED 130")
        const rest = yield* run("resolve", "m.csv", "--unknown", "skip", "--json")
        assert.deepStrictEqual(JSON.parse(rest.stdout).items.map(({ file }: { file: string }) => file), ["b.csv"])
      }).pipe(Effect.scoped))

    it.effect("exits with 75 while something is left in doubt", () =>
      Effect.gen(function*() {
        const { answer, press, says } = yield* asking("Left")
        yield* says("1 of 2")
        yield* answer("later")
        yield* says("2 of 2")
        yield* press("C-d")
        yield* says("2 still in doubt ENDED 75")
      }).pipe(Effect.scoped))
  })
})
