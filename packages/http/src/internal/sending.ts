import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"

type Response = HttpClientResponse.HttpClientResponse

type Send<E, R> = (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<Response, E, R>

const sending: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/http/sending")

/** How a client of `around` sends, unless somebody has copied it and made it another one. */
interface Sending {
  readonly send: Send<unknown, unknown>
  readonly postprocess: unknown
}

/** A client that does something around each request of another one, whose preparation is the other's. */
export const around = <E, R>(
  send: Send<E, R>,
  preprocess: HttpClient.HttpClient.Preprocess<E, R>
): HttpClient.HttpClient.With<E, R> => {
  const client = HttpClient.makeWith<E, R, E, R>(Effect.flatMap(send), preprocess)
  const own: Sending = { send, postprocess: client.postprocess }
  return Object.assign(client, { [sending]: own })
}

/** Sends a request that is prepared. Clients of `around` take it as it is, and not as an effect that yields it. */
export const send = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<Response, E, R> =>
  isPrompt(client)
    ? (client[sending].send as Send<E, R>)(request)
    : client.postprocess(Effect.succeed(request))

/** Whether a client is one of `around`, which begins as soon as it has the request. */
export const isPrompt = (client: object): client is { readonly [sending]: Sending } =>
  sending in client && (client as Prompt)[sending].postprocess === (client as Prompt).postprocess

interface Prompt {
  readonly [sending]: Sending
  readonly postprocess: unknown
}
