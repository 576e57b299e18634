/**
 * How far the request of the current attempt has come, which only its transport knows.
 *
 * **Why**
 *
 * An attempt that a timeout cuts off has no error of its transport to read. Whether its request was still waiting for a
 * connection, or had left and may have been applied, decides whether it may be repeated.
 *
 * **When to use**
 *
 * Use in a transport of your own: call `follow` before the request is sent, with a source that says how far it has come.
 * `Connections` of `@effect-resilience/node` does. `ErrorMapping` reads it; without it, `ErrorMapping` assumes that the
 * request may have been applied. Mark the client with `reporting`, so that others can say what it knows.
 *
 * **Example** (A transport that reports)
 *
 * ```ts import.meta.vitest
 * import { ErrorMapping, SendProgress } from "@effect-resilience/http"
 * import { Effect } from "effect"
 * import { HttpClient } from "effect/http"
 *
 * const connecting = HttpClient.make(() =>
 *   Effect.flatMap(SendProgress.Current, (progress) => {
 *     progress?.follow({ reached: "nothing" })
 *     return Effect.never
 *   })
 * )
 * const client = ErrorMapping.mapErrors(connecting, { timeout: "1 millis" })
 *
 * const error = await Effect.runPromise(Effect.flip(client.post("https://api.example.com/orders")))
 * error.reason._tag // => "Timeout"
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Transport from "@effect-resilience/errors/Transport"
import type * as Direct from "@effect-resilience/kernel/Direct"
import * as Context from "effect/Context"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"

/**
 * A request that is being sent. `reached` is read on demand. `abort` ends the request, and the reading of its response, with an error.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source {
  readonly reached: Transport.Reached
  readonly abort?: ((cause: Error) => void) | undefined
}

/**
 * The requests of one attempt. There may be several: a redirect that is followed, a retry by the transport itself. The
 * farthest of them counts.
 *
 * @category models
 * @since 0.1.0
 */
export class SendProgress {
  private current: Source | undefined = undefined
  private previous: Transport.Reached | undefined = undefined
  /** Whether a request of the attempt was applied: one whose response redirects to what came of it. */
  applied = false
  private aborted: Error | undefined = undefined

  /** Follows a request, before any of it is sent. */
  follow(source: Source): void {
    this.previous = this.reached
    this.current = source
    if (this.aborted !== undefined) source.abort?.(this.aborted)
  }
  /** Aborts the present request, and those that follow it. */
  abort(cause: Error): void {
    this.aborted = cause
    this.current?.abort?.(cause)
  }
  /** How far the attempt came; `undefined` if no transport says so. */
  get reached(): Transport.Reached | undefined {
    const { current, previous } = this
    if (current === undefined) return previous
    return previous !== undefined && Transport.isAtLeast(previous, current.reached) ? previous : current.reached
  }
}

/**
 * The progress of the current attempt; `ErrorMapping` sets it.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<SendProgress | undefined> = /* @__PURE__ */ Context.Reference<
  SendProgress | undefined
>(
  "@effect-resilience/http/SendProgress/Current",
  { defaultValue: () => undefined }
)

const Reporting: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/http/SendProgress/Reporting")

/**
 * What a transport promises.
 *
 * @category models
 * @since 0.1.0
 */
export interface Promises {
  /**
   * Which requests it follows as soon as they begin, with sources that can be aborted; default none. A limit of time ends those
   * without a fiber of its own.
   */
  readonly aborts?: ((request: HttpClientRequest.HttpClientRequest) => boolean) | undefined
  /**
   * Sends such a request without a fiber, and without spans of its own: `progress` follows it, and what runs ends with the headers of
   * the response. A response to which nothing refers any more has to be given up.
   */
  readonly begin?:
    | ((
      request: HttpClientRequest.HttpClientRequest,
      context: Context.Context<never>,
      progress: SendProgress
    ) => Direct.Running<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>)
    | undefined
}

/**
 * The method of a response by which it gives its body where all of it has arrived, without an effect.
 *
 * @category symbols
 * @since 0.1.0
 */
export const arrived: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/http/SendProgress/arrived")

/**
 * A response that may have arrived whole. The bytes are the reader's, who does not change them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Arriving {
  readonly [arrived]: () => Uint8Array<ArrayBuffer> | undefined
}

/**
 * Marks a transport that follows each of its requests. It returns the same client. Clients that are made of it, as by
 * `HttpClient.mapRequest`, are not marked.
 *
 * @category transports
 * @since 0.1.0
 */
export const reporting = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  promises: Promises = {}
): HttpClient.HttpClient.With<E, R> => Object.assign(client, { [Reporting]: promises })

/**
 * Whether a client is marked by `reporting`. Without the mark, it may still report.
 *
 * @category transports
 * @since 0.1.0
 */
export const isReporting = (client: object): boolean => promisesOf(client) !== undefined

/**
 * What a client promises that is marked by `reporting`.
 *
 * @category transports
 * @since 0.1.0
 */
export const promisesOf = (client: object): Promises | undefined =>
  Reporting in client ? client[Reporting] as Promises : undefined

/**
 * Marks a client as the one it is made of, whose requests it sends without waiting for anything else.
 *
 * @category transports
 * @since 0.1.0
 */
export const asIn = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  transport: object
): HttpClient.HttpClient.With<E, R> => {
  const promises = promisesOf(transport)
  // What it does around a request, `begin` of the other would leave out.
  return promises === undefined ? client : reporting(client, { aborts: promises.aborts })
}
