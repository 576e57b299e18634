import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as Net from "node:net"
import { fileURLToPath } from "node:url"
import * as Misbehavior from "../src/Misbehavior.ts"
import * as RawHttp from "../src/RawHttp.ts"
import * as RawServer from "../src/RawServer.ts"

const source = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const bin = fileURLToPath(new URL("../bin/chaos-proxy.js", import.meta.url))

/** The command while it runs. `line` waits for so many lines of standard output and returns the last. */
const start = (...args: ReadonlyArray<string>) => startIt(source, args)

const startIt = (program: string, args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, [program, ...args], { stdio: "pipe" })
      const output = { stdout: "", stderr: "" }
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        output.stdout += text
      })
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        output.stderr += text
      })
      const ended = Effect.callback<
        { readonly status: number | null; readonly stdout: string; readonly stderr: string }
      >(
        (resume) => {
          const done = () => resume(Effect.succeed({ status: child.exitCode, ...output }))
          if (child.exitCode === null) child.once("close", done)
          else done()
        }
      )
      let read = 0
      const line = Effect.callback<string>((resume) => {
        const look = () => {
          const lines = output.stdout.split("\n")
          const next = lines[read]
          if (lines.length - 1 <= read || next === undefined) return
          read += 1
          child.stdout.off("data", look)
          resume(Effect.succeed(next))
        }
        child.stdout.on("data", look)
        look()
      })
      const say = (text: string) => {
        child.stdin.write(`${text}\n`)
        return line
      }
      const errors = (text: string) =>
        Effect.callback<void>((resume) => {
          const look = () => {
            if (!output.stderr.includes(text)) return
            child.stderr.off("data", look)
            resume(Effect.void)
          }
          child.stderr.on("data", look)
          look()
        })
      return { child, ended, line, say, errors }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const server = RawServer.make(Misbehavior.respond(RawHttp.response({ body: "hello" })))

/** What a GET through the proxy gives: its last line, or the code of its failure. */
const get = (address: string) =>
  Effect.callback<string>((resume) => {
    const socket = Net.connect(Number(address.split(":")[1]), "127.0.0.1", () =>
      socket.write("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
    socket.on("data", (bytes) => {
      resume(Effect.succeed(String(bytes).split("\r\n").at(-1) ?? ""))
      socket.destroy()
    })
    socket.on("error", (error: NodeJS.ErrnoException) =>
      resume(Effect.succeed(error.code ?? "")))
    return Effect.sync(() =>
      socket.destroy()
    )
  })

describe("chaos-proxy", () => {
  it.live("passes connections on, with faults that standard input switches, adds and kills", () =>
    Effect.gen(function*() {
      const { port } = yield* server
      const proxy = yield* start(`localhost:${port}`, "--fault", "reset", "--off", "--seed", "1")
      const address = yield* proxy.line
      assert.match(address, /^127\.0\.0\.1:\d+$/)
      assert.strictEqual(yield* get(address), "hello")
      assert.strictEqual(yield* proxy.say("on reset"), "ok")
      assert.strictEqual(yield* get(address), "ECONNRESET")
      yield* proxy.errors("chaos.fault=reset")
      assert.strictEqual(yield* proxy.say("off"), "ok")
      assert.strictEqual(yield* proxy.say("add reset after 0 up as cut"), "ok")
      assert.strictEqual(yield* get(address), "ECONNRESET")
      assert.strictEqual(JSON.parse(yield* proxy.say("counts")).faults.cut, 1)
      assert.strictEqual(yield* proxy.say("kill"), "ok")
      assert.strictEqual(yield* proxy.say("on"), "ok")
      assert.strictEqual(yield* get(address), "hello")
      proxy.child.stdin.write("of\noff slow\nadd latencie\nadd reset\nstop\n")
      const { status, stderr } = yield* proxy.ended
      assert.strictEqual(status, 0)
      assert.include(stderr, "of is no command: write on, off, add, counts, kill or stop")
      assert.include(stderr, "there is no fault slow")
      assert.include(stderr, "latencie is no fault")
      assert.include(stderr, "a fault is called reset already")
    }))

  it.live("kills its faults at SIGUSR2, and stops at SIGTERM", () =>
    Effect.gen(function*() {
      const { port } = yield* server
      const proxy = yield* start(`127.0.0.1:${port}`, "--fault", "hold")
      const address = yield* proxy.line
      const held = yield* Effect.forkChild(get(address))
      yield* proxy.errors("chaos.fault=hold")
      assert.isUndefined(held.pollUnsafe())
      proxy.child.kill("SIGUSR2")
      assert.strictEqual(yield* proxy.line, "ok")
      assert.strictEqual(yield* get(address), "hello")
      proxy.child.kill("SIGTERM")
      assert.strictEqual((yield* proxy.ended).status, 0)
    }))

  it.live("stops by itself when its time is over", () =>
    Effect.gen(function*() {
      const { status, stderr } = yield* Effect.flatMap(start("127.0.0.1:1", "--for", "50ms"), ({ ended }) => ended)
      assert.strictEqual(status, 0)
      assert.include(stderr, "its time is over")
    }))

  it.live("says what is wrong with what it was given", () =>
    Effect.gen(function*() {
      const failed = (...args: ReadonlyArray<string>) =>
        Effect.map(Effect.flatMap(start(...args), ({ ended }) => ended), ({ status, stderr }) =>
          [status, stderr] as const)
      const usage = (...args: ReadonlyArray<string>) =>
        Effect.map(failed(...args), ([status, stderr]) => {
          assert.strictEqual(status, 64, stderr)
          return stderr
        })
      assert.include(yield* usage(), "name one server, as HOST:PORT")
      assert.include(yield* usage("localhost"), "localhost is no server: write HOST:PORT")
      assert.include(yield* usage("a:1", "--fault", "slow"), "slow is no fault")
      assert.include(
        yield* usage("a:1", "--fault", "reset", "--fault", "reset"),
        `two faults are called reset: add "as NAME"`
      )
      assert.include(yield* usage("a:1", "--listn", "5"), "--listn")
      assert.include(yield* usage("a:1", "--for", "5"), "5 is no duration")
      const [status, stderr] = yield* failed("nowhere.invalid:1")
      assert.strictEqual(status, 68, stderr)
      const { port } = yield* server
      assert.strictEqual((yield* failed("127.0.0.1:1", "--listen", String(port)))[0], 69)
    }))

  it.live("prints help", () =>
    Effect.gen(function*() {
      const { status, stdout } = yield* Effect.flatMap(startIt(bin, ["--help"]), ({ ended }) => ended)
      assert.deepStrictEqual([status, stdout.split("\n")[0]], [0, "chaos-proxy HOST:PORT [options]"])
    }))
})
