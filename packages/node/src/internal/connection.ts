import { type buildConnector, Client, Pool } from "@effect/platform-node/Undici"
import type { EventEmitter } from "node:events"
import * as Timers from "node:timers"
import { TLSSocket } from "node:tls"

export interface Options extends Omit<Pool.Options, "connect" | "factory" | "h2Options"> {
  readonly connect: buildConnector.connector
  readonly h2Options: {
    readonly maxConcurrentStreams: number
    /** In milliseconds; 0 for no pings. */
    readonly pingInterval: number
  }
}

/** A pool of connections to one origin. */
export const pool = (origin: string | URL, options: Options): Pool =>
  new Pool(origin, { ...options, factory: (origin) => new Connection(origin, options) })

class Connection extends Client {
  constructor(origin: URL, options: Options) {
    super(origin, {
      ...options,
      connect: (target, callback) =>
        options.connect(target, (...outcome) => {
          callback(...outcome)
          const [, socket] = outcome
          if (socket instanceof TLSSocket && socket.alpnProtocol === "h2") watch(this, socket, options.h2Options)
        })
    })
  }
}

// undici sends pings and does not miss their responses. A connection that a firewall forgot would take requests for as long as
// the system repeats its packets, which is a quarter of an hour.
const watch = (pings: EventEmitter, socket: TLSSocket, { pingInterval }: Options["h2Options"]): void => {
  if (pingInterval === 0) return
  let heard = 0
  const timer = Timers.setTimeout(() => {
    const before = heard
    // After a time in which the process was busy, a response may be here and not be read yet.
    Timers.setImmediate(() =>
      Timers.setImmediate(() => {
        if (heard === before) socket.destroy(new NoPong())
      })
    )
  }, 2 * pingInterval).unref()
  const onPing = () => {
    heard++
    timer.refresh()
  }
  pings.on("ping", onPing)
  socket.once("close", () => {
    Timers.clearTimeout(timer)
    pings.off("ping", onPing)
  })
}

class NoPong extends Error {
  readonly code = "ETIMEDOUT"
  constructor() {
    super("the server did not respond to HTTP/2 pings")
  }
}
