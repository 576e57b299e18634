import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber, Result, Schema } from "effect"
import { TestClock } from "effect/testing"
import Dns from "node:dns"
import * as Net from "node:net"
import { vi } from "vitest"
import * as Latency from "../src/Latency.ts"
import * as RawServer from "../src/RawServer.ts"
import * as RelayFault from "../src/RelayFault.ts"
import * as TcpRelay from "../src/TcpRelay.ts"
import { Client, connect, echo } from "./client.ts"
import { unresolvable } from "./nowhere.ts"

const relayed = (options: Partial<TcpRelay.Upstream> = {}) =>
  Effect.flatMap(RawServer.make(echo), ({ port }) => TcpRelay.make({ port, seed: 1, ...options }))

/** Moves the test's clock until a fiber has ended, and counts the seconds. */
const seconds = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.gen(function*() {
    let passed = 0
    for (; fiber.pollUnsafe() === undefined; passed++) {
      yield* TestClock.adjust("1 second")
      yield* settled
    }
    return passed
  })

/** Lets sockets do what they have to do now. */
const settled = Effect.promise(async () => {
  for (let i = 0; i < 5; i++) await new Promise((resume) => setImmediate(resume))
})

describe("TcpRelay", () => {
  it.effect("limits the bandwidth of a direction", () =>
    Effect.gen(function*() {
      const relay = yield* relayed()
      yield* relay.bandwidth(100, "up")
      const client = yield* connect(relay.port)
      const passed = yield* seconds(yield* Effect.forkChild(client.echo("x".repeat(1000))))
      assert.isAtLeast(passed, 9)
      assert.isAtMost(passed, 15)
    }))

  it.effect("lifts a limit of bandwidth, and a delay, in the midst of it", () =>
    Effect.gen(function*() {
      const relay = yield* relayed()
      yield* relay.bandwidth(1)
      const client = yield* connect(relay.port)
      const slow = yield* Effect.forkChild(client.echo("x".repeat(1000)))
      yield* relay.until(({ up }) => up > 0)
      yield* relay.pass
      yield* Fiber.join(slow)
      yield* relay.delay("1 day", "down")
      const late = yield* Effect.forkChild(client.echo("y"))
      yield* relay.until(({ up }) => up === 1001)
      yield* settled
      yield* relay.pass
      yield* Fiber.join(late)
    }))

  it.effect.each(["silence", "hold"] as const)(
    "%ss what a limit of bandwidth has not passed yet",
    (control) =>
      Effect.gen(function*() {
        const relay = yield* relayed()
        yield* relay.bandwidth(100, "up")
        const client = yield* connect(relay.port)
        const echoed = yield* Effect.forkChild(client.echo("x".repeat(1000)))
        yield* relay.until(({ up }) => up > 0)
        yield* relay[control]("up")
        yield* settled
        const { up } = yield* relay.counts
        for (let i = 0; i < 20; i++) {
          yield* TestClock.adjust("1 second")
          yield* settled
        }
        const counts = yield* relay.counts
        assert.deepStrictEqual([counts.up, counts.swallowed], [up, control === "silence" ? 1000 - up : 0])
        yield* relay.pass
        if (control === "hold") yield* Fiber.join(echoed)
      })
  )

  it.effect("delays as long where the time of day is set back", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      let back = 0
      const set: Clock.Clock = { ...clock, currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() - back }
      const relay = yield* Effect.provideService(relayed(), Clock.Clock, set)
      yield* relay.delay("2 seconds", "up")
      const client = yield* connect(relay.port)
      const delayed = Effect.flatMap(Effect.forkChild(client.echo("x")), seconds)
      const before = yield* delayed
      back = 60_000
      assert.deepStrictEqual([before, yield* delayed], [2, 2])
    }))

  it.effect("keeps bytes in order however their latencies vary", () =>
    Effect.gen(function*() {
      const relay = yield* relayed()
      yield* relay.delay(Latency.uniform(0, "10 seconds"))
      const client = yield* connect(relay.port)
      const all = yield* Effect.forkChild(Effect.forEach(["a", "b", "c", "d"], (text) => client.echo(text)))
      yield* seconds(all)
      assert.strictEqual(client.received, "abcd")
    }))

  it.effect("passes an end on later", () =>
    Effect.gen(function*() {
      const relay = yield* relayed()
      yield* relay.slowClose("30 seconds", "down")
      const client = yield* connect(relay.port)
      yield* client.echo("a")
      client.socket.end()
      assert.isAtLeast(yield* seconds(yield* Effect.forkChild(client.ended)), 30)
    }))

  it.effect("resets one side of a connection, and the other does not hear of it", () =>
    Effect.gen(function*() {
      const gone = Deferred.makeUnsafe<void>()
      const server = yield* RawServer.make((connection) =>
        Effect.andThen(echo(connection), Deferred.succeed(gone, undefined))
      )
      const relay = yield* TcpRelay.make(server)
      const client = yield* connect(relay.port)
      yield* client.echo("a")
      yield* relay.halfOpen()
      yield* Deferred.await(gone)
      yield* Effect.forkChild(client.echo("b"))
      yield* relay.until(({ swallowed }) => swallowed === 1)
      assert.isFalse(client.socket.destroyed)
      // New connections are as before.
      const other = yield* connect(relay.port)
      yield* other.echo("c")
    }))

  it.effect("lets a silent connection go when both of its sides have", () =>
    Effect.gen(function*() {
      const relay = yield* relayed()
      const client = yield* connect(relay.port)
      yield* client.echo("a")
      yield* relay.halfOpen()
      client.socket.resetAndDestroy()
      yield* relay.until(({ open }) => open === 0)
    }))

  it.effect("looks the name of its server up once, and says that it has no address", () =>
    Effect.gen(function*() {
      const relay = yield* relayed({ host: "localhost" })
      // What a socket calls for a name that is not looked up yet.
      const lookup = vi.spyOn(Dns, "lookup")
      yield* Effect.replicateEffect(Effect.flatMap(connect(relay.port), (client) => client.echo("a")), 2)
      assert.strictEqual(lookup.mock.calls.length, 0)
      lookup.mockRestore()
      const error = yield* Effect.flip(TcpRelay.make({ host: unresolvable, port: 1 }))
      assert.strictEqual(error.reason, "Unresolved")
      assert.include(error.message, unresolvable)
    }))

  it.effect("listens on loopback, on the port that was named, or says that it is taken", () =>
    Effect.gen(function*() {
      const relay = yield* relayed()
      assert.strictEqual(relay.host, "127.0.0.1")
      assert.strictEqual((yield* Effect.flip(relayed({ listen: relay.port }))).reason, "PortTaken")
    }))
})

