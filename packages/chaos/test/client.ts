import { Deferred, Effect, type Scope } from "effect"
import * as Net from "node:net"
import type { Handler } from "../src/Connection.ts"

/** A client's socket that records what it received and how it ended. */
export class Client {
  received = ""
  readonly ended: Effect.Effect<string>
  readonly socket: Net.Socket

  constructor(socket: Net.Socket) {
    this.socket = socket
    const ended = Deferred.makeUnsafe<string>()
    this.ended = Deferred.await(ended)
    socket.on("data", (bytes) => this.received += bytes.toString("latin1"))
    socket.on("end", () => Deferred.doneUnsafe(ended, Effect.succeed("end")))
    socket.on("error", (error: NodeJS.ErrnoException) => Deferred.doneUnsafe(ended, Effect.succeed(error.code ?? "")))
  }

  send(bytes: string | Uint8Array): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      this.socket.write(bytes, () => resume(Effect.void))
    })
  }

  /** Waits until what was received ends with a text, by the machine's time. */
  until(text: string): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const look = () => {
        if (!this.received.endsWith(text)) return
        this.socket.off("data", look)
        resume(Effect.void)
      }
      this.socket.on("data", look)
      look()
    })
  }

  /** Sends a text and waits until it has come back. */
  echo(text: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const wanted = this.received + text
      return Effect.andThen(this.send(text), this.until(wanted))
    })
  }
}

/** Connects to a port of 127.0.0.1. */
export const connect = (port: number): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Client>((resume) => {
      const client = new Client(Net.connect({ host: "127.0.0.1", port, allowHalfOpen: true }))
      client.socket.once("connect", () => resume(Effect.succeed(client)))
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** A server's handler that sends back what it receives. */
export const echo: Handler = (connection) =>
  Effect.asVoid(Effect.repeat(
    Effect.tap(connection.receive, (bytes) => bytes === undefined ? connection.end : connection.send(bytes)),
    { while: (bytes) => bytes !== undefined }
  ))
