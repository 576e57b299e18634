/**
 * An HTTP client for Node.js whose connections are bounded in number and time, over proxies and with certificates of
 * your own.
 *
 * **Why**
 *
 * By default, `NodeHttpClient.layerUndici` opens as many sockets per origin as there are requests, waits an hour for a
 * response's headers and forever for the next byte of its body, and knows neither `NO_PROXY` nor a company's CA. When a request
 * fails, it does not say whether any of it had left.
 *
 * **Details**
 *
 * | option | default | |
 * | --- | --- | --- |
 * | `connectTimeout` | 10 s | name look-up, proxy, TCP and TLS |
 * | `poolTimeout` | 2 min | how long a request waits until a connection is free or made |
 * | `headersTimeout` | 5 min | from the last byte sent to the response's headers |
 * | `bodyTimeout` | 1 min | between two pieces of the response's body |
 * | `keepAlive` | 4 s | how long an idle connection is kept if the server says nothing; at most 30 s if it does |
 * | `maxAge` | 2 min | after which a connection takes no more requests, so that names are looked up anew |
 * | `connections` | 64 | sockets per origin; further requests queue |
 * | `http2` | false | speaks HTTP/2 if the server does, too |
 * | `proxy` | none | see `Proxy` and `proxyFromEnvironment` |
 * | `ca` | none | PEM certificates trusted beside those of Node.js and the system |
 * | `clientCertificate` | none | for mutual TLS |
 *
 * Each error says how far its request came (`Transport.Transmission` of `@effect-resilience/errors`), and so does
 * `SendProgress` of `@effect-resilience/http` if an attempt is cut off. A request that never left is retried even if it must
 * not be repeated: it was waiting for a connection, in a TLS handshake, in the queue, or in front of a proxy.
 *
 * Requests whose body is bytes, a stream or a form go to undici directly. Upgrades and raw bodies go through `NodeHttpClient`,
 * which does not say how far they came.
 *
 * Addresses of both families are tried, IPv6 first if the resolver says so, half a second apart. Redirects are not
 * followed and bodies not decompressed: that is for the `http` package.
 *
 * **Gotchas**
 *
 * - A server can close a keep-alive connection in the instant in which the client uses it again. The client sees a reset, and
 *   only a request that may be repeated survives it. Keep `keepAlive` shorter than the server's.
 * - An unread body keeps its connection. If another request to the origin waits for a connection, a body of more than 64 KiB that
 *   has not been read for a second loses its own, and fails when it is read later. Read each body, or run the call in a scope
 *   with `HttpClient.withScope`.
 * - HTTP/2 puts all requests on one connection, and each end of it (`GOAWAY`, which nginx sends every 1,000 requests) concerns
 *   all that are running. Streams that the server says not to have processed are retried; the outcome of others is unknown.
 * - Over HTTP/2, a server that takes no more of a body stops the request, and `headersTimeout` does not end it while other requests of
 *   the connection go on. Limit the time of the call.
 *
 * **Example** (A client with a company's CA and proxy)
 *
 * ```ts import.meta.vitest
 * import * as Connections from "@effect-resilience/node/Connections"
 * import { Effect, Layer } from "effect"
 * import { HttpClient } from "effect/http"
 *
 * const Client = Layer.unwrap(
 *   Effect.map(Connections.proxyFromEnvironment, (proxy) =>
 *     Connections.layer({ proxy, connectTimeout: "5 seconds", connections: 16 })
 *   )
 * )
 *
 * const program = Effect.map(HttpClient.HttpClient, HttpClient.isHttpClient)
 * await Effect.runPromise(Effect.provide(program, Client)) // => true
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as BufferReuse from "@effect-resilience/http/BufferReuse"
import * as SendProgress from "@effect-resilience/http/SendProgress"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type { Dispatcher } from "@effect/platform-node/Undici"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { X509Certificate } from "node:crypto"
import * as Tls from "node:tls"
import * as Exchange from "./internal/exchange.ts"
import * as Routes from "./internal/routes.ts"
import * as StreamedBody from "./internal/streamedBody.ts"

/**
 * What can be set; the module's table has the defaults.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** For the name look-up, the proxy, TCP and TLS; 10 seconds by default. */
  readonly connectTimeout?: Duration.Input | undefined
  /** From the last byte sent to the response's headers; 5 minutes by default. */
  readonly headersTimeout?: Duration.Input | undefined
  /** Between two pieces of the response's body; 1 minute by default. */
  readonly bodyTimeout?: Duration.Input | undefined
  /** How long an idle connection is kept if the server says nothing; 4 seconds by default, at most 30 seconds if it does. */
  readonly keepAlive?: Duration.Input | undefined
  /** After which a connection takes no more requests, so that names are looked up anew; 2 minutes by default. */
  readonly maxAge?: Duration.Input | undefined
  /** How long a request waits until a connection is free or made; 2 minutes by default. */
  readonly poolTimeout?: Duration.Input | undefined
  /** Sockets per origin; further requests queue; 64 by default. */
  readonly connections?: number | undefined
  /** Speaks HTTP/2 if the server does, too; false by default. */
  readonly http2?: boolean | undefined
  /** The proxies; none by default. `proxyFromEnvironment` reads them. */
  readonly proxy?: Proxy | undefined
  /** PEM certificates trusted beside those of Node.js and the system; none by default. */
  readonly ca?: string | ReadonlyArray<string> | undefined
  /** For mutual TLS; none by default. */
  readonly clientCertificate?: ClientCertificate | undefined
}