describe("the faults of a relay", () => {
  it.effect.prop(
    "strike the same connections for the same seed",
    { seed: Schema.Int },
    ({ seed }) =>
      Effect.gen(function*() {
        const faults = [RelayFault.reset({ after: 0, direction: "up", probability: 0.5 })]
        const struck = Effect.gen(function*() {
          const relay = yield* relayed({ seed, faults })
          return yield* Effect.replicateEffect(
            Effect.flatMap(connect(relay.port), (client) =>
              Effect.raceFirst(Effect.as(client.echo("a"), "passed"), client.ended)),
            12
          )
        }).pipe(Effect.scoped)
        assert.deepStrictEqual(yield* struck, yield* struck)
      }),
    { arbitrary: { runs: 5 } }
  )

  it.effect("strike all connections in their periods, those that are open too", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const relay = yield* relayed({
        faults: [RelayFault.hold({ from: "10 seconds", for: "5 seconds", every: "20 seconds" })]
      })
      const client = yield* connect(relay.port)
      for (const period of [0, 1]) {
        yield* client.echo("before")
        yield* TestClock.adjust("10 seconds")
        const held = yield* Effect.forkChild(client.echo("held"))
        yield* settled
        assert.isUndefined(held.pollUnsafe())
        assert.deepStrictEqual(yield* relay.faults.counts, { hold: period + 1 })
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.join(held)
        yield* TestClock.adjust("5 seconds")
      }
    }))

  it.effect("have latencies of their whole range, whatever their probability", () =>
    Effect.gen(function*() {
      const drawn: Array<number> = []
      const latency: Latency.Latency = {
        ...Latency.constant(0),
        sample: (chance) => {
          drawn.push(chance())
          return 0
        }
      }
      const relay = yield* relayed({ faults: [RelayFault.latency(latency, { direction: "down", probability: 0.5 })] })
      const first: Array<number> = []
      for (let i = 0; i < 40; i++) {
        const before = drawn.length
        const client = yield* connect(relay.port)
        yield* client.echo("x")
        first.push(...drawn.slice(before, before + 1))
      }
      assert.isAtLeast(first.length, 10)
      assert.isBelow(Math.min(...first), 0.3)
      assert.isAbove(Math.max(...first), 0.7)
    }))

  it.effect("are switched by name, added while the relay runs, and killed for good", () =>
    Effect.gen(function*() {
      const relay = yield* relayed({ faults: [RelayFault.reset({ enabled: false })] })
      const client = yield* connect(relay.port)
      yield* client.echo("a")
      yield* relay.faults.on("reset")
      assert.strictEqual(yield* client.ended, "ECONNRESET")
      assert.strictEqual(yield* new Client(Net.connect(relay.port, "127.0.0.1")).ended, "ECONNRESET")
      yield* relay.faults.off("reset")
      const second = yield* connect(relay.port)
      yield* second.echo("b")
      yield* relay.faults.add(RelayFault.hold())
      yield* relay.silence("down")
      const held = yield* Effect.forkChild(second.echo("c"))
      yield* settled
      assert.isUndefined(held.pollUnsafe())
      yield* relay.faults.kill
      yield* Fiber.join(held)
      yield* relay.faults.on()
      yield* second.echo("d")
    }))

  it.effect("strike the connections of their choice, so many times", () =>
    Effect.gen(function*() {
      const relay = yield* relayed({ faults: [RelayFault.end({ only: ({ index }) => index > 0, times: 1 })] })
      const [first, second] = [yield* connect(relay.port), yield* connect(relay.port)]
      assert.strictEqual(yield* second.ended, "end")
      yield* first.echo("a")
      yield* (yield* connect(relay.port)).echo("a")
      assert.deepStrictEqual(yield* relay.faults.counts, { end: 1 })
    }))

  it("are read from text", () => {
    const read = (text: string): Record<string, unknown> => {
      const { at, condition: { latency, ...condition }, direction, kind, name, when } = Result.getOrThrow(
        RelayFault.parse(text)
      )
      const quantiles = latency === undefined ? {} : { latency: [0, 0.5].map((p) => latency.sample(() => p)) }
      return { kind, name, when, direction, ...condition, ...quantiles, ...(at === undefined ? {} : { at }) }
    }
    const plain = { direction: "both", when: {} }
    assert.deepStrictEqual(read("latency 100ms..300ms down 20% from 10s for 30s every 2m as slow"), {
      kind: "latency",
      name: "slow",
      direction: "down",
      latency: [100, 200],
      when: { probability: 0.2, from: "10 seconds", for: "30 seconds", every: "2 minutes" }
    })
    assert.deepStrictEqual(read("latency exponential 1s"), {
      ...plain,
      kind: "latency",
      name: "latency",
      latency: [0, 693]
    })
    assert.deepStrictEqual(read("latency 1.5s"), { ...plain, kind: "latency", name: "latency", latency: [1500, 1500] })
    assert.deepStrictEqual(read("bandwidth 1000 up times 3"), {
      kind: "bandwidth",
      name: "bandwidth",
      direction: "up",
      bytesPerSecond: 1000,
      when: { times: 3 }
    })
    assert.deepStrictEqual(read("silence"), { ...plain, kind: "silence", name: "silence", mode: "silence" })
    assert.deepStrictEqual(read("hold"), { ...plain, kind: "hold", name: "hold", mode: "hold" })
    assert.deepStrictEqual(read("reset"), { ...plain, kind: "reset", name: "reset", at: "reset" })
    assert.deepStrictEqual(read("end after 7"), { ...plain, kind: "end", name: "end", cutAfter: 7, cutBy: "end" })
    assert.deepStrictEqual(read("half-open"), { ...plain, kind: "half-open", name: "half-open", at: "lose-server" })
    assert.deepStrictEqual(read("half-open client"), {
      ...plain,
      kind: "half-open",
      name: "half-open",
      at: "lose-client"
    })
    assert.deepStrictEqual(read("slow-close 5s"), {
      ...plain,
      kind: "slow-close",
      name: "slow-close",
      closeAfter: 5000
    })
  })

  it("say what is wrong with a text", () => {
    const wrong = (text: string) => Result.getOrThrow(Result.flip(RelayFault.parse(text)))
    assert.include(wrong("latencie 1s"), "latencie is no fault: there are latency, bandwidth,")
    assert.include(wrong(""), "a fault was expected")
    assert.include(wrong("latency"), "latency ends where a duration was expected")
    assert.include(wrong("latency 100"), "100 is no duration: write 200ms, 10s, 2m or 1h")
    assert.include(wrong("silence 120%"), "probability is 1.2: it must be from 0 to 1")
    assert.include(wrong("silence sometimes"), "sometimes was not expected")
    assert.include(wrong("silence every 1m"), "every needs for")
    assert.include(wrong("reset after x"), "x is no whole number")
    assert.include(wrong("half-open up"), "half-open up: it strikes both directions, leave up out")
    assert.include(wrong("end 20% down"), "leave down out")
  })
})
