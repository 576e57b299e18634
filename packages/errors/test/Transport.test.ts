import { ApiError, Classifier, Recovery, Transport } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createServer as createHttpServer } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { connect, createServer } from "node:net"

/** A TCP server that treats each connection as `serve` says, on a free loopback port. */
const tcp = (serve: (socket: Socket) => void) =>
  Effect.acquireRelease(
    Effect.callback<{ port: number; close: () => void }>((resume) => {
      const sockets = new Set<Socket>()
      const server = createServer((socket) => {
        sockets.add(socket)
        socket.on("error", () => {})
        serve(socket)
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed({
          port,
          close: () => {
            for (const socket of sockets) socket.destroy()
            server.close()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

const failureOf = (url: string) =>
  Effect.promise(() => fetch(url).then(() => new Error("answered"), (error: unknown) => error))

describe("Transport, over real sockets", () => {
  it.live("knows a refused connection, which reached nobody", () =>
    Effect.gen(function*() {
      const { close, port } = yield* tcp(() => {})
      close()
      yield* Effect.sleep(20)
      const error = yield* failureOf(`http://127.0.0.1:${port}/`)
      assert.deepStrictEqual(Transport.diagnose(error), { kind: "refused", code: "ECONNREFUSED", connected: false })
      assert.deepStrictEqual(Classifier.classify(error), Recovery.retry)
    }))

  it.live("knows a reset, which may have been processed", () =>
    Effect.gen(function*() {
      const { port } = yield* tcp((socket) => socket.once("data", () => socket.resetAndDestroy()))
      const error = yield* failureOf(`http://127.0.0.1:${port}/`)
      const diagnosis = Transport.diagnose(error)
      assert.deepStrictEqual([diagnosis.kind, diagnosis.connected], ["reset", true])
      assert.isTrue(ApiError.mayHaveBeenApplied(new ApiError.TransportFailure(diagnosis), true))
      assert.isFalse(ApiError.mayHaveBeenApplied(new ApiError.TransportFailure(diagnosis), false))
    }))

  it.live("knows a connection that was closed before the answer", () =>
    Effect.gen(function*() {
      const { port } = yield* tcp((socket) => socket.once("data", () => socket.end()))
      const error = yield* failureOf(`http://127.0.0.1:${port}/`)
      assert.strictEqual(Transport.diagnose(error).kind, "reset")
    }))

  it.live("knows a name that does not resolve", () =>
    Effect.gen(function*() {
      const error = yield* failureOf("http://no-such-host.invalid/")
      const diagnosis = Transport.diagnose(error)
      assert.deepStrictEqual([diagnosis.kind, diagnosis.connected], ["dns", false])
    }))

  it.live("knows a handshake that fails", () =>
    Effect.gen(function*() {
      const { port } = yield* tcp((socket) => socket.end("this is not TLS\r\n"))
      const diagnosis = Transport.diagnose(yield* failureOf(`https://127.0.0.1:${port}/`))
      assert.deepStrictEqual([diagnosis.kind, diagnosis.connected], ["tls", false])
    }))

  it.live("knows a system error as node:net raises it", () =>
    Effect.gen(function*() {
      const error = yield* Effect.callback<unknown>((resume) => {
        connect(1, "127.0.0.1").on("error", (error) => resume(Effect.succeed(error)))
      })
      assert.strictEqual(Transport.diagnose(error).kind, "refused")
    }))

  it.live("does not mistake an answer for a failure of the way", () =>
    Effect.gen(function*() {
      const server = createHttpServer((_, response) => response.writeHead(500).end())
      const port = yield* Effect.callback<number>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
      })
      const error = yield* failureOf(`http://127.0.0.1:${port}/`)
      server.close()
      server.closeAllConnections()
      assert.deepStrictEqual(Transport.diagnose(error), { kind: "unknown", code: undefined, connected: true })
    }))
})

describe("Transport", () => {
  it("takes the first telling code and keeps an untold one", () => {
    const inner = Object.assign(new Error("inner"), { code: "ETIMEDOUT" })
    const outer = Object.assign(new Error("outer", { cause: inner }), { code: "ERR_SOMETHING" })
    assert.deepStrictEqual(Transport.diagnose(outer), { kind: "stalled", code: "ETIMEDOUT", connected: true })
    const strange = Object.assign(new Error("strange"), { code: "ERR_SOMETHING" })
    assert.deepStrictEqual(Transport.diagnose(strange), { kind: "unknown", code: "ERR_SOMETHING", connected: true })
  })

  it("looks into the failures of all addresses of a name", () => {
    const refused = Object.assign(new Error("refused"), { code: "ECONNREFUSED" })
    assert.strictEqual(Transport.diagnose(new AggregateError([refused, refused])).kind, "refused")
  })

  it("ends on a cycle of causes", () => {
    const error: Error & { cause?: unknown } = new Error("cycle")
    error.cause = error
    assert.strictEqual(Transport.diagnose(error).kind, "unknown")
  })
})