/**
 * Which proxy requests go through.
 *
 * - `http`, `https`: the proxy for addresses of that scheme; none by default. A proxy without a scheme is an `http` one. It may
 *   hold a user and a password, percent-encoded, hence `Redacted`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Proxy {
  readonly http?: Redacted.Redacted | undefined
  readonly https?: Redacted.Redacted | undefined
  /**
   * Hosts that need no proxy: names with all below them, addresses, ranges of addresses, each with or without a port, such as
   * `localhost,.corp.example,10.0.0.0/8,[::1]:8080`; or `*`.
   */
  readonly noProxy?: string | undefined
}

/**
 * A certificate and its private key, both as PEM.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientCertificate {
  /** The certificate, with those of intermediates after it. */
  readonly certificate: string
  /** The private key. */
  readonly key: Redacted.Redacted
  /** Decrypts the key; absent for a key that is not encrypted. */
  readonly passphrase?: Redacted.Redacted | undefined
}

/**
 * An option cannot be used. `option` names it; its value is not repeated.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidConnection extends ErrorMessage.TaggedError("InvalidConnection")<{
  readonly option: "ca" | "clientCertificate" | "proxy"
  /** What is wrong with it. */
  readonly problem: string
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return `${this.option}: ${this.problem}`
  }
}

/**
 * The proxy that the environment names in `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in lower case first, as curl does.
 *
 * @category configuration
 * @since 0.1.0
 */
export const proxyFromEnvironment: Config.Config<Proxy> = Config.all({
  http: optional((name) => Config.Redacted(name), "http_proxy"),
  https: optional((name) => Config.Redacted(name), "https_proxy"),
  noProxy: optional((name) => Config.String(name), "no_proxy")
})

function optional<A>(read: (name: string) => Config.Config<A>, name: string): Config.Config<A | undefined> {
  return Config.map(
    Config.option(Config.orElse(read(name), () => read(name.toUpperCase()))),
    Option.getOrUndefined
  )
}

const makeRoutes = (options: Options) => {
  const connectTimeout = millis("connectTimeout", options.connectTimeout ?? "10 seconds")
  const headersTimeout = millis("headersTimeout", options.headersTimeout ?? "5 minutes")
  const bodyTimeout = millis("bodyTimeout", options.bodyTimeout ?? "1 minute")
  const keepAliveTimeout = millis("keepAlive", options.keepAlive ?? "4 seconds") || longestTimer
  const poolTimeout = millis("poolTimeout", options.poolTimeout ?? "2 minutes")
  const maxAge = millis("maxAge", options.maxAge ?? "2 minutes")
  const connections = options.connections ?? 64
  requireArgument(
    Number.isInteger(connections) && connections >= 1,
    "Connections.connections",
    "an integer of at least 1",
    connections
  )
  const connect = { timeout: connectTimeout, http2: options.http2 ?? false }
  const pool = {
    connections,
    keepAliveTimeout,
    keepAliveMaxTimeout: Math.max(keepAliveTimeout, 30_000),
    ...(maxAge > 0 && { clientTtl: maxAge })
  }
  return Effect.gen(function*() {
    const { authorities, identity } = yield* secure(options)
    const proxy = yield* parseProxy(options.proxy ?? {})
    const routes = yield* Effect.acquireRelease(
      Effect.sync(() =>
        Routes.make({
          ...connect,
          headersTimeout,
          bodyTimeout,
          pool,
          proxy,
          tls: { ...authorities, ...identity },
          proxyTls: authorities
        })
      ),
      ({ destroy }) => Effect.promise(destroy)
    )
    return { routes, exchange: { connections, poolTimeout, http2: connect.http2 } }
  })
}

