import { DeadlineExceeded } from "@effect-resilience/deadline/Deadline"
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Classifier from "@effect-resilience/errors/Classifier"
import { PartsDelivered } from "@effect-resilience/errors/PartsDelivered"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMapping from "@effect-resilience/http/ErrorMapping"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"

/** Where a stream stands that goes on in another response when one breaks. */
export interface Position {
  /** Whether a response was ever accepted. The failure of the first request is the client's, which has retried it. */
  opened: boolean
  /** How many elements the consumer has. */
  delivered: number
}

/**
 * A stream made of the bodies of several responses. `open` continues at the position; `resumes` says whether it can after a failure.
 * The policy begins anew with each element.
 */
export const resuming = <A, E, R>(
  open: Stream.Stream<A, E, R>,
  position: Position,
  options: {
    readonly policy: RetryPolicy.RetryPolicy
    readonly resumes: () => boolean
    /** The recovery of a failure that is resumed. */
    readonly recovery?: (recovery: Recovery.Recovery) => Recovery.Recovery
  }
): Stream.Stream<A, E | PartsDelivered<E>, R> => {
  const schedule = RetryPolicy.toSchedule<E>(options.policy, {
    classify: (error) => {
      if (!position.opened || !options.resumes()) return Recovery.giveUp
      // The time of one request was up, not that of the caller.
      const recovery = error instanceof DeadlineExceeded && error.begun && !error.inherited
        ? Recovery.retry
        : Classifier.classify(observed(error))
      return options.recovery?.(recovery) ?? recovery
    }
  })
  return Stream.mapError(
    Stream.retry(open, schedule),
    (error) =>
      position.delivered === 0
        ? error
        : new PartsDelivered<E>({ failure: observed(error), delivered: position.delivered })
  )
}

// What one response had delivered is of no interest where others continue it.
const observed = <E>(error: E): E =>
  error instanceof ApiError.ApiError && error.reason._tag === "PartsDelivered"
    ? new ApiError.ApiError({ ...error, reason: error.reason.failure }) as E & ApiError.ApiError
    : error

/**
 * Sends a request whose body is taken as it comes, even if it is called JSON. It does not learn why the one before had failed: a response
 * would hold that error as long as it lives, the error its response, and so on, back to the first.
 */
export const executeStream = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<HttpClientResponse.HttpClientResponse, E, R> =>
  Direct.updateContext(
    client.execute(request),
    (context) => context.pipe(Context.omit(Schedule.CurrentMetadata), Context.add(ErrorMapping.CurrentBody, "stream"))
  )

export const requestOf = (request: string | URL | HttpClientRequest.HttpClientRequest) =>
  typeof request === "string" || request instanceof URL ? HttpClientRequest.get(request) : request
