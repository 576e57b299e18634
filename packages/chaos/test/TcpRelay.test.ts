import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Net from "node:net"
import * as RawServer from "../src/RawServer.ts"
import * as TcpRelay from "../src/TcpRelay.ts"
import { Client, connect, echo } from "./client.ts"

const relayed = Effect.gen(function*() {
  const server = yield* RawServer.make(echo)
  return { server, relay: yield* TcpRelay.make(server) }
})

/** Waits until no more bytes pass although the event loop turns: the buffers of a client that does not read are full. */
const stuck = Effect.fnUntraced(function*(relay: TcpRelay.Relay) {
  for (let turns = 0, seen = 0; turns < 100; turns++) {
    yield* Effect.promise(() => new Promise((resume) => setImmediate(resume)))
    const { down } = yield* relay.counts
    if (down === 0 || down > seen) turns = 0
    seen = down
  }
})

describe("TcpRelay", () => {
  it.effect("passes bytes both ways, counts them, and passes each end on", () =>
    Effect.gen(function*() {
      const { relay } = yield* relayed
      const client = yield* connect(relay.port)
      yield* client.send("hello")
      yield* client.until("hello")
      assert.deepStrictEqual(yield* relay.counts, { up: 5, down: 5, swallowed: 0, accepted: 1, open: 1 })
      client.socket.end()
      assert.strictEqual(yield* client.ended, "end")
      yield* relay.until(({ open }) => open === 0)
    }))

  it.effect("passes a megabyte in order", () =>
    Effect.gen(function*() {
      const { relay } = yield* relayed
      const client = yield* connect(relay.port)
      const text = Array.from({ length: 100_000 }, (_, i) => `${i}`.padStart(10)).join("")
      yield* Effect.forkChild(client.send(text))
      yield* client.until("99999")
      assert.isTrue(client.received === text)
    }))

  it.effect("swallows bytes and ends while the sockets stay open, and stays silent on a connection that lost some", () =>
    Effect.gen(function*() {
      const { relay } = yield* relayed
      const client = yield* connect(relay.port)
      yield* client.send("a")
      yield* client.until("a")
      yield* relay.silence()
      yield* client.send("lost")
      yield* relay.until(({ swallowed }) => swallowed === 4)
      yield* relay.pass
      yield* client.send("still lost")
      yield* relay.until(({ swallowed }) => swallowed === 14)
      client.socket.end()
      const other = yield* connect(relay.port)
      yield* other.send("b")
      yield* other.until("b")
      assert.strictEqual(client.received, "a")
      assert.strictEqual((yield* relay.counts).open, 2)
    }))

  it.effect.each<[string, (relay: TcpRelay.Relay) => Effect.Effect<void>, lost?: "client" | "server"]>([
    ["silent", (relay) => relay.silence()],
    ["silent one way", (relay) => relay.silence("up")],
    ["half-open without its server", (relay) => relay.halfOpen("server"), "server"],
    ["half-open without its client", (relay) => relay.halfOpen("client"), "client"]
  ])("ends a connection that is %s as soon as both peers have ended it", ([, strike, lost]) =>
    Effect.gen(function*() {
      const leave = yield* Deferred.make<void>()
      const server = yield* RawServer.make((connection) =>
        Effect.andThen(connection.receive, Effect.andThen(connection.send("a"), Deferred.await(leave)))
      )
      const relay = yield* TcpRelay.make(server)
      const client = yield* connect(relay.port)
      yield* client.echo("a")
      yield* strike(relay)
      if (lost === undefined) {
        client.socket.end("lost")
        yield* relay.until(({ swallowed }) => swallowed === 4)
      }
      assert.strictEqual((yield* relay.counts).open, 1)
      if (lost === "server") client.socket.destroy()
      else yield* Deferred.succeed(leave, undefined)
      yield* relay.until(({ open }) => open === 0)
    }))

  it.effect("swallows one way only", () =>
    Effect.gen(function*() {
      const { relay } = yield* relayed
      const client = yield* connect(relay.port)
      yield* relay.silence("down")
      yield* client.send("hello")
      yield* relay.until(({ swallowed }) => swallowed === 5)
      assert.strictEqual((yield* relay.counts).up, 5)
    }))

  it.effect("holds bytes until it passes them", () =>
    Effect.gen(function*() {
      const { relay } = yield* relayed
      const client = yield* connect(relay.port)
      yield* relay.hold("down")
      yield* client.send("held")
      yield* relay.until(({ up }) => up === 4)
      yield* relay.hold("up")
      assert.strictEqual(client.received, "")
      yield* relay.pass
      yield* client.until("held")
    }))

  it.effect("delays by the clock of its maker", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const { relay } = yield* relayed
      const client = yield* connect(relay.port)
      yield* relay.delay("1 minute", "up")
      yield* client.send("late")
      // The delay begins when the byte arrives, which takes some real time.
      const arrival = yield* Effect.forkChild(client.until("late"))
      while (arrival.pollUnsafe() === undefined) {
        yield* TestClock.adjust("10 seconds")
        yield* Effect.promise(() => new Promise((resume) => setImmediate(resume)))
      }
      yield* Fiber.join(arrival)
    }))

  it.effect("cuts each connection after a number of its bytes", () =>
    Effect.gen(function*() {
      const { relay } = yield* relayed
      yield* relay.cutAfter(7, "down")
      for (const _ of [1, 2]) {
        const client = yield* connect(relay.port)
        yield* client.send("0123456789")
        assert.strictEqual(yield* client.ended, "end")
        assert.strictEqual(client.received, "0123456")
      }
    }))

  it.effect("resets a connection at a byte to the server", () =>
    Effect.gen(function*() {
      const { relay } = yield* relayed
      yield* relay.cutAfter(0, "up", "reset")
      const client = yield* connect(relay.port)
      yield* client.send("hello")
      assert.strictEqual(yield* client.ended, "ECONNRESET")
      assert.strictEqual((yield* relay.counts).up, 0)
    }))

  it.effect("controls one connection alone", () =>
    Effect.gen(function*() {
      const { relay } = yield* relayed
      const [one, other] = [yield* connect(relay.port), yield* connect(relay.port)]
      yield* relay.until(({ accepted }) => accepted === 2)
      const [first] = yield* relay.connections
      yield* first?.reset ?? Effect.void
      assert.strictEqual(yield* one.ended, "ECONNRESET")
      yield* other.send("b")
      yield* other.until("b")
    }))

  it.effect("rejects connections, keeps the open ones, and accepts again on the same port", () =>
    Effect.gen(function*() {
      const { relay } = yield* relayed
      const client = yield* connect(relay.port)
      yield* relay.until(({ accepted }) => accepted === 1)
      yield* relay.reject
      const rejected = new Client(Net.connect(relay.port, "127.0.0.1"))
      assert.strictEqual(yield* rejected.ended, "ECONNREFUSED")
      yield* client.send("a")
      yield* client.until("a")
      yield* relay.accept
      yield* relay.accept
      const other = yield* connect(relay.port)
      yield* other.send("b")
      yield* other.until("b")
    }))

  it.effect("resets its client if the server rejects or breaks the connection", () =>
    Effect.gen(function*() {
      const server = yield* RawServer.make((connection) => Effect.andThen(connection.receive, connection.reset))
      const broken = yield* connect((yield* TcpRelay.make(server)).port)
      yield* broken.send("a")
      assert.strictEqual(yield* broken.ended, "ECONNRESET")
      const gone = yield* Effect.scoped(RawServer.make(() => Effect.never))
      const rejected = yield* connect((yield* TcpRelay.make(gone)).port)
      assert.strictEqual(yield* rejected.ended, "ECONNRESET")
    }))

  it.effect("closes its sockets with its scope, silent ones too", () =>
    Effect.gen(function*() {
      const server = yield* RawServer.make(echo)
      const client = yield* Effect.scoped(Effect.gen(function*() {
        const relay = yield* Effect.provide(TcpRelay.TcpRelay, TcpRelay.layer(server))
        return Exit.isSuccess(yield* Effect.exit(relay.counts))
      }))
      assert.isTrue(client)
      const left = yield* Effect.scoped(Effect.gen(function*() {
        const relay = yield* TcpRelay.make(server)
        yield* relay.silence()
        const socket = new Client(Net.connect({ host: "127.0.0.1", port: relay.port }))
        yield* relay.until(({ open }) => open === 1)
        return socket
      }))
      assert.strictEqual(yield* left.ended, "ECONNRESET")
    }))

  it.effect("counts a connection that has ended as open while its client does not read the rest, and closes it with its scope", () =>
    Effect.gen(function*() {
      const server = yield* RawServer.make((connection) => connection.send(Buffer.alloc(50_000_000, "x")))
      const client = yield* Effect.scoped(Effect.gen(function*() {
        const relay = yield* TcpRelay.make(server)
        const client = new Client(Net.connect({ host: "127.0.0.1", port: relay.port }))
        client.socket.pause()
        yield* stuck(relay)
        yield* relay.end
        assert.strictEqual((yield* relay.counts).open, 1)
        return client
      }))
      client.socket.resume()
      assert.strictEqual(yield* client.ended, "ECONNRESET")
    }))
})
