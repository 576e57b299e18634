import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { hostname, userInfo } from "node:os"
import { join } from "node:path"
import * as CsvText from "../src/internal/csvText.ts"
import { folder, settingsFor, tbmStudio, write } from "./command.ts"

describe("audit", () => {
  layer(
    Simulator.layer({ seed: 1, faults: [{ match: { path: "Missing" }, fault: { type: "status", status: 404 } }] }),
    { excludeTestServices: true }
  )((it) => {
    it.effect("lists who uploaded which rows of which file when, to where and with what outcome, as CSV and JSON", () =>
      Effect.gen(function*() {
        const { url } = yield* Simulator.Simulator
        const dir = yield* folder
        const content = "account,amount\nx,1\ny,2\n"
        write(dir, "=cmd,1.csv", content)
        const manifest = write(
          dir,
          "m.csv",
          `file,project,table,period,action\n"=cmd,1.csv",P,-Costs,Jan:2024,append\n"=cmd,1.csv",P,Missing,Jan:2024,\n`
        )
        const run = (...args: ReadonlyArray<string>) => tbmStudio(args, settingsFor(url), dir)
        assert.strictEqual((yield* run("batch", manifest, "--concurrency", "1")).status, 65)

        const json = yield* run("audit", manifest, "--json")
        assert.strictEqual(json.status, 0)
        const items: ReadonlyArray<{ readonly when: string }> = JSON.parse(json.stdout).items
        const md5 = createHash("md5").update(content).digest("hex")
        const who = `${userInfo().username}@${hostname()}`
        const origin = url.replace("127.0.0.1", "localhost")
        const csv = yield* run("audit", `${manifest}.journal.sqlite`, "--csv")
        assert.strictEqual(csv.status, 0)
        const lines = csv.stdout.split("\r\n")
        assert.deepStrictEqual(lines.slice(0, 2), [
          "when,who,file,md5,bytes,rows,service,domain,environment,project,table,period,action,outcome,verified,attempts,note",
          `${
            items[0]?.when
          },${who},"'=cmd,1.csv",${md5},23,2,${origin},acme.com,main,P,'-Costs,January:2024,append,uploaded,true,1,`
        ])
        assert.match(lines[2] ?? "", /,Missing,January:2024,overwrite,failed,false,1,"?.*404/)
        assert.deepStrictEqual(lines.slice(3), [""])

        const text = yield* run("audit", manifest)
        assert.match(text.stdout, /When \(UTC\) +Who +Table +Action +Outcome +Rows +File +md5/)
        assert.strictEqual((yield* run("audit", join(dir, "none.csv"))).status, 66)
      }))
  })
})

describe("a line of CSV", () => {
  it("quotes what RFC 4180 quotes, and begins no formula", () => {
    assert.strictEqual(
      CsvText.line(["a", "say \"x\"", "1,2", "two\r\nlines", null, -1, true]),
      "a,\"say \"\"x\"\"\",\"1,2\",\"two\r\nlines\",,-1,true"
    )
    for (const text of ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1"]) {
      assert.match(CsvText.line([text]), /^"?'/, JSON.stringify(text))
    }
  })
})
