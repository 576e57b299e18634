import * as Effect from "effect/Effect"
import type * as Net from "node:net"

/** The bytes that arrive next, or `undefined` after the peer has ended or broken the connection. */
export const receive = (socket: Net.Socket): Effect.Effect<Uint8Array | undefined> =>
  Effect.callback((resume) => {
    const settle = () => {
      const bytes: Uint8Array | null = socket.read()
      if (bytes === null && !socket.readableEnded && !socket.destroyed) return
      forget()
      resume(Effect.succeed(bytes ?? undefined))
    }
    const forget = () => {
      for (const event of events) socket.off(event, settle)
    }
    for (const event of events) socket.on(event, settle)
    settle()
    return Effect.sync(forget)
  })

const events = ["readable", "end", "close"] as const

/** Sends bytes and waits until the operating system has taken them. Does nothing if the peer has disconnected. */
export const send = (socket: Net.Socket, bytes: Uint8Array | string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (!socket.writable) return resume(Effect.void)
    socket.write(bytes, () => resume(Effect.void))
  })

/** Breaks the connection with a reset. */
export const reset = (socket: Net.Socket): void => {
  // While a socket's end leaves, libuv rejects its reset with EINVAL, and Node.js then never closes it (`_destroy` of `net.js`).
  const ending = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0
  // A socket that is still connecting has no peer to reset.
  if (socket.connecting || ending) socket.destroy()
  else socket.resetAndDestroy()
}

/**
 * Listens on a port of a loopback address, and returns the port. 0 is for a free one that no server of this process had before: a
 * client may still keep a connection to that server, which breaks when it is used.
 */
export const listen = (server: Net.Server, host: string, port: number): Effect.Effect<number, NodeJS.ErrnoException> =>
  Effect.callback((resume) => {
    const failed = (error: NodeJS.ErrnoException) => resume(Effect.fail(error))
    const begin = () => server.listen({ host, port }, listening)
    const listening = () => {
      const address = server.address()
      const given = typeof address === "object" && address !== null ? address.port : port
      if (port === 0 && had.has(given)) {
        server.close()
        return void begin()
      }
      had.add(given)
      server.off("error", failed)
      resume(Effect.succeed(given))
    }
    // Half of what systems give.
    if (had.size > 14_000) had.clear()
    server.once("error", failed)
    begin()
  })

const had = new Set<number>()

/** Stops accepting connections. Open connections do not delay it. */
export const stopListening = (server: Net.Server): Effect.Effect<void> =>
  Effect.sync(() => {
    if (server.listening) server.close()
  })
