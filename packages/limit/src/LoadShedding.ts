/**
 * A middleware for servers that answers no to what they cannot take.
 *
 * **Why**
 *
 * A server that accepts more than it can serve serves nobody in time. Answering 503 at once to the excess keeps the answers
 * to the rest quick, and tells well-behaved clients to come back later.
 *
 * **Details**
 *
 * - Requests run under a `ConcurrencyLimit`. Beyond it they get 503 with `Retry-After`, those of a priority below its
 *   share last.
 * - A request whose deadline has passed gets 504 at once, since nobody waits for its answer: one that its
 *   headers say, or that the fiber has (see `DeadlineMiddleware`).
 *
 * **Gotchas**
 *
 * Not in the package's index, so that whoever needs a breaker only loads nothing of HTTP: import it from
 * `@effect-resilience/limit/LoadShedding`.
 *
 * **Example** (One request at a time)
 *
 * ```ts import.meta.vitest
 * import { ConcurrencyLimit, LimitAlgorithm } from "@effect-resilience/limit"
 * import * as LoadShedding from "@effect-resilience/limit/LoadShedding"
 * import { Effect } from "effect"
 * import { HttpServerRequest, HttpServerResponse } from "effect/http"
 *
 * const program = Effect.gen(function*() {
 *   const limit = yield* ConcurrencyLimit.make({ algorithm: LimitAlgorithm.fixed(1) })
 *   const app = HttpServerResponse.text("served").pipe(
 *     Effect.succeed,
 *     Effect.delay("10 millis"),
 *     LoadShedding.make({ limit, retryAfter: "2 seconds" })
 *   )
 *   const responses = yield* Effect.all([app, app], { concurrency: "unbounded" })
 *   return responses.map(({ headers, status }) => [status, headers["retry-after"]])
 * })
 *
 * const request = HttpServerRequest.fromWeb(new Request("http://localhost/"))
 * await Effect.runPromise(Effect.provideService(program, HttpServerRequest.HttpServerRequest, request))
 * // => [[200, undefined], [503, "2"]]
 * ```
 *
 * @since 0.1.0
 */
import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as DeadlineHeader from "@effect-resilience/deadline/DeadlineHeader"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as ConcurrencyLimit from "./ConcurrencyLimit.ts"
import * as Outcome from "./Outcome.ts"
import * as Priority from "./Priority.ts"

/**
 * A middleware for `HttpRouter`, `HttpServer.serve` and any other effect that answers a request.
 *
 * - `limit`: how much runs at once. Make it with `classify: LoadShedding.outcomeOf`, so that a 503 or 504 of the app
 *   counts against it.
 * - `retryAfter`: when to come back, rounded up to seconds; default 1 second.
 * - `priority`: the priority of a request; default that of the fiber.
 * - `deadlineNames`: the headers that hold a deadline; default `DeadlineHeader.defaultNames`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: {
  readonly limit: ConcurrencyLimit.ConcurrencyLimit
  readonly retryAfter?: Duration.Input | undefined
  readonly priority?: ((request: HttpServerRequest.HttpServerRequest) => string) | undefined
  readonly deadlineNames?: DeadlineHeader.Names | undefined
}): <E, R>(
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest> => {
  const { deadlineNames, limit, priority } = options
  const seconds = Math.ceil(Duration.toSeconds(Duration.fromInputUnsafe(options.retryAfter ?? "1 second")))
  const shed = Effect.succeed(HttpServerResponse.empty({ status: 503, headers: { "retry-after": String(seconds) } }))
  return <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
    Effect.flatMap(
      HttpServerRequest.HttpServerRequest,
      (request) =>
        Effect.withFiber((fiber): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R> => {
          const asked = DeadlineHeader.read(request.headers, deadlineNames)
          if ((asked !== undefined && !Duration.isPositive(asked)) || Deadline.remainingMillisUnsafe(fiber) <= 0) {
            return tooLate
          }
          // Once the app runs, an error of this kind is its own: that of a limit for something it calls.
          let began = false
          const run = Effect.suspend(() => {
            began = true
            return app
          })
          const limited = Effect.catchIf(
            limit.execute(run),
            (error): error is ConcurrencyLimit.LimitReached => !began && error instanceof ConcurrencyLimit.LimitReached,
            () => shed
          )
          return priority === undefined ? limited : Priority.withPriority(limited, priority(request))
        })
    )
}

/**
 * What an answer of the app says about its load: 503 and 504 that it is too much, errors and defects as `Outcome.of`.
 *
 * @category classification
 * @since 0.1.0
 */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome.Outcome =>
  exit._tag === "Success" && HttpServerResponse.isHttpServerResponse(exit.value) &&
    (exit.value.status === 503 || exit.value.status === 504)
    ? Outcome.failure()
    : Outcome.of(exit)

const tooLate = /* @__PURE__ */ Effect.succeed(HttpServerResponse.empty({ status: 504 }))
