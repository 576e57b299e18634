// The recipes in `deploy/`, tried as far as a test can.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { folder, start, write } from "./command.ts"

const deploy = fileURLToPath(new URL("../deploy/", import.meta.url))
const repository = fileURLToPath(new URL("../../../", import.meta.url))
const read = (name: string) => readFileSync(join(deploy, name), "utf8")

/** The arguments of a line that runs the command. */
const argsIn = (line: string): ReadonlyArray<string> =>
  (/tbm-studio ((?:batch|watch) [^>\n]*)/.exec(line)?.[1] ?? "").trim().split(/\s+/)

describe("deploy", () => {
  it.live("the image has everything that the command needs, also without a home", () =>
    Effect.gen(function*() {
      const image = yield* folder
      chmodSync(image, 0o755)
      for (const [, from = "", to = ""] of read("Dockerfile").matchAll(/^COPY --from=build \/build\/(\S+) (\S+)$/gm)) {
        const target = to.endsWith("/") ? join(image, to, basename(from)) : join(image, to)
        mkdirSync(dirname(target), { recursive: true })
        cpSync(join(repository, from), target, { recursive: true })
      }
      for (const args of [["--version"], ["status", "none.csv"], ["worker"]]) {
        const bin = join(image, "bin/tbm-studio.js")
        const { ended } = yield* start(process.execPath, [bin, ...args], { NODE_DISABLE_COMPILE_CACHE: "1" }, image)
        const { status, stderr } = yield* ended
        assert.strictEqual(status, args[0] === "--version" ? 0 : args[0] === "status" ? 66 : 64, stderr)
      }
    }).pipe(Effect.scoped))

  it.live("the lines of systemd and cron are lines that the command accepts", () =>
    Effect.gen(function*() {
      const dir = yield* folder
      const manifest = write(dir, "month.csv", "file,project,table,period\n")
      const rules = write(dir, "rules.json", JSON.stringify({ watch: [{ files: "*.txt", ignore: true }] }))
      for (
        const [name, harmless] of [
          ["tbm-studio-month.service", "--dry-run"],
          ["tbm-studio-watch.service", "--once"],
          ["crontab", "--dry-run"]
        ] as const
      ) {
        const line = read(name).split("\n").find((line) => /tbm-studio (batch|watch)/.test(line)) ?? ""
        const here: { readonly [path: string]: string } = {
          "/srv/tbm-studio/month.csv": manifest,
          "/srv/tbm-studio/inbox": dir,
          "/srv/tbm-studio/rules.json": rules,
          "/var/log/tbm-studio/access.jsonl": join(dir, "access.jsonl"),
          "/usr/local/bin/tbm-studio-alarm": "/bin/true"
        }
        const args = argsIn(line).map((arg) => here[arg] ?? arg)
        assert.isAbove(args.length, 5)
        const { ended } = yield* start(
          process.execPath,
          [join(deploy, "../bin/tbm-studio.js"), ...args, harmless],
          {}
        )
        const { status, stderr } = yield* ended
        // It has no settings here, which is not the fault of the line.
        assert.deepStrictEqual([status, stderr.includes("TBM_CUSTOMER is not set")], [64, true], stderr)
      }
    }).pipe(Effect.scoped))

  it.live.skipIf(!existsSync("/usr/bin/systemd-analyze"))(
    "the units are units of systemd",
    () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const runnable = (name: string) => read(name).replace("/usr/local/bin/tbm-studio ", "/bin/true ")
        const service = runnable("tbm-studio-month.service")
        const units = [
          write(dir, "tbm-studio-month.service", service),
          write(dir, "tbm-studio-watch.service", runnable("tbm-studio-watch.service")),
          write(dir, "tbm-studio-month.timer", read("tbm-studio-month.timer"))
        ]
        // It exits with 0 after warnings.
        const warnings = () => {
          const { stderr } = spawnSync("/usr/bin/systemd-analyze", ["verify", ...units], { encoding: "utf8" })
          return stderr.split("\n").filter((line) => line.includes(dir))
        }
        assert.deepStrictEqual(warnings(), [])
        write(dir, "tbm-studio-month.service", `${service}Restarts=sometimes\n`)
        assert.lengthOf(warnings(), 1)
      }).pipe(Effect.scoped)
  )

  it.live("the alarm mails the report", () =>
    Effect.gen(function*() {
      const dir = yield* folder
      chmodSync(write(dir, "mail", `#!/bin/sh\necho "$@" >"${dir}/mailed"; cat >>"${dir}/mailed"\n`), 0o755)
      const script = start(join(deploy, "tbm-studio-alarm"), [], {
        PATH: `${dir}:${process.env["PATH"]}`,
        TBM_STUDIO_EXIT_STATUS: "65"
      })
      assert.strictEqual((yield* Effect.flatMap(script, ({ ended }) => ended)).status, 0)
      const mailed = readFileSync(join(dir, "mailed"), "utf8").split("\n")
      assert.match(mailed[0] ?? "", /^-s TBM Studio: an upload needs attention .*@acme\.com$/)
      assert.strictEqual(mailed[1], "tbm-studio ended with status 65. Its report:")
    }).pipe(Effect.scoped))
})
