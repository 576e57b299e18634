/**
 * The protocol of an `RpcClient` over a `ResilientClient`.
 *
 * **Why**
 *
 * An RPC's failure is a response with status 200, and a 503 of a proxy is a response that cannot be decoded: policies below an
 * `RpcClient` see neither. Here they judge each call by its declared error, and a status is a failure.
 *
 * **Details**
 *
 * - Each call is one request, and an `Operation` with the RPC's tag as its name. Requests are POST, so calls are made once, unless
 *   `operations` of the description says `idempotent: true` for the tag.
 * - A declared error with a `Recovery` of its own decides what to do: whether the call is repeated, and whether the circuit counts it.
 *   Its outcome is known, so it is repeated where it says `Recovery.retry`, idempotent or not. Other declared errors are results.
 * - A response that is an error of HTTP fails with `RpcClientError`, whose cause is the `ApiError`; `Classifier` reads it.
 * - Streams are judged by their connection only.
 *
 * **Example** (A client of a group)
 *
 * ```ts import.meta.vitest
 * import { ResilientClient, ResilientRpc } from "@effect-resilience/client"
 * import { Recovery } from "@effect-resilience/errors"
 * import { Effect, Layer, Schema } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { Rpc, RpcClient, RpcGroup, RpcSerialization } from "effect/rpc"
 *
 * // The server says it before it begins.
 * class Busy extends Schema.TaggedError<Busy>()("Busy", {}) {
 *   [Recovery.symbol]() {
 *     return Recovery.retryAfter("1 second")
 *   }
 * }
 * const Shop = RpcGroup.make(Rpc.make("PlaceOrder", { success: Schema.String, error: Busy }))
 *
 * const order = Effect.scoped(Effect.flatMap(RpcClient.make(Shop), (shop) => shop.PlaceOrder()))
 *
 * const live = ResilientRpc.layerProtocol(Shop, { path: "/rpc" }).pipe(
 *   Layer.provide([
 *     ResilientClient.layer({ name: "shop", baseUrl: "https://shop.example.com" }),
 *     RpcSerialization.layerNdjson
 *   ]),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * Effect.isEffect(Effect.provide(order, live)) // => true
 * ```
 *
 * @stability rests on effect/http, effect/rpc
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Repetition from "@effect-resilience/errors/Repetition"
import * as KeptResponse from "@effect-resilience/http/KeptResponse"
import * as Operation from "@effect-resilience/http/Operation"
import * as ResponseBody from "@effect-resilience/http/ResponseBody"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcClient from "effect/rpc/RpcClient"
import type * as RpcGroup from "effect/rpc/RpcGroup"
import * as RpcSchema from "effect/rpc/RpcSchema"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Schema from "effect/Schema"
import { reasonOf } from "./internal/httpClient.ts"
import type { ResilientClient } from "./internal/models.ts"
import { withRequest } from "./internal/withRequest.ts"
import * as Client from "./ResilientClient.ts"

/**
 * Where an RPC server is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Of the server's endpoint, below the base URL; default the base URL itself. */
  readonly path?: string | undefined
}

/**
 * The protocol over this client.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeProtocol = <Rpcs extends Rpc.Any, E>(
  group: RpcGroup.RpcGroup<Rpcs>,
  client: ResilientClient<E>,
  options: Options = {}
): Effect.Effect<RpcClient.Protocol["Service"], never, RpcSerialization.RpcSerialization> =>
  Effect.gen(function*() {
    const serialization = yield* RpcSerialization.RpcSerialization
    const sends = HttpClient.mapRequest(judged(client, serialization), HttpClientRequest.setUrl(options.path ?? ""))
    const protocol = yield* RpcClient.makeProtocolHttp(sends)
    return RpcClient.Protocol.of({
      ...protocol,
      send: (clientId, request) => {
        const sent = protocol.send(clientId, request)
        if (request._tag !== "Request") return sent
        const rpc = group.requests.get(request.tag)
        const operation: Operation.Operation = { name: request.tag, endpoint: request.tag }
        return Effect.updateContext(sent, (context: Context.Context<never>) =>
          context.pipe(
            Context.add(CurrentRpc, rpc as Rpc.AnyWithProps | undefined),
            Context.add(Operation.Current, operation)
          ))
      }
    })
  })

/**
 * The protocol over the program's `ResilientClient`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerProtocol = <Rpcs extends Rpc.Any>(
  group: RpcGroup.RpcGroup<Rpcs>,
  options: Options = {}
): Layer.Layer<RpcClient.Protocol, never, Client.ResilientClient | RpcSerialization.RpcSerialization> =>
  Layer.effect(
    RpcClient.Protocol,
    Effect.flatMap(Client.ResilientClient, (client) => makeProtocol(group, client, options))
  )

const CurrentRpc = /* @__PURE__ */ Context.Reference<Rpc.AnyWithProps | undefined>(
  "@effect-resilience/client/ResilientRpc/CurrentRpc",
  { defaultValue: () => undefined }
)

