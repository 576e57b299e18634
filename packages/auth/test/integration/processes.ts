import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import type { ServerResponse } from "node:http"
import { createInterface, type Interface } from "node:readline"
import { fileURLToPath } from "node:url"

/** A login server that counts its logins. While `hold` is set it does not respond. */
const loginServer = Effect.suspend(() => {
  const state = { logins: 0, hold: false, lastPid: 0 }
  const held: Array<ServerResponse> = []
  const server = LocalServer.http((request, response) => {
    state.logins += 1
    state.lastPid = Number(request.headers["x-pid"])
    response.setHeader("x-token", `secret-token-${state.logins}`)
    if (state.hold) held.push(response)
    else setTimeout(() => response.end("{}"), 50)
  })
  return Effect.map(server, ({ url }) => ({ url: `${url}/login`, state }))
})

interface Reply {
  readonly ready?: number
  readonly token?: string
  readonly shared?: boolean
  readonly invalidated?: boolean
}

interface Worker {
  readonly pid: number
  readonly send: (line: "get" | "invalidate") => Effect.Effect<Reply>
  readonly kill: Effect.Effect<void>
  readonly output: () => string
}

const worker = (store: string, loginUrl: string): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [
          "--conditions=@effect-resilience/source",
          "--disable-warning=ExperimentalWarning",
          fileURLToPath(new URL("./worker.ts", import.meta.url)),
          store,
          loginUrl
        ])
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let written = ""
    child.stdout.on("data", (data) => written += String(data))
    child.stderr.on("data", (data) => written += String(data))
    const lines = createInterface({ input: child.stdout })
    const ready = yield* nextLine(child, lines)
    return {
      pid: ready.ready ?? 0,
      send: (line) =>
        Effect.suspend(() => {
          child.stdin.write(`${line}\n`)
          return nextLine(child, lines)
        }),
      kill: Effect.sync(() => child.kill("SIGKILL")),
      output: () => written
    }
  })

const nextLine = (child: ChildProcess, lines: Interface): Effect.Effect<Reply> =>
  Effect.callback((resume) => {
    const onLine = (line: string) => {
      child.off("exit", onExit)
      resume(Effect.sync(() => JSON.parse(line)))
    }
    const onExit = (code: number | null) => resume(Effect.die(new Error(`the worker ended with ${code}`)))
    lines.once("line", onLine)
    child.once("exit", onExit)
  })

const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.delay(until(condition), 20))

/** Runs two real processes with one store. */
export const sharesTokens = (name: string, store: Effect.Effect<string, never, Scope.Scope>): void => {
  it.live(
    `lets two processes make one login between them through ${name}, and survive the death of the one that made it`,
    () =>
      Effect.gen(function*() {
        const server = yield* loginServer
        const { state } = server
        const path = yield* store
        const workers = yield* Effect.all([worker(path, server.url), worker(path, server.url)], { concurrency: 2 })
        const both = (line: "get" | "invalidate") =>
          Effect.all(workers.map((worker) => worker.send(line)), { concurrency: 2 })

        const first = yield* both("get")
        assert.deepStrictEqual(first.map(({ token }) => token), ["secret-token-1", "secret-token-1"])
        assert.strictEqual(state.logins, 1)

        yield* both("invalidate")
        const second = yield* both("get")
        assert.deepStrictEqual(second.map(({ token }) => token), ["secret-token-2", "secret-token-2"])
        assert.strictEqual(state.logins, 2)

        // A third process finds the token there.
        const third = yield* worker(path, server.url)
        assert.deepStrictEqual(yield* third.send("get"), { token: "secret-token-2", shared: true })
        assert.strictEqual(state.logins, 2)

        state.hold = true
        yield* both("invalidate")
        const survivors = yield* Effect.forkChild(
          Effect.all(workers.map((worker) => Effect.exit(worker.send("get"))), { concurrency: 2 })
        )
        yield* until(() => state.logins === 3)
        state.hold = false
        const started = performance.now()
        const holder = workers.find((worker) => worker.pid === state.lastPid)
        assert.isDefined(holder)
        yield* holder.kill
        const other = workers.find((worker) => worker !== holder)
        yield* until(() => state.logins === 4)
        const took = performance.now() - started
        assert.strictEqual(state.lastPid, other?.pid)
        assert.isBelow(took, 4_000)
        const exits = yield* Fiber.join(survivors)
        assert.strictEqual(exits.filter((exit) => exit._tag === "Success").length, 1)
        assert.deepStrictEqual(yield* third.send("invalidate"), { invalidated: true })
        assert.deepStrictEqual(yield* third.send("get"), { token: "secret-token-4", shared: true })
        assert.strictEqual(state.logins, 4)
        // No warning was logged, and no key leaked.
        for (const { output } of [...workers, third]) assert.notMatch(output(), /s3cr3t-key|level=WARN/)
      }),
    60_000
  )
}
