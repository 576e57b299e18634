import { Effect } from "effect"
import * as Net from "node:net"

/** A TCP server on a free loopback port whose behaviour on each connection is the test's own. */
export const make = (onConnection: (socket: Net.Socket, connection: number) => void) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly sockets: Array<Net.Socket>; readonly server: Net.Server }>(
      (resume) => {
        const sockets: Array<Net.Socket> = []
        const server = Net.createServer((socket) => {
          socket.on("error", () => {})
          sockets.push(socket)
          onConnection(socket, sockets.length)
        })
        server.listen(0, "127.0.0.1", () => {
          const { port } = server.address() as Net.AddressInfo
          resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, sockets, server }))
        })
      }
    ),
    ({ server, sockets }) =>
      Effect.callback<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
  )

export const response = (status: string, body = "", headers = ""): string =>
  `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`
