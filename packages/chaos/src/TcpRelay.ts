/**
 * A relay for TCP connections that swallows, holds, delays, cuts or breaks them on request.
 *
 * **Why**
 *
 * A stopped server rejects connections, and each client notices at once. A server that is cut off (a partition, a firewall
 * that forgot the connection, a machine without power) is silent: its clients' sockets stay open, and only time limits
 * release them. Put the relay between a client and a real server to cut the server off.
 *
 * **Details**
 *
 * Bytes pass unchanged, so the relay works with TLS and any protocol. *up* is from the client to the server, *down* is back.
 *
 * | control | from now on |
 * | --- | --- |
 * | `silence` | bytes vanish, the sockets stay open until both peers have ended. A connection that lost bytes stays silent |
 * | `hold` | bytes wait, and arrive after `pass`: a partition that heals |
 * | `delay` | bytes arrive that much later |
 * | `bandwidth` | so many bytes a second pass |
 * | `slowClose` | the end of a direction arrives that much later |
 * | `halfOpen` | all open connections lose their server (or client), and the other side does not hear of it |
 * | `cutAfter` | a connection ends, or is reset, after that many of its bytes |
 * | `end`, `reset` | all open connections end, or are reset, at once |
 * | `reject`, `accept` | new connections are rejected, or accepted again on the same port |
 * | `pass` | undoes `silence`, `hold`, `delay`, `bandwidth`, `slowClose` and `cutAfter` |
 *
 * The relay's own controls apply to all open and future connections, a connection's controls to that connection alone.
 * Delays follow the `Clock` of the effect that made the relay.
 *
 * `faults` are the same as values (`RelayFault`), for some of the connections, at some times; `relay.faults` switches them.
 * Each time one strikes a connection it is marked in the log, the metrics and the span that made the relay.
 *
 * The relay listens on 127.0.0.1 and reaches the one server that it was made for. It looks the server's name up once, when
 * it starts. Its faults end with its process, or with `relay.faults.kill`.
 *
 * **Gotchas**
 *
 * - Needs `node:net`, so it is not in the package's index: import it from `@effect-resilience/chaos/TcpRelay`.
 * - The relay accepts a connection before the server does. For a connection attempt without a response, use `BlackHole`.
 *
 * **Example** (A server that falls silent)
 *
 * ```ts import.meta.vitest
 * import { Misbehavior, RawHttp } from "@effect-resilience/chaos"
 * import * as RawServer from "@effect-resilience/chaos/RawServer"
 * import * as TcpRelay from "@effect-resilience/chaos/TcpRelay"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const server = yield* RawServer.make(Misbehavior.respond(RawHttp.response({ body: "hello" })))
 *   const relay = yield* TcpRelay.make(server)
 *   const call = Effect.promise((signal) =>
 *     fetch(`http://127.0.0.1:${relay.port}`, { signal }).then((response) => response.text())
 *   )
 *   const before = yield* call
 *   yield* relay.silence()
 *   const after = yield* Effect.timeoutOption(call, "50 millis")
 *   return [before, after._tag]
 * })
 * await Effect.runPromise(Effect.scoped(program)) // => ["hello", "None"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Dns from "node:dns"
import * as Net from "node:net"
import type * as Chaos from "./Chaos.ts"
import { chanceOf } from "./internal/chance.ts"
import * as check from "./internal/check.ts"
import { Conditions, Link, passing } from "./internal/link.ts"
import { RelayFaults } from "./internal/relayFaults.ts"
import * as socket from "./internal/socket.ts"
import * as Latency from "./Latency.ts"
import type { Condition, Direction, RelayFault } from "./RelayFault.ts"

/**
 * Controls of one connection, or of all. The default direction is `"both"`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Controls {
  /** Undoes `silence`, `hold`, `delay`, `bandwidth`, `slowClose` and `cutAfter`. */
  readonly pass: Effect.Effect<void>
  /** Swallows what is sent, as a network that loses everything does. */
  readonly silence: (direction?: Direction) => Effect.Effect<void>
  /** Keeps what is sent until `pass`. */
  readonly hold: (direction?: Direction) => Effect.Effect<void>
  /** Delays each piece. */
  readonly delay: (latency: Latency.Input, direction?: Direction) => Effect.Effect<void>
  /** Limits how fast bytes pass. */
  readonly bandwidth: (bytesPerSecond: number, direction?: Direction) => Effect.Effect<void>
  /** Passes on the end of a connection only after this time. */
  readonly slowClose: (duration: Duration.Input, direction?: Direction) => Effect.Effect<void>
  /** Counts from the connection's first byte. A connection beyond that count is cut at its next byte. */
  readonly cutAfter: (bytes: number, direction: "up" | "down", how?: "end" | "reset") => Effect.Effect<void>
  /** Ends both sides in an orderly way (FIN). */
  readonly end: Effect.Effect<void>
  /** Breaks both sides (RST). */
  readonly reset: Effect.Effect<void>
  /** Resets one side, by default the server, and the other does not hear of it. */
  readonly halfOpen: (lost?: "client" | "server") => Effect.Effect<void>
}

