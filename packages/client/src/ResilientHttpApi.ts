/**
 * A typed client of an `HttpApi` over a `ResilientClient`.
 *
 * **Why**
 *
 * `HttpApiClient` decodes responses of any status, so a client below it must let a 503 pass; policies above it do not see one. Here
 * the policies judge each attempt by what the API declares, and the last response is decoded as ever.
 *
 * **Details**
 *
 * - Each call is an `Operation` named `group.endpoint` (`endpoint` alone, in a top-level group), with the declared path. `operations`
 *   of the description can name it. An operation that the caller names stays.
 * - A declared error with a `Recovery` of its own decides what to do: whether it is repeated, and whether the circuit counts it. The
 *   outcome of the call is known then, so a POST is repeated too where it says `Recovery.retry`. Any other declared error is judged by
 *   its status, and waits for its `retryAfter` if that is a `Duration`: a 409 is no failure of the dependency, a 503 is one.
 * - Declared errors fail as they do with `HttpApiClient`. A response that the API does not declare, such as the page of a proxy, fails
 *   with `ApiError`.
 *
 * **Example** (A declared error that says when to come back)
 *
 * ```ts import.meta.vitest
 * import { ResilientClient, ResilientHttpApi } from "@effect-resilience/client"
 * import { Recovery } from "@effect-resilience/errors"
 * import { Effect, Layer, Schema } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 * import { HttpApi, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
 *
 * class Busy extends Schema.TaggedError<Busy>()("Busy", {}, { httpApiStatus: 503 }) {
 *   [Recovery.symbol]() {
 *     return Recovery.retryAfter("10 millis")
 *   }
 * }
 * const Api = HttpApi.make("shop").add(
 *   HttpApiGroup.make("orders").add(
 *     HttpApiEndpoint.post("place", "/orders", { success: Schema.String, error: Busy })
 *   )
 * )
 *
 * let requests = 0
 * const server = HttpClient.make((request) =>
 *   Effect.sync(() =>
 *     HttpClientResponse.fromWeb(
 *       request,
 *       ++requests === 1 ? Response.json({ _tag: "Busy" }, { status: 503 }) : Response.json("order 1")
 *     )
 *   )
 * )
 * const shop = ResilientClient.layer({ name: "shop", baseUrl: "https://shop.example.com" })
 *
 * const program = Effect.gen(function*() {
 *   const api = yield* ResilientHttpApi.make(Api)
 *   return yield* api.orders.place({})
 * })
 * const live = Layer.provide(shop, Layer.succeed(HttpClient.HttpClient, server))
 * await Effect.runPromise(Effect.provide(program, live)) // => "order 1"
 * ```
 *
 * @stability rests on effect/http, effect/http-api
 * @since 0.1.0
 */
import * as KeptResponse from "@effect-resilience/http/KeptResponse"
import * as Operation from "@effect-resilience/http/Operation"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import type * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Schema from "effect/Schema"
import type { ClientError, ResilientClient } from "./internal/models.ts"
import { withRequest } from "./internal/withRequest.ts"
import * as Client from "./ResilientClient.ts"

/**
 * A client of an API over the program's `ResilientClient`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <ApiId extends string, Groups extends HttpApiGroup.Constraint>(
  api: HttpApi.HttpApi<ApiId, Groups>
): Effect.Effect<
  HttpApiClient.Client<Groups, ClientError>,
  never,
  Client.ResilientClient | HttpApiGroup.MiddlewareClient<Groups>
> => Effect.flatMap(Client.ResilientClient, (client) => makeWith(api, client))

/**
 * A client of an API over this client.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeWith = <ApiId extends string, Groups extends HttpApiGroup.Constraint, E>(
  api: HttpApi.HttpApi<ApiId, Groups>,
  client: ResilientClient<E>
): Effect.Effect<
  HttpApiClient.Client<Groups, Exclude<E, HttpClientError.HttpClientError>>,
  never,
  HttpApiGroup.MiddlewareClient<Groups>
> => Effect.map(HttpApiClient.makeWith(api, { httpClient: judged(client) }), (made) => described(api, made))

/** What is known of the endpoint that is called. */
interface Endpoint {
  readonly decode: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<unknown, unknown>
  /** Whether the caller reads the response itself. */
  readonly raw: boolean
}

const CurrentEndpoint = /* @__PURE__ */ Context.Reference<Endpoint | undefined>(
  "@effect-resilience/client/ResilientHttpApi/CurrentEndpoint",
  { defaultValue: () => undefined }
)

/** A client that gives back the responses that an endpoint declares, of any status. */
const judged = <E>(client: HttpClient.HttpClient.With<E>): HttpClient.HttpClient.With<E> =>
  HttpClient.makeWith<never, never, E, never>(
    Effect.flatMap((request) =>
      Effect.withFiber((fiber) => {
        const endpoint = fiber.getRef(CurrentEndpoint)
        if (endpoint === undefined) return client.execute(request)
        let declared: HttpClientResponse.HttpClientResponse | undefined
        const declaration: KeptResponse.Declared = (response) =>
          Effect.match(endpoint.decode(response), {
            onFailure: (error) => {
              if (Schema.isSchemaError(error) || HttpClientError.isHttpClientError(error)) return undefined
              declared = response
              return error
            },
            onSuccess: () => {
              declared = response
            }
          })
        return KeptResponse.keeping((kept) =>
          Effect.catch(client.execute(request), (error) => {
            const response = kept.insteadOf(error)
            return response !== undefined && (endpoint.raw || kept.last === declared)
              ? Effect.map(response, (response) => withRequest(response, request))
              : Effect.fail(error)
          }), { declared: declaration })
      })
    ),
    Effect.succeed
  )

type Method = (request?: { readonly responseMode?: unknown }) => Effect.Effect<unknown, unknown, unknown>

/** The same client, whose calls say which endpoint they are of. */
const described = <ApiId extends string, Groups extends HttpApiGroup.Constraint, Made>(
  api: HttpApi.HttpApi<ApiId, Groups>,
  made: Made
): Made => {
  const methods: Record<string, unknown> = { ...made as Record<string, unknown> }
  HttpApi.reflect(api, {
    onGroup: ({ group }) => {
      if (!group.topLevel) methods[group.identifier] = { ...methods[group.identifier] as object }
    },
    onEndpoint: ({ endpoint, group }) => {
      const within = (group.topLevel ? methods : methods[group.identifier]) as Record<string, Method>
      const method = within[endpoint.identifier] as Method
      const operation: Operation.Operation = {
        name: group.topLevel ? endpoint.identifier : `${group.identifier}.${endpoint.identifier}`,
        endpoint: endpoint.path.replace(/:(\w+)\??/g, "{$1}")
      }
      // Built on first use: it walks the whole API.
      let decode: Endpoint["decode"] | undefined
      const described = (raw: boolean): Endpoint => ({
        raw,
        decode: (response) => {
          decode ??= HttpApiClient.decodeResponse(api, {
            group: group.identifier as never,
            endpoint: endpoint.identifier as never
          }) as unknown as Endpoint["decode"]
          return decode(response)
        }
      })
      const decoded = described(false)
      const raw = described(true)
      within[endpoint.identifier] = (request) =>
        Effect.updateContext(method(request), (context: Context.Context<unknown>) =>
          context.pipe(
            Context.add(CurrentEndpoint, request?.responseMode === "response-only" ? raw : decoded),
            Context.add(Operation.Current, Context.get(context, Operation.Current) ?? operation)
          ))
    }
  })
  return methods as Made
}
