/**
 * Runs any server of Node for the time of a scope, on a port of a loopback address.
 *
 * **When to use**
 *
 * Use for a server that behaves, or one of `node:http`, `node:tls` or another library. For bytes that no library sends, use
 * `RawServer`.
 *
 * **Gotchas**
 *
 * Needs `node:net`, so it is not in the package's index: import it from `@effect-resilience/chaos/LocalServer`.
 *
 * **Example** (A server that counts)
 *
 * ```ts import.meta.vitest
 * import * as LocalServer from "@effect-resilience/chaos/LocalServer"
 * import { Effect } from "effect"
 *
 * let requests = 0
 * const program = Effect.gen(function*() {
 *   const { url } = yield* LocalServer.http((_, response) => response.end(`request ${++requests}`))
 *   return yield* Effect.promise(() => fetch(url).then((response) => response.text()))
 * })
 * await Effect.runPromise(Effect.scoped(program)) // => "request 1"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import type * as Net from "node:net"
import { createServer } from "node:net"
import * as Tls from "node:tls"
import * as socket from "./internal/socket.ts"

/**
 * A server of `node:http` or `node:tls` that runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface LocalServer {
  /** The loopback address that it listens on. */
  readonly host: string
  /** The port that it listens on. */
  readonly port: number
  /** `http://127.0.0.1:port`, with `https` for a server of `node:tls`. */
  readonly url: string
}

/**
 * Where to listen.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** A loopback address; default 127.0.0.1. */
  readonly host?: string | undefined
  /** Default a free one that no server of this process had before. */
  readonly port?: number | undefined
}

/**
 * Runs a server that does not listen yet. The end of its scope destroys its connections and waits until it has closed. A port
 * that is taken is a defect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const listen = (server: Net.Server, options: Options = {}): Effect.Effect<LocalServer, never, Scope.Scope> => {
  const { host = "127.0.0.1", port = 0 } = options
  const sockets = new Set<Net.Socket>()
  server.on("connection", (socket: Net.Socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => sockets.delete(socket))
  })
  const close = Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    for (const socket of sockets) socket.destroy()
  })
  return Effect.map(
    Effect.acquireRelease(Effect.orDie(socket.listen(server, host, port)), () => close),
    (port) => {
      const scheme = server instanceof Tls.Server ? "https" : "http"
      return { host, port, url: `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}` }
    }
  )
}

/**
 * Runs an HTTP server with a listener of `node:http`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const http = (
  listener: Http.RequestListener,
  options?: Options
): Effect.Effect<LocalServer, never, Scope.Scope> => Effect.suspend(() => listen(Http.createServer(listener), options))

/**
 * A port of 127.0.0.1 that was free just now, and that no server of this process had before: for a server that another process
 * starts, or for none.
 *
 * @category ports
 * @since 0.1.0
 */
export const freePort: Effect.Effect<number> = /* @__PURE__ */ Effect.map(
  /* @__PURE__ */ Effect.scoped(/* @__PURE__ */ Effect.suspend(() => listen(createServer()))),
  ({ port }) => port
)
