import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const bin = fileURLToPath(new URL("../bin/tbm-studio.js", import.meta.url))

export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly kill: (signal: NodeJS.Signals) => void
  /** What it has printed so far. */
  readonly output: Effect.Effect<Pick<Ended, "stdout" | "stderr">>
  readonly ended: Effect.Effect<Ended>
}

/** The settings for a simulator. */
export const settingsFor = (url: string): Record<string, string> => ({
  TBM_CUSTOMER: "acme",
  TBM_DOMAIN: "acme.com",
  TBM_PUBLIC_KEY: "sim-public-key",
  TBM_SECRET_KEY: "sim-secret-key",
  TBM_FRONTDOOR_URL: url,
  TBM_API_URL: url,
  TBM_DATALINK_URL: url
})

/** Starts a program with only these settings in its environment. */
export const start = (
  file: string,
  args: ReadonlyArray<string>,
  env: Record<string, string>,
  cwd?: string
) =>
  Effect.acquireRelease(
    Effect.sync((): Running => {
      const child = spawn(file, args, {
        cwd,
        env: { PATH: process.env["PATH"], ...env },
        stdio: ["ignore", "pipe", "pipe"]
      })
      const output = { stdout: "", stderr: "" }
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        output.stdout += text
      })
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        output.stderr += text
      })
      let status: number | null | undefined
      child.once("close", (code) => {
        status = code
      })
      return {
        kill: (signal) => child.kill(signal),
        output: Effect.sync(() => ({ ...output })),
        ended: Effect.callback((resume) => {
          const done = () => resume(Effect.succeed({ status: child.exitCode, ...output }))
          if (status === undefined) child.once("close", done)
          else done()
        })
      }
    }),
    (running) => Effect.sync(() => running.kill("SIGKILL"))
  )

/** Runs the command `tbm-studio` until it ends. */
export const tbmStudio = (
  args: ReadonlyArray<string>,
  env: Record<string, string>,
  cwd?: string
): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(start(process.execPath, [bin, ...args], env, cwd), ({ ended }) => ended))

/** A folder for a test's files. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "tbm-studio-test-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** Writes a file in that folder, and returns its path. */
export const write = (folder: string, name: string, content: string | Uint8Array): string => {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}
