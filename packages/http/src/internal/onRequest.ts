import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"

/** `Effect.flatMap`, without a step of its own where no preprocessing has touched the request. `f` only describes. */
export const onRequest =
  <A, E, R>(f: (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<A, E, R>) =>
  <E2, R2>(request: Effect.Effect<HttpClientRequest.HttpClientRequest, E2, R2>): Effect.Effect<A, E | E2, R | R2> =>
    isReady(request) ? f(request.value) : Effect.flatMap(request, f)

/** Whether an effect is a value already, as requests are that no preprocessing has touched. May say no where it is. */
export const isReady = <A, E, R>(effect: Effect.Effect<A, E, R>): effect is Exit.Success<A> =>
  Exit.isExit(effect) && Exit.isSuccess(effect)
