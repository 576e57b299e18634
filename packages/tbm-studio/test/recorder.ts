import { Settings } from "@effect-resilience/tbm-studio"
import { Effect, Layer, Redacted } from "effect"
import { createHash } from "node:crypto"
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http"
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
  Effect.acquireRelease(
    Effect.callback<Recorder & { readonly close: () => void }>((resume) => {
      const requests: Array<Recorded> = []
      const server = createServer((request, response) => {
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
      })
      server.listen(port, "127.0.0.1", () => {
        const address = server.address()
        const url = `http://127.0.0.1:${address !== null && typeof address === "object" ? address.port : 0}`
        const close = () => {
          server.close()
          server.closeAllConnections()
        }
        resume(Effect.succeed({ url, requests, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

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
export const trap = Effect.acquireRelease(
  Effect.callback<{ readonly port: number; readonly contacts: () => number; readonly close: () => void }>((resume) => {
    let contacts = 0
    const server = createSocketServer((socket) => {
      contacts++
      socket.destroy()
    })
    server.listen(0, "0.0.0.0", () => {
      const address = server.address()
      const port = address !== null && typeof address === "object" ? address.port : 0
      resume(Effect.succeed({ port, contacts: () => contacts, close: () => server.close() }))
    })
  }),
  ({ close }) => Effect.sync(close)
)
