/**
 * Retries requests, but never repeats one that may have been applied.
 *
 * **Why**
 *
 * A POST whose connection was reset may have been processed. A client that retries by status or error alone creates the
 * second order. And the second attempt of a body that can be read only once sends nothing, and the server stores that.
 *
 * **Details**
 *
 * A request is repeatable if its `Operation` says so, if its method is idempotent or if it carries an `Idempotency-Key`.
 * Any other request is retried only if it was certainly not applied: after a refused connection, a 429, or a failure before
 * its body left. `repeatUnsafe` lifts this.
 *
 * Each attempt runs the whole client below, so it asks for a token anew. A streamed body that yields less than in an
 * earlier attempt, or than its declared length, fails with `BodyNotReplayable` instead of ending.
 *
 * **Gotchas**
 *
 * Only failures are retried: `ErrorMapping` below turns statuses into failures. A client without it does not type-check here; where
 * it maps its errors itself and a 503 is a success to it, the first one is logged as a warning. `ErrorMapping` also limits attempts in time; do not use a policy with
 * an `attemptTimeout` here, since this middleware does not know whether the body had left.
 *
 * A source that continues where it was left is noticed only if the body's length is declared.
 *
 * **Example** (A PUT is repeated, a POST is not)
 *
 * ```ts import.meta.vitest
 * import { ErrorMapping, HttpRetry } from "@effect-resilience/http"
 * import { Backoff, RetryPolicy } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const methods: Array<string> = []
 * const down = HttpClient.make((request) =>
 *   Effect.sync(() => {
 *     methods.push(request.method)
 *     return HttpClientResponse.fromWeb(request, new Response(null, { status: 500 }))
 *   })
 * )
 * const policy = RetryPolicy.make({ times: 2, backoff: Backoff.immediate })
 * const client = down.pipe(ErrorMapping.mapErrors(), HttpRetry.retry(policy))
 *
 * const put = Effect.ignore(client.put("https://api.example.com/orders/1"))
 * const post = Effect.ignore(client.post("https://api.example.com/orders"))
 * await Effect.runPromise(Effect.andThen(put, post))
 * methods // => ["PUT", "PUT", "PUT", "POST"]
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Repetition from "@effect-resilience/errors/Repetition"
import * as Bytes from "@effect-resilience/kernel/Bytes"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as RetryEvent from "@effect-resilience/retry/RetryEvent"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"
import * as Idempotency from "./Idempotency.ts"
import * as Operation from "./Operation.ts"

/**
 * The body of a request cannot be sent again, since its source can be read only once.
 *
 * @category errors
 * @since 0.1.0
 */
export class BodyNotReplayable extends ErrorMessage.TaggedError("BodyNotReplayable")<{
  /** How many bytes were declared, or were read in an earlier attempt. */
  readonly expected: number
  /** How many came this time. */
  readonly got: number
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.giveUp
  }
  override get message(): string {
    return `The request's body cannot be sent again: its source gave ${this.expected} bytes, now ${this.got}. ` +
      "Make it a stream that opens its source anew."
  }
}

/**
 * What a single use of a policy can add.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in E> extends RetryPolicy.CallOptions<E> {
  /**
   * Also repeats what may have been applied; false by default. Set it only if applying a request twice does no harm; better,
   * set `idempotent` of its `Operation`.
   */
  readonly repeatUnsafe?: boolean | undefined
}

/**
 * The same, for a client that also retries after some responses.
 *
 * - `retryWhen`: whether another attempt is made after a response, such as a 202 of a job that is not done, in seconds that the
 *   response names: `RetryPolicy.retryWhen` has the rules. A request that is not repeatable is never repeated after a response, and
 *   the body of a response that is not the last is discarded.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResponseOptions<in E> extends RetryPolicy.ResultOptions<E, HttpClientResponse.HttpClientResponse> {
  /** Whether requests are repeated that may have been applied and must not be applied twice; false by default. */
  readonly repeatUnsafe?: boolean | undefined
}

/**
 * The errors of a client without error mapping below: what such a client must be instead.
 *
 * - `Put ErrorMapping.mapErrors between the transport and HttpRetry.retry`: never present: its name is what the compiler says
 *   where such a client is passed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unmapped {
  readonly "Put ErrorMapping.mapErrors between the transport and HttpRetry.retry": never
}

/**
 * A client whose errors are mapped: none of them is an `HttpClientError`, which does not say what to do.
 *
 * @category models
 * @since 0.1.0
 */
export type Mapped<E> = [Extract<HttpClientError.HttpClientError, E>] extends [never] ? unknown : Unmapped

/**
 * Retries the requests of a client whose errors are mapped.
 *
 * @category middleware
 * @since 0.1.0
 */
