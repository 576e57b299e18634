import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Settings } from "@effect-resilience/tbm-studio"
import { Effect, Layer, Redacted } from "effect"
import { createHash } from "node:crypto"
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http"
import { createServer as createSocketServer } from "node:net"

export interface Recorded {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Whether its connection is closed. */
  readonly closed: boolean
}

export interface Recorder {
  readonly url: string
  /** Every request whose head has arrived. */
  readonly requests: ReadonlyArray<Recorded>
}

/** Responds to a request. With `false`, the recorder responds as a friendly TBM Studio would. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => boolean

/** A server that records every byte of the requests, unlike the simulator. */
export const recorder = (handler: Handler = () => false, port = 0) =>
  Effect.suspend(() => {
    const requests: Array<Recorded> = []
    const server = LocalServer.http((request, response) => {
      const { headers, method = "", socket, url: path = "" } = request
      const recorded = {
        method,
        path,
        headers,
        body: "",
        get closed() {
          return socket.destroyed
        }
      }
      requests.push(recorded)
      request.setEncoding("latin1")
      request.on("error", () => undefined)
      if (handler(request, response)) {
        request.resume()
        return
      }
      request.on("data", (text: string) => {
        recorded.body += text
      })
      request.on("end", () => friendly(recorded, response))
    }, { port })
    return Effect.map(server, ({ url }): Recorder => ({ url, requests }))
  })

const friendly = ({ body, path }: Recorded, response: ServerResponse) => {
  if (path === "/service/apikeylogin") response.setHeader("apptio-opentoken", "the-token")
  response.setHeader("content-type", "application/json")
  response.end(JSON.stringify(path.startsWith("/api/") ? { id: 42 } : path.startsWith("/biit/") ? fileOf(body) : {}))
}

const fileOf = (body: string) => {
  const part = body.slice(body.lastIndexOf("filename="))
  const content = Buffer.from(part.slice(part.indexOf("\r\n\r\n") + 4, part.lastIndexOf("\r\n--")), "latin1")
  return { md5: createHash("md5").update(content).digest("hex"), length: content.length }
}

/** Settings with names that need encoding. */
export const settings = (frontdoor: string, api = frontdoor) =>
  Layer.succeed(Settings.Settings, {
    customer: "acme",
    domain: "acme.com",
    region: "us",
    environment: "my main",
    publicKey: Redacted.make("the-public-key"),
    secretKey: Redacted.make("the-secret-key"),
    frontdoor,
    api
  })

/** A port that no client should connect to, and a count of those that did. */
export const trap = Effect.suspend(() => {
  let contacts = 0
  const server = createSocketServer((socket) => {
    contacts++
    socket.destroy()
  })
  return Effect.map(LocalServer.listen(server, { host: "0.0.0.0" }), ({ port }) => ({ port, contacts: () => contacts }))
})
