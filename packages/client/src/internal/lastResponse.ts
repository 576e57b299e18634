import * as KeptResponse from "@effect-resilience/http/KeptResponse"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import { withRequest } from "./withRequest.ts"

/** The last response of a call, of any status. Fails only where the server responded to none of its attempts. */
export const lastResponse = <E>(
  client: HttpClient.HttpClient.With<E>,
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<HttpClientResponse.HttpClientResponse, E> =>
  KeptResponse.keeping((kept) =>
    Effect.catch(
      client.execute(request),
      (error) => kept.last === undefined ? Effect.fail(error) : Effect.succeed(withRequest(kept.last, request))
    )
  )
