/**
 * Faults for an `HttpClient`: statuses, headers, bodies that end early, break off or drip, connections that fail.
 *
 * **Details**
 *
 * | fault | the caller sees |
 * | --- | --- |
 * | `status` | another response, instead of asking or (`after`) when the server has done its work |
 * | `headers` | the response with other headers |
 * | `truncate` | a body that ends early, and looks whole |
 * | `breakOff` | a body that fails after some bytes |
 * | `drip` | a body that comes in small pieces |
 * | `unreachable` | a transport error, instead of asking or (`after`) when the server has done its work |
 *
 * Those of `Fault` work here too: `Fault.delay`, `Fault.hang`, `Fault.interrupt`, `Fault.clockJump`. Bodies behave as those
 * of `fetch` do. Put the client with faults below retries and time limits, where the network is.
 *
 * **Example** (A client that retries over a network with faults)
 *
 * ```ts import.meta.vitest
 * import { Chaos, Fault, FakeClient, HttpFault } from "@effect-resilience/chaos"
 * import { Effect } from "effect"
 * import { HttpClient } from "effect/http"
 *
 * const program = Effect.gen(function*() {
 *   const { client } = FakeClient.make([{ body: "apples" }])
 *   const chaos = yield* HttpFault.make({
 *     seed: 1,
 *     faults: [HttpFault.status(503, { times: 2 }), Fault.delay("5 millis", { probability: 0.5 })]
 *   })
 *   const retrying = HttpFault.wrap(client, chaos).pipe(HttpClient.filterStatusOk, HttpClient.retry({ times: 2 }))
 *   const response = yield* retrying.get("https://api.example.com/fruit")
 *   return [yield* response.text, (yield* chaos.counts)["status"]]
 * })
 * await Effect.runPromise(program) // => ["apples", 2]
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Cookies from "effect/http/Cookies"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Chaos from "./Chaos.ts"
import * as Fault from "./Fault.ts"
import * as check from "./internal/check.ts"

type Request = HttpClientRequest.HttpClientRequest
type Response = HttpClientResponse.HttpClientResponse

/**
 * A fault for requests.
 *
 * @category models
 * @since 0.1.0
 */
export type HttpFault = Fault.Fault<Request, Response, Response, HttpClientError.HttpClientError>

/**
 * An injector for requests. Its key is the method and the host.
 *
 * @category models
 * @since 0.1.0
 */
export type HttpChaos = Chaos.Chaos<Request, Response, Response, HttpClientError.HttpClientError>

/**
 * Which faults requests have, and the seed of their chance: `Chaos.Options` for requests.
 *
 * @category models
 * @since 0.1.0
 */
export type Options = Chaos.Options<Request, Response, Response, HttpClientError.HttpClientError>

/**
 * Creates an injector for requests.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<HttpChaos> =>
  Chaos.make<Request, Response, Response, HttpClientError.HttpClientError>({ key: hostOf, ...options })

const hostOf = ({ method, url }: Request): string => {
  const parsed = URL.canParse(url) ? new URL(url).host : ""
  return `${method} ${parsed}`
}

/**
 * A client whose requests have the faults of an injector.
 *
 * @category combinators
 * @since 0.1.0
 */
export const wrap = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  chaos: HttpChaos
): HttpClient.HttpClient.With<E | HttpClientError.HttpClientError, R> =>
  HttpClient.transform(client, (effect, request) => chaos.inject(request)(effect))

/**
 * Provides an `HttpClient` with faults over the one that it needs, and the `Controls` of those.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options
): Layer.Layer<HttpClient.HttpClient | Chaos.Controls, never, HttpClient.HttpClient> =>
  Chaos.layer(HttpClient.HttpClient, { key: hostOf, ...options }, wrap)

/**
 * Another response. `body` is text, default none.
 *
 * - `headers`: the headers of the response; default none.
 *
 * @category faults
 * @since 0.1.0
 */
export const status = (
  code: number,
  options: Fault.AroundOptions<Request> & {
    readonly headers?: Readonly<Record<string, string>> | undefined
    readonly body?: string | undefined
  } = {}
): HttpFault => {
  const { after, body, headers, ...rest } = options
  check.within("status", check.whole("status", code, 200), 200, 599)
  const init = { status: code, headers: headers ?? {} }
  return Fault.make("status", rest, ({ subject: request }) => (effect) => {
    const other = Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(body ?? null, init)))
    return after ? Effect.andThen(Effect.tap(effect, discard), other) : other
  })
}

/**
 * Sets headers of the response, or removes those that are `undefined`.
 *
 * @category faults
 * @since 0.1.0
 */
export const headers = (
  changes: Readonly<Record<string, string | undefined>>,
  options: Fault.Options<Request> = {}
): HttpFault =>
  changing("headers", options, (response) => ({
    headers: { ...response.headers, ...lowerCase(changes) },
    stream: response.stream
  }))

/**
 * Ends the body after so many bytes, as though it were whole.
 *
 * @category faults
 * @since 0.1.0
 */
