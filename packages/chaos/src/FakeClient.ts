/**
 * An `HttpClient` without a network, for tests: it responds by a script and keeps the requests.
 *
 * **When to use**
 *
 * Use for tests of what is built on an `HttpClient`. For what sockets do, use `RawServer`. To make a real client flaky, use
 * `HttpFault`.
 *
 * **Example** (A request that is retried)
 *
 * ```ts import.meta.vitest
 * import { FakeClient } from "@effect-resilience/chaos"
 * import { Effect } from "effect"
 * import { HttpClient } from "effect/http"
 *
 * const fake = FakeClient.make([503, { status: 200, body: "apples" }])
 * const retrying = fake.client.pipe(HttpClient.filterStatusOk, HttpClient.retry({ times: 1 }))
 * const text = retrying.get("https://api.example.com/fruit").pipe(Effect.flatMap((response) => response.text))
 * await Effect.runPromise(text) // => "apples"
 * fake.requests.length // => 2
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"

/**
 * A status, a response, or an Effect that makes one or fails. `body` is text, default none.
 *
 * - `status`: the status; default 200.
 * - `headers`: the response's headers; default none.
 *
 * @category models
 * @since 0.1.0
 */
export type Step =
  | number
  | {
    readonly status?: number | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
    readonly body?: string | undefined
  }
  | ((request: HttpClientRequest.HttpClientRequest) => Effect.Effect<Response, HttpClientError.HttpClientError>)

/**
 * A client without a network, and what was sent with it.
 *
 * @category models
 * @since 0.1.0
 */
export interface FakeClient {
  /** Responds to each request with the next step. */
  readonly client: HttpClient.HttpClient
  /** The same client as a layer. */
  readonly layer: Layer.Layer<HttpClient.HttpClient>
  /** Those that were sent, in their order. */
  readonly requests: ReadonlyArray<HttpClientRequest.HttpClientRequest>
}

/**
 * A client that takes the first step for the first request, the second for the second, and so on; the last for all that follow.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (steps: readonly [Step, ...Array<Step>]): FakeClient => {
  const requests: Array<HttpClientRequest.HttpClientRequest> = []
  const client = HttpClient.make((request) => {
    const step = steps[Math.min(requests.length, steps.length - 1)] ?? steps[0]
    requests.push(request)
    return Effect.map(respond(step, request), (response) => HttpClientResponse.fromWeb(request, response))
  })
  return { client, layer: Layer.succeed(HttpClient.HttpClient, client), requests }
}

const respond = (step: Step, request: HttpClientRequest.HttpClientRequest) => {
  if (typeof step === "function") return step(request)
  const { body, ...init } = typeof step === "number" ? { status: step } : step
  return Effect.sync(() => new Response(body ?? null, { status: init.status ?? 200, headers: init.headers ?? {} }))
}

/**
 * A request with what came of it, once that is known.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recorded<out E> {
  /** The request as it was sent. */
  readonly request: HttpClientRequest.HttpClientRequest
  /** The response or the failure; `undefined` while it is outstanding. */
  readonly exit: Exit.Exit<HttpClientResponse.HttpClientResponse, E> | undefined
}

/**
 * A client that keeps each request and what came of it, in the order of the requests.
 *
 * @category combinators
 * @since 0.1.0
 */
export const recording = <E, R>(client: HttpClient.HttpClient.With<E, R>): {
  readonly client: HttpClient.HttpClient.With<E, R>
  readonly recorded: ReadonlyArray<Recorded<E>>
} => {
  const recorded: Array<Recorded<E>> = []
  return {
    recorded,
    client: HttpClient.transform(client, (effect, request) =>
      Effect.suspend(() => {
        const index = recorded.push({ request, exit: undefined }) - 1
        return Effect.onExit(effect, (exit) =>
          Effect.sync(() => {
            recorded[index] = { request, exit }
          }))
      }))
  }
}
