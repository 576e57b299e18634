import { Misbehavior, RawHttp } from "@effect-resilience/chaos"
import * as RawServer from "@effect-resilience/chaos/RawServer"
import * as TcpRelay from "@effect-resilience/chaos/TcpRelay"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createConnection } from "node:net"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { inTurns } from "../../chaos/test/turns.ts"
import * as drill from "../src/internal/drill.ts"

const seconds = (text: string) => text === "1s" ? Duration.seconds(1) : undefined

const faultOf = (text: string) => {
  const fault = drill.faultOf(text, seconds)
  if (fault === undefined) throw new Error(`${text} is no fault`)
  return fault
}

/** A drill with a program that calls all the time and is as patient as said; its access log has what it saw. */
const drilled = (fault: string, stopAt: number, patience: Duration.Input) =>
  Effect.gen(function*() {
    const server = yield* RawServer.make(Misbehavior.respond(RawHttp.response({ body: "hello" })))
    const relay = yield* TcpRelay.make(server)
    let log: Array<string> = []
    const call = Effect.tryPromise((signal) =>
      fetch(`http://127.0.0.1:${relay.port}`, { signal, headers: { connection: "close" } }).then((response) =>
        response.text()
      )
    ).pipe(
      Effect.timeout(patience),
      Effect.exit,
      Effect.tap(({ _tag }) =>
        Effect.sync(() =>
          log.push(JSON.stringify({ kind: "call", attempt: 1, outcome: _tag === "Success" ? "success" : "failure" }))
        )
      ),
      Effect.andThen(Effect.sleep("5 millis"))
    )
    // The first one also loads the client.
    yield* call
    log = []
    yield* Effect.forkScoped(Effect.forever(call))
    const lines = Effect.sync(() => {
      const written = log
      log = []
      return written
    })
    const { run, seen } = drill.make({ relay, fault: faultOf(fault), forMillis: 4000, stopAt, lines })
    yield* run
    return seen()
  }).pipe(Effect.scoped, inTurns, Effect.provide(TestClock.layer()), Effect.runPromise)

describe("a drill", () => {
  it("has the fault in its middle, and sees calls fail and succeed again", async () => {
    const { phases, stopped } = await drilled("silence", 1.1, "200 millis")
    expect(stopped).toBe(false)
    expect(phases.map(({ name }) => name)).toEqual(["before", "fault", "after"])
    const [before, fault, after] = phases.map(({ calls, good }) => good / calls)
    expect(before).toBeGreaterThan(0.8)
    expect(fault).toBeLessThan(0.2)
    expect(after).toBeGreaterThan(0.8)
    expect(phases[1]?.withoutResponse).toBeGreaterThan(0)
  })

  it("ends the fault at an error rate, and lets the dependency recover", async () => {
    const { phases, stopped } = await drilled("reject", 0.5, "5 seconds")
    expect(stopped).toBe(true)
    expect(phases[1]?.millis).toBeLessThan(1900)
    const after = phases[2]
    expect((after?.good ?? 0) / (after?.calls ?? 1)).toBeGreaterThan(0.8)
  })

  it.each(["silence", "hold", "reject", "reset", "delay=1s", "cut=10"])("knows %s", (text) => {
    expect(drill.faultOf(text, seconds)).toBeDefined()
  })

  it.each(["", "silence=1", "delay", "delay=soon", "cut", "cut=", "cut=x", "cut=-1", "fire"])("rejects %j", (text) => {
    expect(drill.faultOf(text, seconds)).toBeUndefined()
  })

  it("ends at Ctrl-C with its relay, and tells what was seen until then", async () => {
    const program = Effect.gen(function*() {
      const { host, port } = yield* RawServer.make(Misbehavior.respond(RawHttp.response({ body: "hello" })))
      return yield* Effect.promise(() => interrupted(`${host}:${port}`))
    })
    const { address, code, out } = await Effect.runPromise(Effect.scoped(program))
    expect(code).toBe(130)
    const report = JSON.parse(out)
    expect(report).toMatchObject({ stopped: false, interrupted: true, phases: [{ name: "before", connections: 1 }] })
    await expect(hello(address)).rejects.toThrow("ECONNREFUSED")
  })
})

/** A drill of a minute that is interrupted once a request has passed. */
const interrupted = async (target: string) => {
  const command = fileURLToPath(new URL("../src/main.ts", import.meta.url))
  const child = spawn(
    process.execPath,
    ["--conditions=@effect-resilience/source", command, "drill", target, "--for", "1m", "--fault", "silence", "--json"],
    { stdio: ["ignore", "pipe", "pipe"] }
  )
  let out = ""
  child.stdout.on("data", (bytes) => out += bytes)
  const address = await new Promise<string>((resolve) => {
    let err = ""
    child.stderr.on("data", (bytes) => {
      err += bytes
      const found = /point the program at (\S+) now/.exec(err)?.[1]
      if (found !== undefined) resolve(found)
    })
  })
  await hello(address)
  child.kill("SIGINT")
  const [code] = await once(child, "close")
  return { address, code, out }
}

/** A request that gets a response. */
const hello = async (address: string) => {
  const [host, port] = address.split(":")
  const socket = createConnection({ host, port: Number(port) })
  socket.write("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
  await once(socket, "data")
  socket.destroy()
}