/**
 * Bytes passed in each direction, bytes swallowed by `silence`, connections accepted so far and open now.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  /** Bytes from clients to the server. */
  readonly up: number
  /** Bytes from the server to clients. */
  readonly down: number
  /** Bytes that `silence` swallowed, in both directions. */
  readonly swallowed: number
  /** Connections accepted so far. */
  readonly accepted: number
  /** Connections that are open now. */
  readonly open: number
}

/**
 * A connection through the relay. `index` is 0 for the first.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection extends Controls {
  readonly index: number
  /** The bytes of this connection. */
  readonly counts: Effect.Effect<Pick<Counts, "up" | "down" | "swallowed">>
}

/**
 * A relay.
 *
 * @category models
 * @since 0.1.0
 */
export interface Relay extends Controls {
  /** The loopback address that clients connect to. */
  readonly host: string
  /** The port that clients connect to. */
  readonly port: number
  /** The open connections, oldest first. */
  readonly connections: Effect.Effect<ReadonlyArray<Connection>>
  /** The bytes and connections so far. */
  readonly counts: Effect.Effect<Counts>
  /** Waits until the predicate is true. */
  readonly until: (predicate: (counts: Counts) => boolean) => Effect.Effect<void>
  /** Stops listening, so that the system rejects further connections. Open ones stay. */
  readonly reject: Effect.Effect<void>
  /** Listens again after `reject`. */
  readonly accept: Effect.Effect<void>
  /** What the faults draw their numbers from. */
  readonly seed: number
  /** `counts` are the connections that each fault struck. `kill` also undoes the controls, as `pass` does. */
  readonly faults: Faults
}

/**
 * Switches of a relay's faults. `add` adds one; it starts its periods now. A name that is taken is a defect.
 *
 * @category models
 * @since 0.1.0
 */
export interface Faults extends Chaos.Switches {
  readonly add: (fault: RelayFault) => Effect.Effect<void>
}

/**
 * The server behind the relay, and the relay's own options.
 *
 * @category models
 * @since 0.1.0
 */
export interface Upstream {
  /** Default 127.0.0.1. */
  readonly host?: string | undefined
  /** The port of the server. */
  readonly port: number
  /** The relay's port of 127.0.0.1; default a free one. */
  readonly listen?: number | undefined
  /** Default none. */
  readonly faults?: ReadonlyArray<RelayFault> | undefined
  /** Of the faults; default by chance (Effect's `Random`). */
  readonly seed?: number | undefined
}

/**
 * A relay that did not start: the name of its server has no address, or its port is taken.
 *
 * @category errors
 * @since 0.1.0
 */
export class RelayError extends Data.TaggedError("RelayError")<{
  /** `Unresolved`: the server's name has no address. `PortTaken`: something else listens on the port. */
  readonly reason: "Unresolved" | "PortTaken"
  /** What happened, with the name or the port. */
  readonly message: string
}> {}

/**
 * A relay as a service.
 *
 * @category services
 * @since 0.1.0
 */
export class TcpRelay extends Context.Service<TcpRelay, Relay>()("@effect-resilience/chaos/TcpRelay") {}

