import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { folder, start } from "../command.ts"

const root = fileURLToPath(new URL("../../../..", import.meta.url))

// The demonstration's simulator has the seed 2024, so its tokens are these.
const tokens = Effect.gen(function*() {
  const { url } = yield* Simulator.Simulator
  const login = Effect.promise(() =>
    fetch(`${url}/service/apikeylogin`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ keyAccess: "sim-public-key", keySecret: "sim-secret-key" })
    })
  )
  return yield* Effect.forEach([1, 2], () => Effect.map(login, ({ headers }) => headers.get("apptio-opentoken") ?? ""))
}).pipe(Effect.provide(Simulator.layer({ seed: 2024 })))

interface Line {
  readonly time: string
  readonly kind: "attempt" | "call"
  readonly call: string
  readonly outcome: string
  readonly operation: string
  readonly method: string
  readonly endpoint: string
  readonly status?: number
  readonly durationMs: number
  readonly attempt: number
  readonly error?: { readonly reason: string }
}

it.live(
  "npm start uploads everything exactly once despite all faults, and reports it",
  () =>
    Effect.gen(function*() {
      const { ended } = yield* start("npm", ["start", "--", "--log-level", "all"], {
        HOME: process.env["HOME"] ?? "",
        TMPDIR: yield* folder
      }, root)
      const { status, stderr, stdout } = yield* ended
      assert.strictEqual(status, 0, stderr)

      const rows = stdout.match(/^.+ (overwrite|append) +uploaded +\d.*$/gm) ?? []
      assert.lengthOf(rows, 13)
      for (const row of rows) assert.match(row, /\d (B|kB|MB) +[\d.]+ m?s  verified$/)
      assert.match(stdout, /Cloud Usage \/ March:2024 +overwrite +uploaded +1 +67\.\d MB/)
      const totals = /^13 of 13 uploaded · 70\.\d MB · [\d.]+ s · (\d+) attempts · 2 logins$/m.exec(stdout)
      // The API rejects the token of one upload, and of all others that are running then.
      const attempts = Number(totals?.[1])
      assert.isTrue(attempts >= 18 && attempts <= 21, stdout)
      for (const cause of ["2 × 503", "401", "429", "connection lost"]) {
        assert.include(/^Retries by cause: .*$/m.exec(stdout)?.[0], cause)
      }
      assert.match(stdout, /13 uploads, each stored exactly once, byte for byte/)
      assert.notInclude(stderr, "\u001b")
      assert.match(stderr, /^✓ GL Data \/ January:2024 /m)

      const path = /^Access log: (.+)$/m.exec(stdout)?.[1] ?? ""
      const text = readFileSync(path, "utf8")
      const lines = text.trimEnd().split("\n").map((line): Line => JSON.parse(line))
      const of = (operation: RegExp, kind: Line["kind"]) =>
        lines.filter((line) => operation.test(line.operation) && line.kind === kind)
      assert.lengthOf(of(/table/, "attempt"), attempts)
      assert.lengthOf(of(/table/, "call"), 13)
      assert.lengthOf(of(/log in/, "call"), 2)
      assert.lengthOf(of(/environment/, "call"), 1)
      for (const line of lines) {
        assert.match(line.time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
        assert.match(line.endpoint, /^\/(service|api|biit)\//)
        assert.isTrue(line.durationMs > 0 && line.attempt >= 1 && line.method.length > 2, JSON.stringify(line))
      }
      for (const call of of(/table/, "call")) {
        const attempts = of(/table/, "attempt").filter((attempt) => attempt.call === call.call)
        assert.deepStrictEqual(attempts.map(({ attempt }) => attempt), attempts.map((_, index) => index + 1))
        assert.deepStrictEqual([call.attempt, call.outcome], [attempts.length, "success"])
      }

      const secrets = ["sim-public-key", "sim-secret-key", ...yield* tokens]
      for (const secret of secrets) {
        const encoded = Buffer.from(secret).toString("base64").slice(0, -4)
        for (const trace of [secret, encoded]) assert.isFalse((stdout + stderr + text).includes(trace), trace)
      }
      assert.isAbove(new Set(secrets).size, 3)
    }),
  60_000
)
