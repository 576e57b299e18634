import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Effect, type Scope } from "effect"
import type * as Http from "node:http"

export interface Arrival {
  readonly path: string
  readonly at: number
  readonly traceparent: string | undefined
  readonly deadline: boolean
}

const json = { "content-type": "application/json" }

/** Begins a response that is longer than what comes of it. */
const begin = (response: Http.ServerResponse) =>
  response.writeHead(200, { ...json, "content-length": "1000" }).write(`{"id":`)

/** What the first request of a path gets. Those after it get the id. */
const faults: { readonly [path: string]: Http.RequestListener } = {
  "/503": (_, response) => response.writeHead(503, { "retry-after": "1" }).end("busy"),
  "/429": (_, response) => response.writeHead(429, { "retry-after": "1" }).end("slower"),
  "/silent": () => undefined,
  "/truncated": (_, response) => {
    begin(response)
    setTimeout(() => response.destroy(), 50)
  },
  "/hung": (_, response) => void begin(response),
  "/reset": (request) => request.socket.resetAndDestroy()
}

/** An application, to stand behind nginx: it is there while the scope lasts, and remembers what arrived. */
export const run = (port: number): Effect.Effect<ReadonlyArray<Arrival>, never, Scope.Scope> => {
  const arrivals: Array<Arrival> = []
  const server = LocalServer.http((request, response) => {
    const path = request.url?.replace(/^\/application/, "").replace(/\?.*$/, "") ?? ""
    arrivals.push({
      path,
      at: performance.now(),
      traceparent: request.headers["traceparent"]?.toString(),
      deadline: Object.keys(request.headers).some((name) => /deadline|timeout/.test(name))
    })
    request.resume().on("end", () => {
      const fault = arrivals.filter((one) => one.path === path).length === 1 ? faults[path] : undefined
      if (fault === undefined) response.writeHead(200, json).end(`{"id":"7"}`)
      else fault(request, response)
    })
  }, { port })
  return Effect.as(server, arrivals)
}
