/**
 * Gives each request that a server handles the deadline of its caller.
 *
 * **Why**
 *
 * The request of a caller that has left still costs database time, and so does each of its retries. With the caller's
 * deadline on the fiber, work stops when its caller no longer waits. It also stops when the caller closes the connection.
 *
 * **Gotchas**
 *
 * A route with the option `uninterruptible` is interrupted too. Put `Effect.uninterruptible` around what must not stop half-way.
 *
 * Not in the package's index, so that programs that need only `Deadline` do not load HTTP: import it from
 * `@effect-resilience/deadline/DeadlineMiddleware`.
 *
 * **Example** (A server with a limit of its own)
 *
 * ```ts import.meta.vitest
 * import * as DeadlineMiddleware from "@effect-resilience/deadline/DeadlineMiddleware"
 * import { Effect } from "effect"
 * import { HttpServerRequest, HttpServerResponse } from "effect/http"
 *
 * const app = Effect.never.pipe(DeadlineMiddleware.make({ max: "10 seconds" }))
 * const request = HttpServerRequest.fromWeb(new Request("http://localhost/", { headers: { "grpc-timeout": "5m" } }))
 *
 * const response = await Effect.runPromise(Effect.provideService(app, HttpServerRequest.HttpServerRequest, request))
 * HttpServerResponse.toWeb(response).status // => 504
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Deadline from "./Deadline.ts"
import * as DeadlineHeader from "./DeadlineHeader.ts"

/**
 * A middleware for `HttpRouter`, `HttpServer.serve` and any other effect that responds to a request.
 *
 * - `max`: the longest time that a caller can ask for, and the time if it names none; default infinite.
 * - `names`: the headers to read; default `DeadlineHeader.defaultNames`.
 * - `onExceeded`: the response at the deadline; default an empty 504.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: {
  readonly max?: Duration.Input | undefined
  readonly names?: DeadlineHeader.Names | undefined
  readonly onExceeded?: ((error: Deadline.DeadlineExceeded) => HttpServerResponse.HttpServerResponse) | undefined
} = {}): <E, R>(
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest> => {
  const max = Duration.fromInputUnsafe(options.max ?? Duration.infinity)
  const onExceeded = options.onExceeded ?? (() => HttpServerResponse.empty({ status: 504 }))
  return <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
      const asked = DeadlineHeader.read(request.headers, options.names)
      // A server handles requests uninterruptibly, and only the route inside is interrupted when its caller leaves. Here it runs in
      // a fiber of its own, of which that interruption knows nothing unless this wait can be interrupted.
      const limited = Effect.interruptible(
        Deadline.withDeadline(app, asked === undefined ? max : Duration.min(asked, max))
      )
      return Effect.catchIf(limited, isOurs, (error) => Effect.succeed(onExceeded(error)))
    })
}

const isOurs = (error: unknown): error is Deadline.DeadlineExceeded => error instanceof Deadline.DeadlineExceeded
