import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Effect, Schedule, type Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { chmodSync, chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

export interface OwnPostgres {
  readonly port: number
  /** Ends every session, as a crash does. */
  readonly stop: Effect.Effect<void>
  readonly start: Effect.Effect<void>
}

/** A Postgres for one test, which can be stopped and started again. */
export const ownPostgres: Effect.Effect<OwnPostgres, never, Scope.Scope> = Effect.gen(function*() {
  const root = process.getuid?.() === 0
  const data = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "own-postgres-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  if (root) {
    // Postgres does not run as root.
    const id = (flag: string) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }))
    chmodSync(data, 0o711)
    chownSync(data, id("-u"), id("-g"))
  }
  const as = root ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] : []
  const command = (binary: string, args: ReadonlyArray<string>) => {
    const [file = binary, ...rest] = [...as, join(folder(), binary), ...args]
    return { file, rest }
  }
  const db = join(data, "db")
  const init = command("initdb", ["-D", db, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"])
  execFileSync(init.file, init.rest, { cwd: "/", stdio: "ignore" })
  const port = yield* LocalServer.freePort

  let running: ReturnType<typeof spawn> | undefined
  const stop = Effect.callback<void>((resume) => {
    const child = running
    running = undefined
    if (child === undefined) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    // Immediate: it does not wait for sessions to end.
    child.kill("SIGQUIT")
  })
  const start = Effect.sync(() => {
    const args = ["-D", db, "-p", String(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    const { file, rest } = command("postgres", [...args, "-c", "fsync=off"])
    running = spawn(file, rest, { cwd: "/", stdio: "ignore" })
  }).pipe(
    Effect.andThen(
      Effect.repeat(accepts(port), { until: (accepted) => accepted, schedule: Schedule.spaced("50 millis") })
    ),
    Effect.asVoid
  )
  yield* Effect.acquireRelease(start, () => stop)
  return { port, stop, start }
})

const folder = (): string => {
  const versions = "/usr/lib/postgresql"
  const [newest = ""] = readdirSync(versions).sort((a, b) => Number(b) - Number(a))
  return join(versions, newest, "bin")
}

const accepts = (port: number) =>
  Effect.callback<boolean>((resume) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy()
      resume(Effect.succeed(true))
    })
    socket.once("error", () => resume(Effect.succeed(false)))
  })
