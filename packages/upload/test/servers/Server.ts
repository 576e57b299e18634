import { Effect } from "effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

export interface Received {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Buffer
}

/** A server on a free loopback port that keeps what it receives. By default it reads everything and responds with 200. */
export const make = (
  respond: (
    response: Http.ServerResponse,
    received: Received,
    attempt: number
  ) => void = (response) => response.end("ok")
) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly requests: Array<Received>; readonly server: Http.Server }>(
      (resume) => {
        const requests: Array<Received> = []
        const server = Http.createServer((request, response) => {
          const chunks: Array<Buffer> = []
          request.on("data", (chunk: Buffer) => chunks.push(chunk))
          request.on("error", () => {})
          request.on("end", () => {
            const received = {
              method: request.method,
              url: request.url,
              headers: request.headers,
              body: Buffer.concat(chunks)
            }
            requests.push(received)
            respond(response, received, requests.length)
          })
        })
        server.listen(0, "127.0.0.1", () => {
          const { port } = server.address() as AddressInfo
          resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, requests, server }))
        })
      }
    ),
    ({ server }) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