/**
 * Starts a relay on a port of 127.0.0.1. Its scope closes all its sockets.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (upstream: Upstream): Effect.Effect<Relay, RelayError, Scope.Scope> =>
  Effect.gen(function*() {
    const run = yield* FiberSet.makeRuntime()
    const clock = yield* Clock.Clock
    const seed = upstream.seed ?? (yield* Random.nextInt)
    const target = yield* resolve(upstream.host ?? host)
    const fresh = new Conditions()
    const open = new Map<Link, Connection>()
    const watching = new Set<() => void>()
    const totals = { up: 0, down: 0, swallowed: 0, accepted: 0 }
    const counts = (): Counts => ({ ...totals, open: open.size })
    const count = (kind: keyof typeof totals | "closed", amount: number) => {
      if (kind !== "closed") totals[kind] += amount
      for (const look of watching) look()
    }

    const faults = new RelayFaults(seed, clock, () => open.keys(), run)
    upstream.faults?.forEach((fault) => faults.add(fault))
    const server = Net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (client) => {
      const to = Net.connect({ ...target, port: upstream.port, allowHalfOpen: true, noDelay: true })
      const index = totals.accepted
      // Not those of a fault, whose first one has decided whether it strikes.
      const chance = chanceOf(seed, "bytes of the connection", index)
      const link = new Link(index, client, to, fresh, clock, chance, count)
      open.set(link, {
        index,
        counts: Effect.sync(() => ({ ...link.counts })),
        ...controls(() => [link])
      })
      count("accepted", 1)
      faults.meet(link)
      run(Effect.ensuring(
        link.run,
        Effect.sync(() => {
          open.delete(link)
          count("closed", 1)
        })
      ))
    })
    // Also ends links whose fiber has not begun yet.
    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        socket.stopListening(server),
        Effect.sync(() => {
          for (const link of open.keys()) link.close()
        })
      )
    )
    const port = yield* Effect.mapError(
      socket.listen(server, host, upstream.listen ?? 0),
      ({ message }) => new RelayError({ reason: "PortTaken", message })
    )
    const all = controls(() => [fresh, ...open.keys()])

    return {
      ...all,
      seed,
      faults: {
        add: (fault) => Effect.sync(() => faults.add(fault)),
        on: (name) => Effect.sync(() => faults.switch(name, true)),
        off: (name) => Effect.sync(() => faults.switch(name, false)),
        kill: Effect.andThen(Effect.sync(() => faults.kill()), all.pass),
        counts: Effect.sync(() => faults.counts)
      },
      host,
      port,
      connections: Effect.sync(() => Array.from(open.values())),
      counts: Effect.sync(counts),
      until: (predicate) =>
        Effect.callback<void>((resume) => {
          const look = () => {
            if (!predicate(counts())) return
            watching.delete(look)
            resume(Effect.void)
          }
          watching.add(look)
          look()
          return Effect.sync(() => watching.delete(look))
        }),
      reject: socket.stopListening(server),
      accept: Effect.suspend(() => server.listening ? Effect.void : Effect.orDie(socket.listen(server, host, port)))
    }
  })

/**
 * Provides `TcpRelay`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (upstream: Upstream): Layer.Layer<TcpRelay, RelayError> => Layer.effect(TcpRelay, make(upstream))

/** Controls all open and future connections that `all` returns. */
const controls = (all: () => Iterable<Conditions>): Controls => {
  const change = (direction: Direction, change: Partial<Condition>) =>
    Effect.sync(() => {
      for (const conditions of all()) conditions.change(direction, change)
    })
  const eachLink = (act: (link: Link) => void) =>
    Effect.sync(() => {
      for (const conditions of all()) if (conditions instanceof Link) act(conditions)
    })
  return {
    pass: change("both", passing),
    silence: (direction = "both") => change(direction, { mode: "silence" }),
    hold: (direction = "both") => change(direction, { mode: "hold" }),
    delay: (latency, direction = "both") => change(direction, { latency: Latency.fromInput(latency) }),
    bandwidth: (bytesPerSecond, direction = "both") =>
      change(direction, { bytesPerSecond: check.within("bytesPerSecond", bytesPerSecond, 1, Number.MAX_VALUE) }),
    slowClose: (duration, direction = "both") => change(direction, { closeAfter: check.millis("duration", duration) }),
    cutAfter: (bytes, direction, how = "end") => change(direction, { cutAfter: bytes, cutBy: how }),
    end: eachLink((link) => link.drop("end")),
    reset: eachLink((link) => link.drop("reset")),
    halfOpen: (lost = "server") => eachLink((link) => link.lose(lost))
  }
}

/** The addresses of a host, looked up once. */
const resolve = (name: string): Effect.Effect<Pick<Net.TcpNetConnectOpts, "host" | "lookup">, RelayError> => {
  if (Net.isIP(name) !== 0) return Effect.succeed({ host: name })
  const addresses = Effect.callback<ReadonlyArray<Dns.LookupAddress>, RelayError>((resume) =>
    Dns.lookup(name, { all: true }, (error, addresses) =>
      resume(
        error === null
          ? Effect.succeed(addresses)
          : Effect.fail(new RelayError({ reason: "Unresolved", message: `${name} has no address: ${error.message}` }))
      ))
  )
  return Effect.map(addresses, (addresses) => ({
    host: name,
    lookup: (_, options, resume) => {
      if (options.all === true) resume(null, [...addresses])
      else resume(null, addresses[0]?.address ?? "", addresses[0]?.family)
    }
  }))
}

const host = "127.0.0.1"
