import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { folder, settingsFor, tbmStudio, write } from "../command.ts"

describe("tbm-studio download", { timeout: 120_000 }, () => {
  layer(Simulator.layer({ seed: 1 }), { excludeTestServices: true })((it) => {
    const run = (dir: string, ...args: ReadonlyArray<string>) =>
      Effect.flatMap(Simulator.Simulator, ({ url }) => tbmStudio(args, settingsFor(url), dir))
    const at = (table: string) => ["--project", "Cost Transparency", "--table", table, "--period", "Jan:FY2024"]
    const download = (dir: string, table: string, output: string) =>
      run(dir, "download", ...at(table), "--output", output, "--json")

    it.effect("writes the rows of a table to a new file that only its owner can read", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "gl.csv", "Account,Text\n1,\"a\nb\"\n2,c\n")
        assert.strictEqual((yield* run(dir, "upload", "gl.csv", ...at("GL/Data"))).status, 0)
        const tsv = "Account\tText\n1\t\"a\nb\"\n2\tc\n"
        const ended = yield* download(dir, "GL/Data", "got.tsv")
        assert.strictEqual(ended.status, 0, ended.stderr)
        const { bytes, file, md5, rows, status } = JSON.parse(ended.stdout)
        assert.deepStrictEqual([status, file, rows, bytes, md5], [
          "downloaded",
          "got.tsv",
          2,
          tsv.length,
          createHash("md5").update(tsv).digest("hex")
        ])
        assert.strictEqual(readFileSync(join(dir, "got.tsv"), "utf8"), tsv)
        assert.strictEqual(statSync(join(dir, "got.tsv")).mode & 0o777, 0o600)
        assert.deepStrictEqual(readdirSync(dir).toSorted(), ["gl.csv", "got.tsv"])
      }))

    it.effect("never replaces what is there, and asks for no table that it could not keep", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const { state } = yield* Simulator.Simulator
        const { requests } = yield* state
        write(dir, "there.tsv", "mine")
        mkdirSync(join(dir, "folder"))
        symlinkSync("nowhere", join(dir, "link"))
        for (const output of ["there.tsv", "folder", "link", "-", "/dev/null", "/dev/stdout", ""]) {
          const ended = yield* download(dir, "T", output)
          assert.strictEqual(ended.status, 64, `${output}: ${ended.stdout}`)
        }
        assert.strictEqual((yield* state).requests, requests)
        assert.strictEqual(readFileSync(join(dir, "there.tsv"), "utf8"), "mine")
        assert.deepStrictEqual(readdirSync(dir).toSorted(), ["folder", "link", "there.tsv"])
        assert.include((yield* download(dir, "T", "none/got.tsv")).stdout, "there is no such folder")
      }))

    it.effect("leaves no file of a response that is cut off, a login page, or a table that is missing", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const { addFaults } = yield* Simulator.Simulator
        write(dir, "gl.csv", "Account\n1\n")
        for (
          const [table, status, fault] of [
            ["Cut", 69, { type: "truncate" }],
            ["Page", 65, { type: "html", status: 200 }],
            ["Denied", 77, { type: "status", status: 403 }]
          ] as const
        ) {
          assert.strictEqual((yield* run(dir, "upload", "gl.csv", ...at(table))).status, 0)
          yield* addFaults([{ match: { operation: "download", path: `tables/${table}/` }, fault }])
          const ended = yield* download(dir, table, "got.tsv")
          assert.strictEqual(ended.status, status, `${table}: ${ended.stdout}`)
        }
        assert.strictEqual((yield* download(dir, "Missing", "got.tsv")).status, 65)
        assert.deepStrictEqual(readdirSync(dir), ["gl.csv"])
      }))

    it.effect("keeps the file of another that got the name meanwhile", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const { addFaults } = yield* Simulator.Simulator
        write(dir, "gl.csv", "Account\n1\n")
        yield* run(dir, "upload", "gl.csv", ...at("Race"))
        const slow = {
          match: { operation: "download", path: "tables/Race/" },
          fault: { type: "delay", ms: 1500 }
        } as const
        yield* addFaults([slow])
        const ends = yield* Effect.all([download(dir, "Race", "got.tsv"), download(dir, "Race", "got.tsv")], {
          concurrency: 2
        })
        assert.deepStrictEqual(ends.map(({ status }) => status).toSorted(), [0, 64])
        assert.deepStrictEqual(readdirSync(dir).toSorted(), ["gl.csv", "got.tsv"])
      }))
  })
})