export const truncate = (bytes: number, options: Fault.Options<Request> = {}): HttpFault => {
  check.whole("bytes", bytes, 0)
  return changing("truncate", options, (response) => ({
    headers: response.headers,
    stream: first(response.stream, bytes)
  }))
}

/**
 * Breaks the body off after so many bytes, with the code of a socket that was reset.
 *
 * @category faults
 * @since 0.1.0
 */
export const breakOff = (bytes: number, options: Fault.Options<Request> = {}): HttpFault => {
  check.whole("bytes", bytes, 0)
  return changing("breakOff", options, (response) => ({
    headers: response.headers,
    stream: Stream.concat(first(response.stream, bytes), Stream.fail(socketError("ECONNRESET")))
  }))
}

/**
 * Sends the body in pieces of `size` bytes (default 1), with `every` before each.
 *
 * @category faults
 * @since 0.1.0
 */
export const drip = (
  pieces: { readonly every: Duration.Input; readonly size?: number | undefined },
  options: Fault.Options<Request> = {}
): HttpFault => {
  const pause = check.millis("every", pieces.every)
  const size = check.whole("size", pieces.size ?? 1, 1)
  return changing("drip", options, (response) => ({
    headers: response.headers,
    stream: Stream.mapEffect(
      Stream.flatMap(response.stream, (bytes) =>
        Stream.fromIterable(
          Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
        )),
      (piece) => Effect.delay(Effect.succeed(piece), pause)
    )
  }))
}

/**
 * Fails as a transport does: `ECONNREFUSED` (the default) is a server that was not asked, `ECONNRESET` a connection that
 * broke, `ETIMEDOUT` one that fell silent.
 *
 * - `code`: the error code that the system would give; default `ECONNREFUSED`.
 *
 * @category faults
 * @since 0.1.0
 */
export const unreachable = (
  options: Fault.AroundOptions<Request> & { readonly code?: string | undefined } = {}
): HttpFault => {
  const { after, code = "ECONNREFUSED", ...rest } = options
  return Fault.make("unreachable", rest, ({ subject: request }) => (effect) => {
    const failure = Effect.failSync(() => transportError(request, code))
    return after ? Effect.andThen(Effect.tap(effect, discard), failure) : failure
  })
}

const transportError = (request: Request, code: string) =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({
      request,
      cause: new TypeError("fetch failed", { cause: socketError(code) })
    })
  })

const socketError = (code: string) => Object.assign(new Error(`${code} by a fault that was injected`), { code })

/** Begins to read a response that no caller gets, and leaves it, which lets its connection go. Its body may be long in coming. */
const discard = (response: Response): Effect.Effect<void> =>
  Effect.flatMap(
    Effect.forkChild(Effect.ignore(Stream.runDrain(response.stream)), { startImmediately: true }),
    Fiber.interrupt
  )

interface Changed {
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly stream: Stream.Stream<Uint8Array, unknown>
}

const changing = (kind: string, options: Fault.Options<Request>, change: (response: Response) => Changed): HttpFault =>
  Fault.make<Request, Response, Response>(
    kind,
    options,
    ({ subject: request }) => (effect) =>
      Effect.flatMap(effect, (response) => {
        const { headers, stream } = change(response)
        const left = Deferred.makeUnsafe<void>()
        const body = bodiless(response, request)
          ? Effect.succeed(null)
          : Stream.toReadableStreamEffect(Stream.interruptWhen(stream, Deferred.await(left)))
        return Effect.map(body, (body) => {
          const cookies = Cookies.toSetCookieHeaders(response.cookies)
          const sent = Object.entries(headers).flatMap(([name, value]): ReadonlyArray<[string, string]> => {
            if (value === undefined) return []
            // Of several cookies `headers` has the last one.
            const isKept = name === "set-cookie" && value === response.headers[name]
            return isKept ? cookies.map((cookie) => [name, cookie]) : [[name, value]]
          })
          const changed = HttpClientResponse.fromWeb(
            request,
            new Response(body, { status: response.status, headers: sent })
          )
          // Nothing is read on for a reader who was interrupted. What reads text or JSON does it by `arrayBuffer`.
          const reading = <A, E>(whole: Effect.Effect<A, E>) => ({
            value: Effect.onInterrupt(whole, () => Deferred.succeed(left, undefined))
          })
          return Object.defineProperties(changed, {
            arrayBuffer: reading(changed.arrayBuffer),
            formData: reading(changed.formData)
          })
        })
      })
  )

const bodiless = ({ status }: Response, { method }: Request): boolean =>
  method === "HEAD" || [204, 205, 304].includes(status)

const lowerCase = (headers: Readonly<Record<string, string | undefined>>) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))

const first = <E>(stream: Stream.Stream<Uint8Array, E>, bytes: number): Stream.Stream<Uint8Array, E> =>
  Stream.suspend(() => {
    let left = bytes
    return stream.pipe(
      Stream.map((piece) => {
        const part = piece.subarray(0, left)
        left -= part.length
        return { part, isLast: left === 0 }
      }),
      // Not with the piece that follows: none may come.
      Stream.takeUntil(({ isLast }) => isLast),
      Stream.map(({ part }) => part),
      Stream.filter((part) => part.length > 0)
    )
  })
