import { assert, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

interface Server {
  readonly child: ChildProcess
  readonly url: string
}

const server = (store: string, ledger: string): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [
          "--conditions=@effect-resilience/source",
          "--disable-warning=ExperimentalWarning",
          fileURLToPath(new URL("./server.ts", import.meta.url)),
          store,
          ledger
        ], { stdio: ["ignore", "pipe", "inherit"] })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const port = yield* Effect.callback<string>((resume) => {
      createInterface({ input: child.stdout }).once("line", (line) => resume(Effect.succeed(line)))
      child.once("exit", (code) => resume(Effect.die(new Error(`the server ended with ${code}`))))
    })
    return { child, url: `http://127.0.0.1:${port}/orders` }
  })

const order = ({ url }: Server, key: string, takes = 0) =>
  Effect.tryPromise(() =>
    fetch(url, { method: "POST", headers: { "idempotency-key": key, "x-takes": String(takes) } }).then((response) =>
      response.text().then((text) => ({ status: response.status, text }))
    )
  )

/** Runs two real server processes with the keys of one store. */
export const servesOnce = (name: string, store: Effect.Effect<string, never, Scope.Scope>): void => {
  it.live(
    `lets two servers run a key once between them through ${name}, also when one of them dies with it`,
    () =>
      Effect.gen(function*() {
        const directory = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "orders-"))),
          (path) => Effect.sync(() => rmSync(path, { recursive: true }))
        )
        const ledger = join(directory, "ledger")
        const begun = (key: string) =>
          readFileSync(ledger, "utf8").split("\n").filter((line) => line.startsWith(`${key} `))
        const path = yield* store
        const [one, other] = yield* Effect.all([server(path, ledger), server(path, ledger)], { concurrency: 2 })
        const id = directory.slice(-6)

        // Both at once: one of them runs it, the other responds that it is running, or gives its result.
        for (let round = 0; round < 20; round++) {
          const key = `${id}-${round}`
          const responses = yield* Effect.all([order(one, key, 20), order(other, key, 20)], { concurrency: 2 })
          assert.lengthOf(begun(key), 1)
          for (const { status } of responses) assert.include([201, 409], status)
          const later = yield* Effect.all([order(one, key), order(other, key)], { concurrency: 2 })
          assert.deepStrictEqual(later.map(({ status }) => status), [201, 201])
          assert.strictEqual(later[0].text, later[1].text)
          assert.lengthOf(begun(key), 1)
        }

        // Longer than a claim lasts.
        const slow = yield* Effect.forkChild(order(one, `${id}-slow`, 3_000))
        yield* Effect.sleep(2_000)
        assert.strictEqual((yield* order(other, `${id}-slow`)).status, 409)
        assert.strictEqual((yield* Fiber.join(slow)).status, 201)
        assert.lengthOf(begun(`${id}-slow`), 1)

        const lost = yield* Effect.forkChild(Effect.exit(order(one, `${id}-lost`, 60_000)))
        yield* Effect.sleep(500)
        one.child.kill("SIGKILL")
        assert.strictEqual((yield* Fiber.join(lost))._tag, "Failure")
        assert.strictEqual((yield* order(other, `${id}-lost`)).status, 409)
        yield* Effect.sleep(1_500)
        assert.strictEqual((yield* order(other, `${id}-lost`)).status, 201)
        assert.lengthOf(begun(`${id}-lost`), 2)
      }),
    60_000
  )
}
