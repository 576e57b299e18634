import * as Answer from "@effect-resilience/http/Answer"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"

/** Hands a response of success on when its body is there, so that the time limit of an attempt, above this, includes it. */
export const wholeResponses = <E, R>(client: HttpClient.HttpClient.With<E, R>) =>
  HttpClient.transformResponse(
    client,
    Effect.flatMap((response) =>
      response.status >= 200 && response.status < 300 ? Answer.whole(response) : Effect.succeed(response)
    )
  )