/** A declared error, for the policies: the caller gets it from the response. */
class Declared extends Data.TaggedError("Declared")<{ readonly error: Recovery.Recoverable }> {
  get [NotAsked.symbol](): boolean {
    return NotAsked.isNotAsked(this.error)
  }
  // What declares an error knows the outcome.
  get [Repetition.notApplied](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return this.error[Recovery.symbol]()
  }
}

/** Effect's own `HttpClient`, whose policies see what the RPC declares, and which fails for a status that is none of success. */
const judged = <E>(
  client: HttpClient.HttpClient.With<E>,
  serialization: RpcSerialization.RpcSerialization["Service"]
): HttpClient.HttpClient =>
  HttpClient.makeWith<never, never, HttpClientError.HttpClientError, never>(
    Effect.flatMap((request) =>
      Effect.withFiber((fiber) => {
        const rpc = fiber.getRef(CurrentRpc)
        const isRead = rpc !== undefined && !RpcSchema.isStreamSchema(rpc.successSchema)
        return KeptResponse.keeping(
          (kept) =>
            Effect.catch(client.execute(request), (error) => {
              const response = kept.insteadOf(error)
              if (response !== undefined && isSuccess(kept.last)) return response
              return Effect.fail(
                new HttpClientError.HttpClientError({
                  reason: response === undefined || kept.last === undefined
                    ? reasonOf(error, request)
                    : new HttpClientError.StatusCodeError({
                      request,
                      response: withRequest(kept.last, request),
                      cause: error
                    })
                })
              )
            }),
          { settle: isRead ? (response, kept) => settle(response, kept, rpc, serialization) : undefined }
        )
      })
    ),
    Effect.succeed
  )

const isSuccess = (response: HttpClientResponse.HttpClientResponse | undefined): boolean =>
  response !== undefined && response.status >= 200 && response.status < 300

const settle = /* @__PURE__ */ Effect.fnUntraced(function*(
  response: HttpClientResponse.HttpClientResponse,
  kept: KeptResponse.Keeper,
  rpc: Rpc.AnyWithProps,
  serialization: RpcSerialization.RpcSerialization["Service"]
) {
  const whole = yield* ResponseBody.whole(response)
  // What cannot be decoded is told by the caller.
  const error = yield* Effect.orElseSucceed(declaredIn(whole, rpc, serialization), () => undefined)
  if (!Recovery.isRecoverable(error)) return whole
  const declared = new Declared({ error })
  yield* kept.keep(declared, whole)
  return yield* Effect.fail(declared)
})

const declaredIn = /* @__PURE__ */ Effect.fnUntraced(function*(
  response: HttpClientResponse.HttpClientResponse,
  rpc: Rpc.AnyWithProps,
  { codecFor, includesFraming, makeUnsafe }: RpcSerialization.RpcSerialization["Service"]
) {
  const body = includesFraming ? new Uint8Array(yield* response.arrayBuffer) : yield* response.text
  const messages = yield* Effect.try({ try: () => makeUnsafe().decode(body), catch: (cause) => cause })
  const last = messages.findLast((message) => Predicate.isTagged(message, "Exit"))
  if (!Predicate.hasProperty(last, "exit") || !Predicate.isTagged(last.exit, "Failure")) return undefined
  const schema = codecFor(Rpc.exitSchema(rpc)) as unknown as Schema.ConstraintDecoder<Exit.Exit<unknown, unknown>>
  const exit = yield* Schema.decodeUnknownEffect(schema)(last.exit)
  return Option.getOrUndefined(Exit.findErrorOption(exit))
})
