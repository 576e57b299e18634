import { assert, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

// In a process of its own: one that hangs turns no event loop, and no limit of a test ends it.
it("a request over HTTP/2 that fails, is interrupted or given up does not hang the process", () => {
  const { stderr, stdout } = spawnSync(
    process.execPath,
    ["--conditions=@effect-resilience/source", fileURLToPath(new URL("./endsOverHttp2.ts", import.meta.url))],
    { encoding: "utf8", timeout: 100_000, killSignal: "SIGKILL" }
  )
  assert.strictEqual(stdout, "Failure Failure Success Success Success Success Failure Success\n", stderr)
})
