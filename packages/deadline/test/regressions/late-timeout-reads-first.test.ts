import { Timeout } from "@effect-resilience/deadline"
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { once } from "node:events"
import * as net from "node:net"
import { Worker } from "node:worker_threads"

// In a thread of its own, and so none of the test kit: it responds while this one computes and turns no event loop.
const server = `
  const net = require("node:net")
  const { parentPort, workerData } = require("node:worker_threads")
  net.createServer((socket) => socket.on("data", (data) => {
    if (String(data) === "ask") socket.write("response", () => Atomics.store(workerData, 0, 1))
    else Atomics.store(workerData, 0, 1)
  })).listen(0, "127.0.0.1", function() { parentPort.postMessage(this.address().port) })`

const peer = Effect.acquireRelease(
  Effect.promise(async () => {
    const handled = new Int32Array(new SharedArrayBuffer(4))
    const thread = new Worker(server, { eval: true, workerData: handled })
    const [port] = await once(thread, "message")
    const socket = net.connect(Number(port), "127.0.0.1")
    await once(socket, "connect")
    return { handled, socket, thread }
  }),
  ({ socket, thread }) =>
    Effect.promise(() => {
      socket.destroy()
      return thread.terminate()
    })
)

/** Computes for 150 ms at least, until the peer has handled the question. */
const compute = (handled: Int32Array) => {
  for (const end = performance.now() + 150; performance.now() < end || Atomics.load(handled, 0) === 0;);
}

const asking = (question: string) =>
  Effect.gen(function*() {
    const { handled, socket } = yield* peer
    const asked = Effect.callback<string>((resume) => {
      socket.once("data", (data) => resume(Effect.succeed(String(data))))
      socket.write(question)
    })
    const fiber = yield* Effect.forkChild(asked.pipe(Timeout.withTimeout("50 millis"), Effect.exit), {
      startImmediately: true
    })
    compute(handled)
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
