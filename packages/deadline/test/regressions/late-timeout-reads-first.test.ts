import { Timeout } from "@effect-resilience/deadline"
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as net from "node:net"

// In a process of its own, and so none of the test kit: it responds while this one computes and turns no event loop.
const server = `
  const net = require("node:net")
  net.createServer((socket) => socket.on("data", (data) => { if (String(data) === "ask") socket.write("response") }))
    .listen(0, "127.0.0.1", function() { process.send(this.address().port) })`

const peer = Effect.acquireRelease(
  Effect.promise(async () => {
    const child = spawn(process.execPath, ["-e", server], { stdio: ["ignore", "inherit", "inherit", "ipc"] })
    const [port] = await once(child, "message")
    const socket = net.connect(Number(port), "127.0.0.1")
    await once(socket, "connect")
    return { child, socket }
  }),
  ({ child, socket }) =>
    Effect.sync(() => {
      socket.destroy()
      child.kill()
    })
)

const compute = (millis: number) => {
  for (const end = performance.now() + millis; performance.now() < end;);
}

const asking = (question: string) =>
  Effect.gen(function*() {
    const { socket } = yield* peer
    const asked = Effect.callback<string>((resume) => {
      socket.once("data", (data) => resume(Effect.succeed(String(data))))
      socket.write(question)
    })
    const fiber = yield* Effect.forkChild(asked.pipe(Timeout.withTimeout("50 millis"), Effect.exit), {
      startImmediately: true
    })
    compute(150)
    return yield* Fiber.join(fiber)
  }).pipe(Effect.scoped)

it.live("takes the response that arrived while the program computed beyond the timeout", () =>
  Effect.gen(function*() {
    assert.deepStrictEqual(yield* asking("ask"), Exit.succeed("response"))
  }))

it.live("times out if there is no response", () =>
  Effect.gen(function*() {
    assert.isTrue(Exit.isFailure(yield* asking("silence")))
  }))