/**
 * An undici dispatcher, closed with the scope. Invalid numbers throw `RangeError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeDispatcher = (
  options: Options = {}
): Effect.Effect<Dispatcher, InvalidConnection, Scope.Scope> =>
  Effect.map(makeRoutes(options), ({ routes }) => routes.dispatcher)

/**
 * A dispatcher for `NodeHttpClient`, which does not say how far a request came and has no `poolTimeout`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerDispatcher = (options?: Options): Layer.Layer<NodeHttpClient.Dispatcher, InvalidConnection> =>
  Layer.effect(NodeHttpClient.Dispatcher, makeDispatcher(options))

/**
 * An HTTP client.
 *
 * @category layers
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<HttpClient.HttpClient, InvalidConnection> => {
  const making = makeRoutes(options)
  return Layer.effect(
    HttpClient.HttpClient,
    Effect.flatMap(making, ({ exchange, routes }) =>
      Effect.map(
        Effect.provideService(NodeHttpClient.makeUndici, NodeHttpClient.Dispatcher, routes.dispatcher),
        (platform) => combine(Exchange.make(routes, exchange), platform)
      ))
  )
}

// Plain requests say how far they came; the platform's client does the rest.
const combine = ({ begin, client: plain }: Exchange.Sender, platform: HttpClient.HttpClient): HttpClient.HttpClient => {
  const send = (request: HttpClientRequest.HttpClientRequest) =>
    (Exchange.isPlain(request) ? plain : platform).postprocess(Effect.succeed(request))
  const sendAny = (request: HttpClientRequest.HttpClientRequest) =>
    request.body._tag === "Stream"
      ? StreamedBody.make(request.body).pipe(
        Effect.provideService(BufferReuse.Current, chunksInTransit),
        Effect.flatMap((body) => send(HttpClientRequest.setBody(request, body)))
      )
      : send(request)
  return SendProgress.reporting(
    HttpClient.makeWith<HttpClientError.HttpClientError, never, HttpClientError.HttpClientError, never>(
      Effect.flatMap(sendAny),
      Effect.succeed
    ),
    {
      aborts: Exchange.isPlain,
      begin: (request, context, progress) =>
        request.body._tag === "Stream"
          ? Direct.startUnsafe(sendAny(request), Context.add(context, SendProgress.Current, progress))
          : begin(request, context, progress)
    }
  )
}

// While the next chunk is read, the socket may still hold the previous one.
const chunksInTransit = 1

const secure = Effect.fnUntraced(function*(options: Options) {
  const { clientCertificate } = options
  const ca = typeof options.ca === "string" ? [options.ca] : options.ca
  const authorities = ca === undefined ? undefined : { ca: [...Tls.getCACertificates("default"), ...ca] }
  const identity = clientCertificate === undefined ? undefined : {
    cert: clientCertificate.certificate,
    key: Redacted.value(clientCertificate.key),
    ...(clientCertificate.passphrase !== undefined && { passphrase: Redacted.value(clientCertificate.passphrase) })
  }
  // Each is tried now, so that a bad certificate does not wait for the first request to be found.
  for (const certificate of ca ?? []) yield* trial("ca", () => new X509Certificate(certificate))
  if (identity !== undefined) yield* trial("clientCertificate", () => Tls.createSecureContext(identity))
  return { authorities: authorities ?? {}, identity: identity ?? {} }
})

const trial = (option: InvalidConnection["option"], use: () => unknown) =>
  Effect.try({
    try: use,
    catch: (error) =>
      new InvalidConnection({
        option,
        problem: error instanceof Error && "code" in error
          ? `not a usable PEM (${String(error.code)})`
          : "not a usable PEM"
      })
  })

const parseProxy = Effect.fnUntraced(function*({ http, https, noProxy = "" }: Proxy) {
  return { http: yield* proxyUrl(http), https: yield* proxyUrl(https), noProxy }
})

const proxyUrl = (proxy: Redacted.Redacted | undefined): Effect.Effect<URL | undefined, InvalidConnection> => {
  const text = proxy === undefined ? "" : Redacted.value(proxy).trim()
  if (text === "") return Effect.succeed(undefined)
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  return /^https?:/i.test(url) && URL.canParse(url)
    ? Effect.succeed(new URL(url))
    : Effect.fail(new InvalidConnection({ option: "proxy", problem: "not an http or https URL" }))
}

const millis = (name: string, input: Duration.Input): number => {
  const value = Duration.toMillis(input)
  requireArgument(value > 0, `Connections.${name}`, "above 0", input)
  return value > longestTimer ? 0 : value
}

// Node.js makes a millisecond of a longer time, which therefore is no limit here.
const longestTimer = 2 ** 31 - 1