export const retry: {
  (
    policy: RetryPolicy.RetryPolicy
  ): <E, R>(
    client: HttpClient.HttpClient.With<E, R> & Mapped<E>
  ) => HttpClient.HttpClient.With<E | BodyNotReplayable, R>
  <E>(
    policy: RetryPolicy.RetryPolicy,
    options: Options<NoInfer<E>>
  ): <R>(client: HttpClient.HttpClient.With<E, R> & Mapped<E>) => HttpClient.HttpClient.With<E | BodyNotReplayable, R>
  <E>(
    policy: RetryPolicy.RetryPolicy,
    options: ResponseOptions<NoInfer<E>>
  ): <R>(client: HttpClient.HttpClient.With<E, R> & Mapped<E>) => HttpClient.HttpClient.With<E | BodyNotReplayable, R>
  <E, R>(
    client: HttpClient.HttpClient.With<E, R> & Mapped<E>,
    policy: RetryPolicy.RetryPolicy,
    options?: Options<NoInfer<E>>
  ): HttpClient.HttpClient.With<E | BodyNotReplayable, R>
  <E, R>(
    client: HttpClient.HttpClient.With<E, R> & Mapped<E>,
    policy: RetryPolicy.RetryPolicy,
    options: ResponseOptions<NoInfer<E>>
  ): HttpClient.HttpClient.With<E | BodyNotReplayable, R>
} = /* @__PURE__ */ dual(
  (args) => HttpClient.isHttpClient(args[0]),
  <E, R>(
    client: HttpClient.HttpClient.With<E, R>,
    policy: RetryPolicy.RetryPolicy,
    { repeatUnsafe = false, retryWhen, ...options }: Options<E> | ResponseOptions<E> = {}
  ): HttpClient.HttpClient.With<E | BodyNotReplayable, R> => {
    const retryOptions: RetryPolicy.CallOptions<E> = repeatUnsafe
      ? { ...options, classify: (error) => options.classify?.(error) ?? despiteDoubt(error) }
      : options
    let hasWarned = retryWhen !== undefined
    const warnOfStatus = ({ status }: HttpClientResponse.HttpClientResponse) => {
      if (hasWarned || (status >= 200 && status < 300) || Recovery.fromStatus(status)._tag !== "Retry") {
        return Effect.void
      }
      hasWarned = true
      return Effect.logWarning(
        `HttpRetry does not retry a response with status ${status}, which is a success to this client: ` +
          "put ErrorMapping.mapErrors below it."
      )
    }
    const onEvent: Observer<E> = (event) =>
      Effect.andThen(options.onEvent?.(event as never) ?? Effect.void, discard(event))

    return HttpClient.makeWith<never, never, E | BodyNotReplayable, R>(
      Effect.flatMap((request) =>
        Effect.withFiber((fiber) => {
          const known = Idempotency.repetitionOf(fiber.getRef(Operation.Current), request)
          const repetition = repeatUnsafe && known === "unlessApplied" ? "inTurn" : known
          const guarded = guardBody(request)
          const attempt = Effect.tap(client.execute(guarded.request), warnOfStatus)
          const { shortage } = guarded
          const isReplayable = () => shortage?.() === undefined
          const when: RetryPolicy.When<E> | undefined = shortage === undefined
            ? options.when
            : (error, n) => isReplayable() && (options.when?.(error, n) ?? true)
          const retried = retryWhen === undefined || Repetition.isDoubtful(repetition)
            ? RetryPolicy.retry(attempt, policy, { ...retryOptions, when })
            : RetryPolicy.retry(attempt, policy, {
              ...retryOptions,
              when,
              onEvent,
              retryWhen: (response) => isReplayable() && retryWhen(response)
            })
          const declared = Repetition.allow(retried, repetition)
          return shortage === undefined ? declared : Effect.mapError(declared, (error) => shortage() ?? error)
        })
      ),
      Effect.succeed
    )
  }
)

type Observer<E> = RetryEvent.Observer<E | RetryEvent.RetriedResult<HttpClientResponse.HttpClientResponse>>

// Its connection is free for the next attempt.
const discard = <E>(
  event: RetryEvent.RetryEvent<E | RetryEvent.RetriedResult<HttpClientResponse.HttpClientResponse>>
): Effect.Effect<void> =>
  event._tag === "Retrying" && RetryEvent.isRetriedResult(event.error)
    ? Effect.ignore(Effect.scoped(Stream.toPull(event.error.result.stream)))
    : Effect.void

const despiteDoubt = (error: unknown): Recovery.Recovery | undefined =>
  error instanceof ApiError.ApiError && error.reason._tag === "OutcomeUnknown"
    ? Recovery.of(error.reason.failure)
    : undefined

/**
 * A request for several attempts of one call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Guarded {
  /** The request to send in each attempt. */
  readonly request: HttpClientRequest.HttpClientRequest
  /** Set where its body is a stream, which may turn out not to be replayable; returns the error once it has. */
  readonly shortage?: (() => BodyNotReplayable | undefined) | undefined
}

/**
 * Makes a streamed body fail with `BodyNotReplayable` where it yields less than in an earlier attempt, instead of ending. For
 * clients that retry by something other than `retry`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const guardBody = (request: HttpClientRequest.HttpClientRequest): Guarded => {
  const { body } = request
  if (body._tag !== "Stream") return { request }
  let farthest = 0
  let begun = false
  let shortage: BodyNotReplayable | undefined
  const stream = Stream.suspend(() => {
    // An attempt that was cut short may have left the rest in the source, as a queue does.
    const expected = begun ? Math.max(farthest, body.contentLength ?? 0) : 0
    begun = true
    let got = 0
    const counted = Bytes.counted(body.stream, (count) => {
      got += count
      farthest = Math.max(farthest, got)
    })
    const check = Stream.unwrap(Effect.suspend(() => {
      if (got >= expected) return Effect.succeed(Stream.empty)
      shortage = new BodyNotReplayable({ expected, got })
      return Effect.fail(shortage)
    }))
    return Stream.concat(counted, check)
  })
  return {
    request: HttpClientRequest.setBody(request, HttpBody.stream(stream, body.contentType, body.contentLength)),
    shortage: () => shortage
  }
}
