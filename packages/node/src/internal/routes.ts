import { Agent, type Dispatcher, Pool } from "@effect/platform-node/Undici"
import * as Connector from "./connector.ts"
import * as NoProxy from "./noProxy.ts"
import { RunningRequests } from "./runningRequests.ts"

export interface Options extends Omit<Connector.Options, "closing"> {
  readonly headersTimeout: number
  readonly bodyTimeout: number
  /** For the connection to the proxy, which does not get the client's certificate. */
  readonly proxyTls: Connector.Options["tls"]
  /** Options of each pool. */
  readonly pool: Pick<Agent.Options, "connections" | "keepAliveTimeout" | "keepAliveMaxTimeout" | "clientTtl">
  readonly proxy: {
    readonly http: URL | undefined
    readonly https: URL | undefined
    readonly noProxy: string
  }
}

/** The routes to a server: direct, or through a proxy. */
export interface Routes {
  readonly dispatcher: Dispatcher
  /** The host and port of the proxy that reads requests to this address. */
  readonly proxyOf: (url: URL) => string | undefined
  /** Whose connections requests to this address share: the server's, or those of the proxy that reads them. */
  readonly poolOf: (url: URL) => string
  readonly destroy: () => Promise<unknown>
}

interface Route {
  readonly dispatcher: Dispatcher
  /** The proxy that reads the requests and responds itself. What goes through a tunnel is for the server alone. */
  readonly reader?: URL
}

export const make = (options: Options): Routes => {
  const { bodyTimeout, headersTimeout, pool, proxy } = options
  const { http2: allowH2 } = options
  const closing = new AbortController()
  const connect = { ...options, closing: closing.signal }
  const direct: Route = {
    dispatcher: new Agent({ ...pool, allowH2, connect: Connector.direct(connect) })
  }
  const opened: Array<Dispatcher> = [direct.dispatcher]
  const open = <D extends Dispatcher>(dispatcher: D): D => {
    opened.push(dispatcher)
    return dispatcher
  }
  const hop = { ...connect, http2: false, tls: options.proxyTls }
  const toProxy = (url: URL) => open(new Pool(url.origin, { ...pool, connect: Connector.direct(hop) }))

  const tunneled = (url: URL): Route => {
    // Each tunnel keeps its connection to the proxy for itself.
    const proxy = { dispatcher: toProxy(url), origin: url.origin, name: url.host, headers: credentials(url) }
    const tunnel = Connector.through(proxy, connect)
    return { dispatcher: open(new Agent({ ...pool, allowH2, connect: tunnel })) }
  }
  const forwarded = (url: URL): Route => {
    const headers = credentials(url)
    const dispatcher = toProxy(url).compose((dispatch) => (request, handler) =>
      dispatch({
        ...request,
        path: `${String(request.origin)}${request.path}`,
        headers: { host: new URL(String(request.origin)).host, ...headersOf(request), ...headers },
        ...(url.protocol === "https:" && { servername: url.hostname })
      }, handler)
    )
    return { dispatcher, reader: url }
  }

  const http = proxy.http === undefined ? direct : forwarded(proxy.http)
  const https = proxy.https === undefined ? direct : tunneled(proxy.https)
  const needsNone = NoProxy.parse(proxy.noProxy)
  const routeOf = (url: URL): Route => {
    const route = url.protocol === "https:" ? https : http
    return route === direct || needsNone(url) ? direct : route
  }
  const overHttp2 = allowH2 ? new RunningRequests() : undefined
  return {
    // Effect's client sets its own timeouts on each request, which would override those of an agent.
    dispatcher: direct.dispatcher.compose(() => (request, handler) => {
      const { dispatcher } = routeOf(new URL(String(request.origin)))
      return dispatcher.dispatch({ ...request, headersTimeout, bodyTimeout }, overHttp2?.observe(handler) ?? handler)
    }),
    proxyOf: (url) => routeOf(url).reader?.host,
    poolOf: (url) => routeOf(url).reader?.origin ?? url.origin,
    destroy: () => {
      const destroyed = Promise.all(opened.map((dispatcher) => dispatcher.destroy()))
      overHttp2?.fail()
      // Destroying a dispatcher does not end what is still connecting.
      closing.abort()
      return destroyed
    }
  }
}

const headersOf = ({ headers }: Dispatcher.DispatchOptions) => {
  if (headers === undefined || headers === null) return {}
  if (!Array.isArray(headers)) return Symbol.iterator in headers ? Object.fromEntries(headers) : headers
  return Object.fromEntries(headers.flatMap((name, i) => i % 2 === 0 ? [[name, headers[i + 1]]] : []))
}

const credentials = ({ password, username }: URL): { readonly [name: string]: string } =>
  username === "" && password === ""
    ? {}
    : { "proxy-authorization": `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString("base64")}` }

// A `%` that is no percent-encoding stands for itself.
const decoded = (text: string): string =>
  text.replace(/(?:%[0-9a-f]{2})+/gi, (encoded) => {
    try {
      return decodeURIComponent(encoded)
    } catch {
      return encoded
    }
  })
