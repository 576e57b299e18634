/**
 * A relay for TCP connections that can be told to swallow, hold, delay, cut or break them while they run.
 *
 * **Why**
 *
 * A server that is stopped refuses connections, and every client notices at once. One that is cut off (a partition, a
 * firewall that forgot the connection, a machine without power) says nothing: its clients' sockets stay open, and only
 * limits on time get them out. Put the relay between a client and a real server, and take the network away.
 *
 * **Details**
 *
 * Bytes pass through untouched, so TLS and any protocol do. *up* is from the client to the server, *down* the way back.
 *
 * | control | from now on |
 * | --- | --- |
 * | `silence` | bytes vanish, the sockets stay open. A connection that lost bytes stays silent for ever |
 * | `hold` | bytes wait, and arrive after `pass`: a partition that heals |
 * | `delay` | bytes arrive so much later |
 * | `cutAfter` | a connection ends, or is reset, once so many of its bytes have passed |
 * | `end`, `reset` | every open connection ends, or is reset, at once |
 * | `refuse`, `accept` | new connections are refused, or accepted again on the same port |
 * | `pass` | undoes `silence`, `hold`, `delay` and `cutAfter` |
 *
 * The relay's own controls apply to the connections that are open and to those that follow; a connection's controls to it
 * alone. Delays follow the `Clock` of the effect that made the relay.
 *
 * **Gotchas**
 *
 * - Needs `node:net`, so it is not in the package's index: import it from `@effect-resilience/chaos/TcpRelay`.
 * - The relay accepts a connection itself, before the server has. A connection attempt that meets silence is a `BlackHole`.
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
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { controls, Link, Ways } from "./internal/link.ts"
import * as socket from "./internal/socket.ts"

/**
 * @category models
 * @since 0.1.0
 */
export type Direction = "up" | "down" | "both"

/**
 * What can be done to one connection, or to all. A direction that is left out is `"both"`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Controls {
  readonly pass: Effect.Effect<void>
  readonly silence: (direction?: Direction) => Effect.Effect<void>
  readonly hold: (direction?: Direction) => Effect.Effect<void>
  readonly delay: (duration: Duration.Input, direction?: Direction) => Effect.Effect<void>
  /** Counted from the connection's first byte. One that has passed more already is cut at its next byte. */
  readonly cutAfter: (bytes: number, direction: "up" | "down", how?: "end" | "reset") => Effect.Effect<void>
  readonly end: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
}

/**
 * How much has passed: bytes each way, bytes that `silence` swallowed, connections so far and now.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  readonly up: number
  readonly down: number
  readonly swallowed: number
  readonly accepted: number
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
  readonly counts: Effect.Effect<Pick<Counts, "up" | "down" | "swallowed">>
}

/**
 * A relay.
 *
 * @category models
 * @since 0.1.0
 */
export interface Relay extends Controls {
  readonly host: string
  readonly port: number
  /** The open connections, oldest first. */
  readonly connections: Effect.Effect<ReadonlyArray<Connection>>
  readonly counts: Effect.Effect<Counts>
  /** Waits until the counts are so. */
  readonly until: (predicate: (counts: Counts) => boolean) => Effect.Effect<void>
  readonly refuse: Effect.Effect<void>
  readonly accept: Effect.Effect<void>
}

/**
 * Where the relay forwards to. `host` is 127.0.0.1 by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Upstream {
  readonly host?: string | undefined
  readonly port: number
}

/**
 * The relay of a test or a program.
 *
 * @category services
 * @since 0.1.0
 */
export class TcpRelay extends Context.Service<TcpRelay, Relay>()("@effect-resilience/chaos/TcpRelay") {}

/**
 * Starts a relay on a free port of 127.0.0.1. All its sockets are closed with its scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (upstream: Upstream): Effect.Effect<Relay, never, Scope.Scope> =>
  Effect.gen(function*() {
    const run = yield* FiberSet.makeRuntime()
    const clock = yield* Clock.Clock
    const fresh = new Ways()
    const open = new Set<Link>()
    const watching = new Set<() => void>()
    const totals = { up: 0, down: 0, swallowed: 0, accepted: 0 }
    const counts = (): Counts => ({ ...totals, open: open.size })
    const count = (kind: keyof typeof totals | "closed", amount: number) => {
      if (kind !== "closed") totals[kind] += amount
      for (const look of watching) look()
    }

    const server = Net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (client) => {
      const to = Net.connect({ host: upstream.host ?? host, port: upstream.port, allowHalfOpen: true, noDelay: true })
      const link = new Link(totals.accepted, client, to, fresh, clock, count)
      open.add(link)
      count("accepted", 1)
      run(Effect.ensuring(
        link.run,
        Effect.sync(() => {
          open.delete(link)
          count("closed", 1)
        })
      ))
    })
    // Nothing else ends a link whose fiber has not begun yet.
    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        socket.stopListening(server),
        Effect.sync(() => {
          for (const link of open) link.drop("reset")
        })
      )
    )
    const port = yield* socket.listen(server, host, 0)

    return {
      ...controls(() => [fresh, ...open]),
      host,
      port,
      connections: Effect.sync(() => Array.from(open, ({ connection }) => connection)),
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
      refuse: socket.stopListening(server),
      accept: Effect.suspend(() => server.listening ? Effect.void : socket.listen(server, host, port))
    }
  })

/**
 * Provides `TcpRelay`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (upstream: Upstream): Layer.Layer<TcpRelay> => Layer.effect(TcpRelay, make(upstream))

const host = "127.0.0.1"
