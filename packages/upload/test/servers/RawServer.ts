import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Effect } from "effect"
import * as Net from "node:net"

/** A TCP server on a free loopback port whose behaviour on each connection is the test's own. */
export const make = (onConnection: (socket: Net.Socket, connection: number) => void) =>
  Effect.suspend(() => {
    const sockets: Array<Net.Socket> = []
    const server = LocalServer.listen(Net.createServer((socket) => {
      sockets.push(socket)
      onConnection(socket, sockets.length)
    }))
    return Effect.map(server, ({ url }) => ({ url, sockets }))
  })

export const response = (status: string, body = "", headers = ""): string =>
  `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`
