import * as Simulator from "@effect-resilience/tbm-simulator/Simulator"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { once } from "node:events"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Case, Suite } from "../Suite.ts"

const rows = 100_000

// An upload is known in the journal by where it went, so that is always the same.
const port = 47_117
const url = `http://127.0.0.1:${port}`

const folder = join(tmpdir(), "effect-resilience-bench-manifest")
const manifest = join(folder, "manifest.csv")
const journal = join(folder, "journal.sqlite")

const command = fileURLToPath(new URL("../../../tbm-studio-cli/", import.meta.url))

/** The rows and their files of 1 kB, made once and kept among the temporary ones. */
const makeFiles = () => {
  if (fs.existsSync(manifest)) return
  fs.mkdirSync(folder, { recursive: true })
  const body = `account,amount,period,description\n${"4711,1234.56,2024-01,Cost Transparency row\n".repeat(23)}`
  const lines = ["file,project,table,period,action"]
  for (let i = 0; i < rows; i++) {
    fs.writeFileSync(join(folder, `f${i}.csv`), `${body}${i},1,2,3\n`)
    lines.push(`f${i}.csv,Cost Transparency,Table ${i},January:2024,overwrite`)
  }
  fs.writeFileSync(manifest, lines.join("\n"))
}

/** Runs the command until so many uploads have arrived, or to its end. */
const upload = async (most = Infinity) => {
  const env = {
    ...process.env,
    TBM_CUSTOMER: "acme",
    TBM_DOMAIN: "acme.com",
    TBM_PUBLIC_KEY: "sim-public-key",
    TBM_SECRET_KEY: "sim-secret-key",
    TBM_FRONTDOOR_URL: url,
    TBM_API_URL: url,
    TBM_DATALINK_URL: url
  }
  const args = ["batch", manifest, "--no-preflight", "--journal", journal, "--json"]
  const child = spawn(process.execPath, [join(command, "bin/tbm-studio.js"), ...args], {
    env,
    stdio: "ignore"
  })
  let uploads = 0
  const onRequest = (message: unknown) => {
    const { request } = message as { readonly request: { readonly url: string } }
    if (request.url.includes("/biit/") && ++uploads === most) child.kill("SIGKILL")
  }
  subscribe("http.server.request.start", onRequest)
  const [status] = await once(child, "close")
  unsubscribe("http.server.request.start", onRequest)
  if (status !== (uploads < most ? 0 : null)) throw new Error(`the command ended with ${status}`)
  return uploads
}

const states = ["nothing", "half", "all but ten", "all"] as const
type State = typeof states[number]

const copy = (from: string, to: string) => {
  fs.rmSync(`${to}-shm`, { force: true })
  for (const part of ["", "-wal"]) {
    fs.rmSync(to + part, { force: true })
    if (fs.existsSync(from + part)) fs.copyFileSync(from + part, to + part)
  }
}

/** The journals that this build of the command leaves behind; the first time takes minutes. */
const journals = async () => {
  const hash = createHash("sha256")
  for (const file of fs.globSync("dist/{command.js,command/*.js}", { cwd: command }).sort()) {
    hash.update(fs.readFileSync(join(command, file)))
  }
  const build = join(folder, hash.digest("hex").slice(0, 16))
  const path = (state: State) => join(build, `${state}.sqlite`)
  if (!fs.existsSync(path("all"))) {
    fs.mkdirSync(build, { recursive: true })
    copy(path("nothing"), journal)
    for (const [state, most] of [["half", rows / 2], ["all but ten", rows / 2 - 10], ["all", Infinity]] as const) {
      await upload(most)
      copy(journal, path(state))
    }
  }
  return path
}

let simulator: Scope.Closeable | undefined

const prepare = (state: State) => async () => {
  makeFiles()
  simulator = Scope.makeUnsafe()
  await Effect.runPromise(Scope.provide(Simulator.make({ port }), simulator))
  copy((await journals())(state), journal)
}

const until = (most?: number) => async () => {
  const uploads = await upload(most)
  if (uploads < (most ?? 0)) throw new Error(`the command ended after ${uploads} uploads`)
  if (simulator !== undefined) await Effect.runPromise(Scope.close(simulator, Exit.void))
}

const startNode = () => once(spawn(process.execPath, ["-e", "0"]), "close")

const suite: Suite = {
  name: "manifest",
  packages: ["effect", "undici"],
  cases: states.map((state): Case => ({
    name: `100,000 rows, ${state} done, to the ${state === "all" ? "end" : "first upload"}`,
    ours: "tbm-studio batch",
    apart: true,
    units: ["s on the clock"],
    prepare: { "tbm-studio batch": prepare(state) },
    subjects: { "tbm-studio batch": until(state === "all" ? undefined : 1), "node -e 0": startNode },
    ...(state === "all" ? {} : { moreAtMost: { "node -e 0": 2 } })
  }))
}

export default suite
