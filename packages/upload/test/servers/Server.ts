import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Effect } from "effect"
import * as Http from "node:http"

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
  ) => void = (response) => response.end("ok"),
  options: Http.ServerOptions = {}
) =>
  Effect.suspend(() => {
    const requests: Array<Received> = []
    const server = Http.createServer(options, (request, response) => {
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
    return Effect.map(LocalServer.listen(server), ({ url }) => ({ url, requests }))
  })
