import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import type * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

/**
 * What a test's server does with a request: it responds, or there is no response for the reason that the error says. An effect
 * can wait first, in the time of the test, or never end.
 *
 * @category testing
 * @since 0.1.0
 */
export type Scripted = Response | Error | Effect.Effect<Response | Error>

/**
 * What a test's server does with all requests: a list, in their order, or a function. A request beyond the end of a list is a defect.
 *
 * @category testing
 * @since 0.1.0
 */
export type Script = ReadonlyArray<Scripted> | ((request: Sent, index: number) => Scripted)

/**
 * A request that was sent.
 *
 * @category testing
 * @since 0.1.0
 */
export interface Sent {
  /** As it was sent, such as `GET`. */
  readonly method: string
  /** With its query. */
  readonly url: string
  /** Those that may hold credentials are `Redacted`, so that no test prints them. */
  readonly headers: { readonly [name: string]: string | Redacted.Redacted }
  /** What JSON means, a text, a `FormData`, otherwise bytes; `undefined` where there is none. */
  readonly body: unknown
}

/**
 * What a test's server was sent, in order.
 *
 * - `sent`: the requests so far.
 *
 * @category testing
 * @since 0.1.0
 */
export class TestServer extends Context.Service<TestServer, {
  readonly sent: Effect.Effect<ReadonlyArray<Sent>>
}>()("@effect-resilience/client/ResilientClient/TestServer") {}

/** A transport that follows a script, and what it was sent. */
export const layerScript = (script: Script): Layer.Layer<HttpClient.HttpClient | TestServer> =>
  Layer.effectContext(Effect.sync(() => {
    const sent: Array<Sent> = []
    const transport = HttpClient.make(Effect.fnUntraced(function*(request, url) {
      const { method } = request
      const headers = Headers.redact(request.headers, yield* Headers.CurrentRedactedNames)
      const index = sent.length
      // Counted before its body is read, which may take a while.
      sent.push({ method, url: url.href, headers, body: undefined })
      const now: Sent = { method, url: url.href, headers, body: yield* read(request) }
      sent[index] = now
      const next = typeof script === "function" ? script(now, index) : script[index]
      if (next === undefined) {
        return yield* Effect.die(
          new RangeError(
            `The script has ${script.length} responses, and this is request ${index + 1}: ${method} ${url}`
          )
        )
      }
      const scripted = Effect.isEffect(next) ? yield* next : next
      return scripted instanceof Response
        // One that a function gives to many requests has a body for each.
        ? HttpClientResponse.fromWeb(request, typeof script === "function" ? scripted.clone() : scripted)
        : yield* Effect.fail(
          new HttpClientError.HttpClientError({
            reason: new HttpClientError.TransportError({ request, cause: scripted })
          })
        )
    }))
    return Context.make(HttpClient.HttpClient, transport).pipe(
      Context.add(TestServer, { sent: Effect.sync(() => [...sent]) })
    )
  }))

const read = (
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<unknown, HttpClientError.HttpClientError> => {
  const { body } = request
  const type = request.headers["content-type"] ?? ""
  switch (body._tag) {
    case "Empty":
      return Effect.undefined
    case "FormData":
      return Effect.succeed(body.formData)
    case "Uint8Array":
      return Effect.succeed(asValue(body.body, type))
    case "Raw":
      return Effect.map(
        Effect.promise(() => new Response(body.body as BodyInit).bytes()),
        (bytes) => asValue(bytes, type)
      )
    case "Stream":
      return collected(body, request, type)
  }
}

const collected = (body: HttpBody.Stream, request: HttpClientRequest.HttpClientRequest, type: string) =>
  Stream.runCollect(body.stream).pipe(
    Effect.flatMap((chunks) => Effect.promise(() => new Blob(chunks.map((chunk) => chunk.slice())).bytes())),
    Effect.mapBoth({
      onFailure: (cause) =>
        new HttpClientError.HttpClientError({ reason: new HttpClientError.EncodeError({ request, cause }) }),
      onSuccess: (bytes) => asValue(bytes, type)
    })
  )

const asValue = (bytes: Uint8Array, type: string): unknown => {
  if (/^application\/(?:[^\s;/]+\+)?json\b/i.test(type)) return JSON.parse(new TextDecoder().decode(bytes))
  return /^(?:text\/|application\/x-www-form-urlencoded)/i.test(type) ? new TextDecoder().decode(bytes) : bytes
}
